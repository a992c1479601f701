package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// judgedLog is a log over HTTP that has two histories, which differ from entry 300 on,
// and shows the files of the one that it is asked to.
type judgedLog struct {
	keys    *testlog.Keys
	entries [2][][]byte
	files   [2]*testlog.Files
}

func newJudgedLog(t *testing.T) (*judgedLog, string) {
	alice := testlog.Key(t, "EdDSA")
	l := &judgedLog{keys: testlog.NewKeys(t)}
	begin := l.keys.Begin(t, fmt.Sprintf(`{"version": 1, "issuers": [{"issuer": %q}]}`, testlog.DIDJWK(t, alice)))
	for i := range 900 {
		begin = append(begin, testlog.Must(scitt.ParseStatement(testlog.Statement(t, alice, "asset", []byte(strconv.Itoa(i)))))(t).Entry())
	}
	l.entries[0] = begin
	l.entries[1] = append(begin[:300:300], begin[301:]...)
	for h := range l.files {
		l.files[h] = &testlog.Files{}
		// All partial files are there, as when a log is read under any of its checkpoints.
		for size := 1; size <= len(l.entries[h]); size++ {
			if size%50 == 0 || size == len(l.entries[h]) {
				l.files[h].Publish(t, l.keys, l.entries[h][:size])
			}
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.files[0].ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	return l, server.URL
}

// request asks for the cosignature of a history at a size.
func (l *judgedLog) request(t *testing.T, history int, old, size uint64) *witness.AddCheckpoint {
	var f testlog.Files
	f.Publish(t, l.keys, l.entries[history][:size])
	view := testlog.Must(tiles.NewLog(&f, l.keys.Verifiers).Latest(t.Context()))(t)
	r := &witness.AddCheckpoint{Old: old, Checkpoint: view.Checkpoint.Raw}
	if old <= size {
		r.Proof = testlog.Must(view.ConsistencyProof(t.Context(), old))(t)
	}
	return r
}

// TestKillKeeper kills a witness with all three keys at random moments, while a log asks
// for two histories. An observer who keeps every cosigned checkpoint sees no two that
// contradict each other under any key, and when the mirror's key has signed a size its
// files are there at that moment.
func TestKillKeeper(t *testing.T) {
	t.Parallel()
	l, url := newJudgedLog(t)
	dir, kept := t.TempDir(), t.TempDir()
	list := "logs/v0\n"
	for _, vkey := range l.keys.VKeys {
		list += fmt.Sprintf("\nvkey %s\nqpd 2147483647\ncontact %s\n", vkey, url)
	}
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	hash := cosigner.HashOf(testlog.Origin)
	observed := map[string]*observer{}
	for _, role := range []string{"", "/mirror", "/audited"} {
		observed[role] = &observer{seen: map[string]map[uint64][]byte{}, last: map[string]uint64{}}
	}
	random := rand.New(rand.NewPCG(1, 2))
	size := func() uint64 { return observed[""].last[testlog.Origin] }
	signed := func() bool { // by each key
		for _, o := range observed {
			if len(o.seen[testlog.Origin]) == 0 {
				return false
			}
		}
		return true
	}
	for kill := 0; kill < 10 || kill < 200 && !signed(); kill++ {
		cmd, witnessURL, _ := startWitness(t, dir, "--logs", file, "--rate", "0", "--mirror", kept, "--audit", "--audit-wait", "50ms")
		end := time.After(time.Duration(50+random.IntN(300)+10*kill) * time.Millisecond) // on a slow machine each life is longer
		dead := make(chan struct{})
		go func() {
			defer close(dead)
			<-end
			_ = cmd.Process.Kill() // it may have ended
		}()
		for {
			// Up to 300 the histories are one. Beyond it the witness may take the one whose files
			// nobody shows, and then its other keys sign nothing more.
			last := uint64(300)
			if signed() {
				last = 900
			}
			next := max(size(), min(size()/50*50+50, last))
			r := l.request(t, random.IntN(2), size(), next)
			resp, err := http.Post(witnessURL+"/add-checkpoint", "", bytes.NewReader(r.Marshal()))
			if err != nil {
				break
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				break
			}
			switch resp.StatusCode {
			case http.StatusOK:
				l.observe(t, observed, append(bytes.Clone(r.Checkpoint), body...))
			case http.StatusConflict:
				has := testlog.Must(strconv.ParseUint(strings.TrimSpace(string(body)), 10, 64))(t)
				if has < size() {
					t.Errorf("the witness has size %d, and it cosigned %d", has, size())
				}
				observed[""].last[testlog.Origin] = has
			}
			for _, role := range []string{"", "/mirror", "/audited"} {
				resp, err := http.Get(witnessURL + role + "/" + hash + "/checkpoint")
				if err != nil {
					break
				}
				note, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err == nil && resp.StatusCode == http.StatusOK {
					l.observe(t, observed, note)
				}
			}
		}
		<-dead
		_ = cmd.Wait() // it was killed
		if signed := observed["/mirror"].last[testlog.Origin]; signed > 0 {
			l.isKept(t, filepath.Join(kept, hash), signed, observed["/mirror"].seen[testlog.Origin][signed])
		}
	}
	for role, o := range observed {
		if len(o.seen[testlog.Origin]) == 0 {
			t.Errorf("%q signed nothing between the kills", role)
		}
		l.oneHistory(t, role, o)
	}
}

// observe notes whose lines a checkpoint has.
func (l *judgedLog) observe(t *testing.T, observed map[string]*observer, note []byte) {
	cp, _, err := scitt.OpenNote(note)
	if err != nil {
		t.Fatal(err)
	}
	for role, o := range observed {
		if bytes.Contains(note, []byte("— witness.example"+role+" ")) {
			o.saw(t, cp)
		}
	}
}

// isKept holds the mirror's directory to a checkpoint that its key signed.
func (l *judgedLog) isKept(t *testing.T, dir string, size uint64, root []byte) {
	view, err := tiles.NewTree(tiles.Dir(dir)).At(t.Context(), &scitt.Checkpoint{Origin: testlog.Origin, Size: size, Root: root})
	if err != nil {
		t.Fatalf("the mirror signed size %d, and has not kept it: %v", size, err)
	}
	for _, err := range view.Entries(t.Context(), 0, size) {
		if err != nil {
			t.Fatalf("the mirror signed size %d, and has not kept it: %v", size, err)
		}
	}
}

// oneHistory holds what a key signed to the history whose files there are, or to the
// one that the witness took first.
func (l *judgedLog) oneHistory(t *testing.T, role string, o *observer) {
	var of [2]int
	for size, root := range o.seen[testlog.Origin] {
		for h := range of {
			cp, _, err := scitt.OpenNote(l.request(t, h, size, size).Checkpoint)
			if err != nil {
				t.Fatal(err)
			}
			if size > 300 && bytes.Equal(cp.Root, root) {
				of[h]++
			}
		}
	}
	if of[0] > 0 && of[1] > 0 {
		t.Errorf("%q signed both histories: %v", role, of)
	}
	t.Logf("%q signed %d sizes", role, len(o.seen[testlog.Origin]))
}
