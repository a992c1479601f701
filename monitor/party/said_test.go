package party

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/tiles"
)

// spokenLog is a log with n statements of an issuer in one chain, every other
// one a hash envelope, between those of another issuer, and one that
// pretends to be the first one's.
type spokenLog struct {
	*said
	dir   saidDir
	files testlog.Files
	keys  *testlog.Keys
	all   [][]byte
	last  *scitt.Statement // of the issuer
	view  *tiles.View
	log   *tiles.Log
}

func newSpokenLog(t *testing.T, n int) *spokenLog {
	key, other := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	l := &spokenLog{keys: testlog.NewKeys(t), dir: saidDir(t.TempDir())}
	issuer := testlog.Must(did.NewJWK(key.Public()))(t)
	l.said = newSaid(issuer, key.Public())
	var head *scitt.Head
	for i := range n {
		o := scitt.SignOptions{Subject: "inventory/x", Type: scitt.TypeRecord, Hash: i%2 == 0, Chain: head.Next("inventory")}
		data := testlog.Must(scitt.SignStatement(key, o, fmt.Appendf(nil, "content %d", i)))(t)
		l.last = testlog.Must(scitt.ParseStatement(data))(t)
		head = &scitt.Head{Seq: uint64(i), ID: l.last.ID()}
		l.all = append(l.all, testlog.Must(scitt.ParseStatement(testlog.Statement(t, other, "asset", fmt.Append(nil, i))))(t).Entry(), l.last.Entry())
	}
	forged := testlog.Must(scitt.SignStatement(other, scitt.SignOptions{Issuer: issuer, Subject: "inventory/x", Type: scitt.TypeRecord,
		Chain: head.Next("inventory")}, []byte("forged")))(t)
	l.all = append(l.all, testlog.Must(scitt.ParseStatement(forged))(t).Entry())
	server := httptest.NewServer(&l.files)
	t.Cleanup(server.Close)
	l.log = tiles.NewLog(testlog.Must(tiles.Open(server.URL, client.Options{}))(t), l.keys.Verifiers)
	return l
}

// publish shows the first entries.
func (l *spokenLog) publish(t *testing.T, n int) {
	t.Helper()
	l.files.Publish(t, l.keys, l.all[:n])
	l.view = testlog.Must(l.log.Latest(t.Context()))(t)
}

// again reads it as the next command does. It gives how many entries the files
// of Home did for.
func (l *spokenLog) again(t *testing.T) (s *said, remembered uint64) {
	t.Helper()
	s = newSaid(l.issuer, l.key)
	if err := l.dir.load(t.Context(), s, l.view); err != nil {
		t.Fatal(err)
	}
	remembered = s.size
	if err := s.read(t.Context(), l.view, nil); err != nil {
		t.Fatal(err)
	}
	return s, remembered
}

// holds expects that the issuer's first n statements are known, and no others.
func (l *spokenLog) holds(t *testing.T, s *said, n int) {
	t.Helper()
	for i := range n + 1 {
		p, ok := s.find(newContentKey(scitt.TypeRecord, sha256.Sum256(fmt.Appendf(nil, "content %d", i))))
		if ok != (i < n) || ok && p.Index != uint64(2*i+1) {
			t.Fatalf("content %d: %+v, %v", i, p, ok)
		}
	}
	if _, ok := s.find(newContentKey(scitt.TypeObservation, sha256.Sum256([]byte("content 0")))); ok {
		t.Error("a record counts as an observation")
	}
	if _, ok := s.find(newContentKey(scitt.TypeRecord, sha256.Sum256([]byte("forged")))); ok {
		t.Error("what another one signed counts")
	}
	if h := s.head("inventory"); h == nil || h.Seq != uint64(n-1) {
		t.Errorf("head %+v", h)
	}
}

func TestSaid(t *testing.T) {
	l := newSpokenLog(t, 200)
	l.publish(t, 301)
	s, _ := l.again(t)
	l.holds(t, s, 150)
	if err := l.dir.save(s, l.view); err != nil {
		t.Fatal(err)
	}
	l.publish(t, len(l.all))
	s, remembered := l.again(t)
	if remembered != 301 {
		t.Errorf("%d entries were remembered", remembered)
	}
	l.holds(t, s, 200)
	if h := s.head("inventory"); h.ID != l.last.ID() {
		t.Errorf("head %v", h.ID)
	}
	// What was registered is known without reading it.
	s = newSaid(l.issuer, l.key)
	for i, data := range l.all {
		st := testlog.Must(scitt.DecodeStatement(data))(t)
		if i < len(l.all)-1 && i%2 == 1 {
			s.add(st, uint64(i))
		} else if s.size == uint64(i) {
			s.size++
		}
	}
	l.holds(t, s, 200)
	if s.size != uint64(len(l.all)) {
		t.Errorf("size %d", s.size)
	}
}

// Files that are wrong, in whatever way, cost time and nothing else.
func TestSaidFilesWrong(t *testing.T) {
	l := newSpokenLog(t, 20)
	l.publish(t, len(l.all))
	s, _ := l.again(t)
	if err := l.dir.save(s, l.view); err != nil {
		t.Fatal(err)
	}
	names := testlog.Must(filepath.Glob(string(l.dir) + "/*"))(t)
	if len(names) != 1 {
		t.Fatalf("files %q", names)
	}
	good := testlog.Must(os.ReadFile(names[0]))(t)
	head, rows, err := parseSaid(good)
	if err != nil || len(rows) != 20 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	otherHistory := *head
	otherHistory.Root = bytes.Repeat([]byte{1}, 32)
	future := *head
	future.To++
	for name, put := range map[string]func() error{
		"none":          func() error { return nil },
		"damaged":       func() error { return os.WriteFile(names[0], bytes.ToUpper(good), 0o600) },
		"cut off":       func() error { return os.WriteFile(names[0], good[:len(good)-10], 0o600) },
		"empty":         func() error { return os.WriteFile(names[0], nil, 0o600) },
		"not ours":      func() error { return os.WriteFile(string(l.dir)+"/README", good, 0o600) },
		"other history": func() error { return l.write(otherHistory, rows[:1]) },
		"ahead":         func() error { return l.write(future, rows[:1]) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, old := range testlog.Must(filepath.Glob(string(l.dir) + "/*"))(t) {
				if err := os.Remove(old); err != nil {
					t.Fatal(err)
				}
			}
			if err := put(); err != nil {
				t.Fatal(err)
			}
			s, remembered := l.again(t)
			if remembered != 0 {
				t.Errorf("%d entries were believed", remembered)
			}
			l.holds(t, s, 20)
		})
	}
}

func (l *spokenLog) write(head saidHead, rows []row) error {
	data, err := formatSaid(head, rows)
	if err != nil {
		return err
	}
	return writeFile(l.dir.name(head.From, head.To, data), data)
}

// Many small files become one.
func TestSaidManyFiles(t *testing.T) {
	l := newSpokenLog(t, 2*manyFiles)
	for n := 2; n <= 4*manyFiles; n += 2 {
		l.publish(t, n)
		s, _ := l.again(t)
		if err := l.dir.save(s, l.view); err != nil {
			t.Fatal(err)
		}
		if err := l.dir.save(s, l.view); err != nil { // nothing is new
			t.Fatal(err)
		}
	}
	if files := testlog.Must(l.dir.list())(t); len(files) > manyFiles {
		t.Errorf("%d files", len(files))
	}
	s, remembered := l.again(t)
	if remembered != 4*manyFiles {
		t.Errorf("%d remembered", remembered)
	}
	l.holds(t, s, 2*manyFiles)
}

func TestTurn(t *testing.T) {
	home := Home(t.TempDir())
	done := testlog.Must(home.turn(t.Context(), "log", "issuer"))(t)
	other := testlog.Must(home.turn(t.Context(), "log", "other issuer"))(t)
	other()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := home.turn(ctx, "log", "issuer"); err == nil {
		t.Error("two have the turn")
	}
	done()
	done = testlog.Must(home.turn(t.Context(), "log", "issuer"))(t)
	done()
}

func FuzzParseSaid(f *testing.F) {
	r := row{key: contentKey{1}, place: place{7, scitt.EntryID{2}}}
	seed, err := formatSaid(saidHead{0, 9, make([]byte, 32), map[string]chainPlace{"inventory": {r.place, 3}}}, []row{r, r})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(binary.BigEndian.AppendUint64(seed[:len(seed)-8], 9)) // beyond the end
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		head, rows, err := parseSaid(data)
		if err != nil {
			return
		}
		again, err := formatSaid(*head, rows)
		if err != nil {
			t.Fatal(err)
		}
		head2, rows2, err := parseSaid(again)
		if err != nil || !reflect.DeepEqual(head, head2) || !reflect.DeepEqual(rows, rows2) {
			t.Errorf("%v: %+v became %+v", err, head, head2)
		}
	})
}
