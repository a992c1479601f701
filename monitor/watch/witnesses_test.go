package watch

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestSplitView: a log that shows one history to this reader's witness and another one
// to somebody else's is a fork, with the proof, as soon as both can be compared.
func TestSplitView(t *testing.T) {
	const origin = "log.example"
	for name, test := range map[string]struct {
		ahead, fork bool
		unsigned    bool
		rotated     bool     // the log replaced its keys since
		want        []string // at the first look
		later       []string // when the log has grown
	}{
		"one history":           {},
		"one that is ahead":     {ahead: true},
		"another history":       {fork: true, want: []string{"log fork fired"}},
		"another one, ahead":    {fork: true, ahead: true, later: []string{"log fork fired"}},
		"not signed by the log": {unsigned: true, want: []string{"log witness fired"}},
		"by the key before":     {rotated: true},
		"another one, by it":    {rotated: true, fork: true, want: []string{"log witness fired"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s, anna := w.log(origin), newIssuer(t)
				w1, w2 := testlog.NewCosigner(t, "w1.example", "Ed25519"), testlog.NewCosigner(t, "w2.example", "Ed25519")
				policy := fmt.Sprintf("witness w1 %s http://w1.example\nwitness w2 %s http://w2.example\ngroup any-of-them any w1 w2\nquorum any-of-them\n", w1, w2)
				if err := os.WriteFile(filepath.Join(w.dir, "policy"), []byte(policy), 0o600); err != nil {
					t.Fatal(err)
				}
				// Both witnesses cosign what is here, so that only what w2 shows differs.
				publish := func(n int) {
					for i := range n {
						s.add(anna.record(monitor.Create, fmt.Sprint(len(s.entries)+i)))
					}
					raw := testlog.Must(s.files.Get(t.Context(), tiles.CheckpointPath))(t)
					s.files.Put(tiles.CheckpointPath, testlog.Cosign(t, testlog.Cosign(t, raw, w1, time.Now()), w2, time.Now()))
				}
				publish(1)
				shown := &testlog.Files{}
				entries := slices.Clone(s.entries)
				if test.fork {
					entries[2] = testlog.Statement(t, filler, "hidden", []byte("another history"))
				}
				if test.ahead {
					entries = append(entries, testlog.Statement(t, filler, "later", []byte("later")))
				}
				keys := s.keys
				if test.unsigned {
					keys = testlog.NewKeysOf(t, origin)
				}
				shown.Publish(t, keys, entries)
				raw := testlog.Must(shown.Get(t.Context(), tiles.CheckpointPath))(t)
				if test.rotated {
					s.keys, s.entries = s.keys.Rotate(t, s.entries, s.entries[0])
					s.publish()
					publish(1)
				}
				path := fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte(origin)))
				w.host("w2.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if r.URL.Path != path {
						http.NotFound(rw, r)
						return
					}
					rw.Write(raw)
				}))
				w.host("w1.example", http.NotFoundHandler()) // it shows nothing
				const config = "logs: [{name: log, location: \"http://log.example\", witness_policy: policy}]\n"
				check := func(want []string) {
					t.Helper()
					_, alerts := w.once(config, want...)
					for _, a := range alerts {
						if a.Check != checkFork {
							continue
						}
						proof := testlog.Must(tiles.ParseEquivocation([]byte(a.Proof)))(t)
						if _, _, err := proof.Verify(testlog.Must(scitt.NewCheckpointVerifiers(s.keys.VKeys))(t)); err != nil {
							t.Errorf("the proof is none: %v: %s", err, a.Proof)
						}
						if !strings.Contains(a.Message, "the witness w2, at http://w2.example") {
							t.Errorf("it does not say who showed it: %s", a.Message)
						}
					}
				}
				check(test.want)
				if len(test.want) > 0 {
					return
				}
				// It stays so until the log is as large as what the witness showed.
				check(nil)
				if !test.fork && !test.rotated {
					s.entries = entries
				}
				s.publish()
				publish(2)
				check(test.later)
			})
		})
	}
}
