package keeper

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	artifacts "github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/audit"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// newJudged is a log of good statements, whose files are known.
func newJudged(t *testing.T, policy string) *world {
	w := newWorld(t)
	w.pulls = true
	w.entries = w.keys.Begin(t, policy)
	return w
}

// alicesPolicy lets Alice sign, and has other members too.
func alicesPolicy(t testing.TB, members string) string {
	return fmt.Sprintf(`{"version": 1, "issuers": [{"issuer": %q}]%s}`, testlog.DIDJWK(t, testlog.FixedKey(t, "alice")), members)
}

func (w *world) statement(o scitt.SignOptions, content string) []byte {
	w.Helper()
	if o.Subject == "" {
		o.Subject = "asset"
	}
	return testlog.Must(scitt.ParseStatement(testlog.Must(scitt.SignStatement(testlog.FixedKey(w, "alice"), o, []byte(content)))(w)))(w).Entry()
}

// add registers entries, and has the witness cosign the log with them. It returns
// whether the audited cosignature is on the answer.
func (w *world) add(entries ...[]byte) bool {
	w.Helper()
	w.entries = append(w.entries, entries...)
	w.files.Publish(w, w.keys, w.entries)
	return w.askAudited(len(w.entries))
}

func (w *world) askAudited(size int) bool {
	w.Helper()
	return w.audits(w.request(size))
}

// request asks for the cosignature of the log at a size, from the size that the witness has.
func (w *world) request(size int) *witness.AddCheckpoint {
	w.Helper()
	view := w.view(size)
	state := testlog.Must(w.pending.State(w.Context(), testlog.Origin))(w)
	return &witness.AddCheckpoint{Old: state.Size, Checkpoint: view.Checkpoint.Raw, Proof: testlog.Must(view.ConsistencyProof(w.Context(), state.Size))(w)}
}

// audits sends a request and reports whether the answer has the audited cosignature.
func (w *world) audits(r *witness.AddCheckpoint) bool {
	w.Helper()
	rec := w.ask(http.MethodPost, "/add-checkpoint", r.Marshal(), "")
	if rec.Code != http.StatusOK {
		w.Fatalf("add-checkpoint: %d %s", rec.Code, rec.Body)
	}
	note := append(bytes.Clone(r.Checkpoint), rec.Body.Bytes()...)
	by := func(c *cosigner.Witness) bool {
		key := testlog.Must(scitt.NewCosignatureVerifier(c.VKeys()[0]))(w)
		_, sigs, err := scitt.OpenNote(note, key)
		return err == nil && len(sigs) == 1
	}
	if !by(w.pending) || by(w.own) {
		w.Fatalf("%q", rec.Body)
	}
	return by(w.audited)
}

// evidence is what is published against the log; nil when nothing is.
func (w *world) evidence() *audit.Evidence {
	w.Helper()
	rec := w.ask(http.MethodGet, "/audited/"+cosigner.HashOf(testlog.Origin)+"/evidence.json", nil, "")
	if rec.Code == http.StatusNotFound {
		return nil
	}
	return testlog.Must(audit.ParseEvidence(rec.Body.Bytes()))(w)
}

// auditedSize is that of the checkpoint with the audited cosignature.
func (w *world) auditedSize() uint64 {
	w.Helper()
	return testlog.Must(w.audited.State(w.Context(), testlog.Origin))(w).Size
}

// TestJudge: a log that admits what its policy allows is cosigned as audited in the answer
// itself, also after a restart. One that admits a single other entry never is again, the
// other keys go on, and the evidence shows it to everybody.
func TestJudge(t *testing.T) {
	w := newJudged(t, alicesPolicy(t, ""))
	w.start()
	for i := range 5 {
		if i == 3 {
			w.stop()
			w.start()
		}
		if !w.add(w.statement(scitt.SignOptions{}, fmt.Sprint(i))) {
			t.Errorf("statement %d is not audited", i)
		}
	}
	if !w.askAudited(7) || w.evidence() != nil || w.auditedSize() != 7 {
		t.Errorf("the same again: size %d, %+v", w.auditedSize(), w.evidence())
	}
	rec := w.ask(http.MethodGet, "/audited/"+cosigner.HashOf(testlog.Origin)+"/checkpoint", nil, "")
	if cp, err := w.keys.Verifiers.Open(rec.Body.Bytes()); err != nil || cp.Size != 7 || cp.Tree == nil {
		t.Errorf("the audited checkpoint: %v", err) // with the line that Receipts are made of
	}
	if w.add(w.statement(scitt.SignOptions{}, "good"), testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("slipped in"))) {
		t.Error("an entry that the policy does not allow is audited")
	}
	for range 2 {
		e := w.evidence()
		if e == nil {
			t.Fatal("there is no evidence")
		}
		got, err := e.Verify(t.Context(), w.keys.Verifiers, audit.Options{})
		if err != nil || e.Check != policy.CheckIssuer || e.Accused().Index != 8 || len(got.Gaps) > 0 {
			t.Errorf("%s at %d: %+v, %v", e.Check, e.Accused().Index, got, err)
		}
		if w.add(w.statement(scitt.SignOptions{}, fmt.Sprint("later", len(w.entries)))) || w.auditedSize() != 7 {
			t.Error("it is audited again")
		}
		w.stop()
		w.start()
	}
	w.until(uint64(len(w.entries))) // the mirror says nothing of policies
	if stopped, lag, mirror := w.metric("audited.stopped"), w.metric("audited.lag"), w.metric("mirror.lag"); stopped != 1 || lag != int64(len(w.entries))-7 || mirror != 0 {
		t.Errorf("the metrics say that %d is stopped, %d entries behind, and the mirror %d", stopped, lag, mirror)
	}
}

// TestJudgeWaits: what cannot be judged is neither cosigned nor evidence, and when it can
// be, it is cosigned.
func TestJudgeWaits(t *testing.T) {
	store := t.TempDir()
	if err := os.Mkdir(filepath.Join(store, "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	content := []byte(`{"id": 1}`)
	for name, c := range map[string]struct {
		members string // of the policy
		entry   func(w *world) []byte
		harm    func(w *world) // after the entry is there
		mend    func(w *world) // nil where nothing helps
	}{
		"withheld content": {
			`, "artifact": "required"`,
			func(w *world) []byte { return w.statement(scitt.SignOptions{Hash: true}, string(content)) },
			nil,
			func(w *world) {
				sum := sha256.Sum256(content)
				path := filepath.Join(store, filepath.FromSlash(artifacts.Digest(sum).Path()))
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
					t.Fatal(err)
				}
			},
		},
		"a policy of a later version": {
			"",
			func(w *world) []byte {
				return testlog.Must(scitt.SignStatement(w.keys.Service, scitt.SignOptions{
					Issuer: testlog.Issuer, Type: scitt.TypePolicy, Subject: scitt.PolicySubject(testlog.Origin), ContentType: "application/json",
				}, fmt.Appendf(nil, `{"version": 2, "previous": %q}`, testlog.ID(w.entries[1]).String())))(w)
			},
			nil, nil,
		},
		"a wrong tile": {
			"",
			func(w *world) []byte { return w.statement(scitt.SignOptions{}, "x") },
			func(w *world) {
				tile := bytes.Clone(testlog.Must(w.files.Get(w.Context(), tiles.TilePath(0, 0, 3)))(w))
				tile[1] ^= 1
				w.files.Put(tiles.TilePath(0, 0, 3), tile)
			},
			func(w *world) { w.files.Publish(w, w.keys, w.entries) },
		},
		"a bundle with another entry": {
			"",
			func(w *world) []byte { return w.statement(scitt.SignOptions{}, "x") },
			func(w *world) {
				lie := append(w.entries[:2:2], testlog.Statement(w, testlog.Key(w, "ES256"), "asset", []byte("a lie of whoever has the files")))
				testlog.WriteTree(lie, func(path string, data []byte) {
					if strings.HasPrefix(path, "tile/entries/") {
						w.files.Put(path, data)
					}
				})
			},
			func(w *world) { w.files.Publish(w, w.keys, w.entries) },
		},
		"a file that is not there": {
			"",
			func(w *world) []byte { return w.statement(scitt.SignOptions{}, "x") },
			func(w *world) { w.files.Put(tiles.BundlePath(0, 3), nil) },
			func(w *world) { w.files.Publish(w, w.keys, w.entries) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newJudged(t, alicesPolicy(t, c.members))
			w.artifacts = testlog.Must(artifacts.Open(store, artifacts.Options{}))(t)
			w.start()
			if !w.askAudited2() {
				t.Fatal("the beginning is not audited")
			}
			w.entries = append(w.entries, c.entry(w))
			w.files.Publish(w, w.keys, w.entries)
			if c.harm != nil {
				c.harm(w)
			}
			if w.askAudited(3) || w.auditedSize() != 2 || w.evidence() != nil {
				t.Errorf("size %d is audited, evidence %+v", w.auditedSize(), w.evidence())
			}
			w.attempted()
			if failing, lag, waits := w.metric("audited.failing"), w.metric("audited.lag"), w.metric("audited.wait"); failing != 1 || lag != 1 || waits != 2 {
				t.Errorf("the metrics say failing %d, lag %d, and %d waits", failing, lag, waits)
			}
			if c.mend == nil {
				return
			}
			c.mend(w)
			testwait.Until(t, func() bool { return w.auditedSize() == 3 }, "it is judged when it can be")
			w.attempted()
			if w.evidence() != nil || w.metric("audited.failing") != 0 || w.metric("audited.lag") != 0 {
				t.Errorf("evidence %+v, lag %d", w.evidence(), w.metric("audited.lag"))
			}
		})
	}
}

// attempted waits until the attempt that answered is noted: an answer leaves before.
func (w *world) attempted() {
	want := int64(0)
	if w.auditedSize() < uint64(len(w.entries)) {
		want = 1
	}
	testwait.Until(w, func() bool { return w.metric("audited.failing") == want }, "the attempt is noted")
}

// askAudited2 begins with the two first entries.
func (w *world) askAudited2() bool {
	w.files.Publish(w, w.keys, w.entries)
	return w.askAudited(2)
}

// TestJudgeForeign: a log without a policy is not accused of admitting what it likes.
func TestJudgeForeign(t *testing.T) {
	w := newWorld(t)
	w.pulls, w.entries = true, nil
	w.start()
	if w.add([]byte("any"), []byte("bytes")) || w.evidence() != nil || w.auditedSize() != 0 {
		t.Errorf("size %d, evidence %+v", w.auditedSize(), w.evidence())
	}
	if err := w.judge.judge(t.Context(), w.judge.of(testlog.Origin)); !errors.Is(err, errUnjudged) {
		t.Errorf("%v", err)
	}
}

// TestJudgeKeys: a log that changes its keys as it may is judged on, with the old key
// beside the new one and without it, from where the audit was: what was judged before
// cannot be judged any more.
func TestJudgeKeys(t *testing.T) {
	w := newJudged(t, alicesPolicy(t, `, "artifact": "required"`))
	content := t.TempDir()
	if err := os.Mkdir(filepath.Join(content, "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.artifacts = testlog.Must(artifacts.Open(content, artifacts.Options{}))(t)
	record := func(text string) (entry []byte, path string) {
		path = filepath.Join(content, filepath.FromSlash(artifacts.Digest(sha256.Sum256([]byte(text))).Path()))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return w.statement(scitt.SignOptions{Hash: true}, text), path
	}
	w.start()
	before, path := record(`{"id": "before"}`)
	if !w.add(before) {
		t.Fatal("the beginning is not audited")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	old := w.keys.VKeys
	keys, entries := w.keys.Rotate(t, w.entries, w.entries[0])
	all := append(slices.Clone(old), slices.DeleteFunc(slices.Clone(keys.VKeys), func(v string) bool { return slices.Contains(old, v) })...)
	w.keys, w.entries = keys, entries
	for i, vkeys := range [][]string{all, keys.VKeys} {
		for _, c := range []*cosigner.Witness{w.pending, w.own, w.audited} {
			w.know(c, vkeys)
		}
		after, _ := record(fmt.Sprintf(`{"id": %d}`, i))
		if !w.add(after) || w.evidence() != nil {
			t.Errorf("%d: not audited, evidence %+v", i, w.evidence())
		}
	}
	w.until(uint64(len(w.entries)))
	w.stop()
	w.start()
	if after, _ := record(`{"id": "restarted"}`); !w.add(after) {
		t.Error("not audited after a restart")
	}
}
