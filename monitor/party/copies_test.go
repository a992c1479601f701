package party

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// chainOf is a chain of n records.
func chainOf(t *testing.T, n int) (entries [][]byte, head *scitt.Head) {
	key := testlog.FixedKey(t, "a")
	for i := range n {
		o := scitt.SignOptions{Subject: "inventory/x", Type: scitt.TypeRecord, Chain: head.Next("inventory")}
		s := testlog.Must(scitt.ParseStatement(testlog.Must(scitt.SignStatement(key, o, fmt.Appendf(nil, "content %d", i)))(t)))(t)
		head = &scitt.Head{Seq: uint64(i), ID: s.ID()}
		entries = append(entries, s.Entry())
	}
	return entries, head
}

// TestCopies: of copies that an operator put into a log, the first that its issuer
// signed is found, and a chain continues after its end and not behind a copy.
func TestCopies(t *testing.T) {
	chain, head := chainOf(t, 4)
	twin := func(i int) []byte { return testlog.Twin(t, chain[i]) }
	key := testlog.FixedKey(t, "a")
	for name, c := range map[string]struct {
		entries [][]byte
		at      []uint64 // where each record is
	}{
		"honest":                 {chain, []uint64{0, 1, 2, 3}},
		"old ones at the end":    {append(slices.Clone(chain), twin(0), chain[1]), []uint64{0, 1, 2, 3}},
		"twin of the last":       {append(slices.Clone(chain), twin(3)), []uint64{0, 1, 2, 3}},
		"two in a row again":     {append(slices.Clone(chain), twin(1), twin(2)), []uint64{0, 1, 2, 3}},
		"garbage before":         {slices.Concat([][]byte{testlog.Garbage(chain[3]), testlog.Garbage(chain[0])}, chain), []uint64{2, 3, 4, 5}},
		"garbage behind":         {append(slices.Clone(chain), testlog.Garbage(chain[3]), testlog.Garbage(chain[1])), []uint64{0, 1, 2, 3}},
		"twins before originals": {[][]byte{twin(0), chain[0], twin(1), chain[1], chain[2], twin(3), chain[3]}, []uint64{0, 2, 4, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			keys, files := testlog.NewKeys(t), &testlog.Files{}
			files.Publish(t, keys, c.entries)
			server := httptest.NewServer(files)
			defer server.Close()
			l := testlog.Must(Open(t.Context(), server.URL, Options{VKeys: keys.VKeys}))(t)
			s := newSaid(testlog.DIDJWK(t, key), key.Public())
			if err := s.read(t.Context(), l.View, nil); err != nil {
				t.Fatal(err)
			}
			if got := s.head("inventory"); got == nil || *got != *head {
				t.Errorf("the chain ends at %+v, not at %+v", got, head)
			}
			for i, at := range c.at {
				id := testlog.Must(scitt.DecodeStatement(chain[i]))(t).ID()
				if e, err := l.Find(t.Context(), EntryName{ID: &id}, nil); err != nil || e.Index != at {
					t.Errorf("record %d: %+v, %v; it is entry %d", i, e, err, at)
				}
				p, ok := s.find(newContentKey(scitt.TypeRecord, sha256.Sum256(fmt.Appendf(nil, "content %d", i))))
				if !ok || p.Index != at || p.ID != id {
					t.Errorf("content %d: %+v", i, p)
				}
			}
			e, unread, err := l.newest(t.Context(), func(s *scitt.Statement) bool { return s.Chain != nil }, nil)
			if err != nil || e.Index != c.at[3] || unread.Any() {
				t.Errorf("the newest is %+v, %v, unread %v", e, err, unread)
			}
		})
	}
}

// TestNewestUnread: what nobody can read may be newer than what can be read.
func TestNewestUnread(t *testing.T) {
	chain, _ := chainOf(t, 2)
	unknown := testlog.Must(scitt.SignStatement(testlog.Key(t, "ES256"), scitt.SignOptions{Issuer: "https://nobody.example", Subject: "s"}, nil))(t)
	keys, files := testlog.NewKeys(t), &testlog.Files{}
	files.Publish(t, keys, [][]byte{chain[0], []byte("nothing"), unknown, testlog.Garbage(chain[1])})
	server := httptest.NewServer(files)
	defer server.Close()
	l := testlog.Must(Open(t.Context(), server.URL, Options{VKeys: keys.VKeys}))(t)
	for name, c := range map[string]struct {
		is     func(*scitt.Statement) bool
		unread monitor.Unread
	}{
		"of the chain": {func(s *scitt.Statement) bool { return s.Chain != nil }, monitor.Unread{NoStatement: 1}},
		"of anybody":   {func(*scitt.Statement) bool { return true }, monitor.Unread{NoStatement: 1, Unchecked: 1}},
	} {
		e, unread, err := l.newest(t.Context(), c.is, nil)
		if err != nil || e.Index != 0 || unread != c.unread {
			t.Errorf("%s: %+v, %v, unread %+v", name, e, err, unread)
		}
	}
}

// TestAskLies: a service that points to a garbage copy, or to another entry, is not
// believed.
func TestAskLies(t *testing.T) {
	chain, _ := chainOf(t, 2)
	keys, files := testlog.NewKeys(t), &testlog.Files{}
	files.Publish(t, keys, [][]byte{testlog.Garbage(chain[0]), chain[1], chain[0]})
	server := httptest.NewServer(files)
	defer server.Close()
	l := testlog.Must(Open(t.Context(), server.URL, Options{VKeys: keys.VKeys}))(t)
	id := testlog.Must(scitt.DecodeStatement(chain[0]))(t).ID()
	asked := 0
	for _, points := range []uint64{0, 1, 2} {
		entry := testlog.Must(l.View.Entry(t.Context(), points))(t)
		receipt := testlog.Must(l.View.Receipt(t.Context(), points, scitt.LeafHash(entry)))(t)
		files.Serve(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/entries/") {
				return false
			}
			asked++
			w.Header().Set("Content-Type", "application/cose")
			_, _ = w.Write(receipt)
			return true
		})
		if e, err := l.Find(t.Context(), EntryName{ID: &id}, nil); err != nil || e.Index != 2 {
			t.Errorf("pointed to %d: %+v, %v", points, e, err)
		}
	}
	if asked != 3 {
		t.Errorf("it was asked %d times", asked)
	}
	// Where there is nothing but garbage, that is found, for its signature to be told.
	files.Serve(nil)
	files.Publish(t, keys, [][]byte{chain[1], testlog.Garbage(chain[0])})
	l = testlog.Must(Open(t.Context(), server.URL, Options{VKeys: keys.VKeys}))(t)
	if e, err := l.Find(t.Context(), EntryName{ID: &id}, nil); err != nil || e.Index != 1 || !errors.Is(l.VerifyStatement(e.Statement), scitt.ErrSignature) {
		t.Errorf("%+v, %v", e, err)
	}
	none := scitt.EntryID{1}
	if _, err := l.Find(t.Context(), EntryName{ID: &none}, nil); !errors.Is(err, ErrNoEntry) {
		t.Error(err)
	}
}
