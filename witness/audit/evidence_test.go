package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// evidence holds the evidence of each violation that an audit told to the audit: it
// shows the same, and nothing else. The same violation of the same tree is proved once.
func (w *world) evidence(src tiles.Source, o Options, told []Violation) {
	w.t.Helper()
	if len(told) == 0 {
		return
	}
	view, err := tiles.NewLog(src, w.keys.Verifiers).Latest(w.t.Context())
	if err != nil || o.Artifacts != nil {
		return // there is no log to prove anything about, or not from it alone
	}
	for _, v := range told {
		said := fmt.Sprintf("%x %s %s", view.Checkpoint.Root, lines([]Violation{v}), v.Message)
		if w.proved[said] {
			continue
		}
		w.proved[said] = true
		e, err := NewEvidence(w.t.Context(), view, w.keys.VKeys, v, nil)
		if v.Index == nil || errors.Is(err, tiles.ErrCorrupt) || strings.Contains(v.Message, "is trusted, and no keys statement") {
			continue // about files, or about what the auditor trusts
		}
		if err != nil {
			w.t.Fatal(err)
		}
		data := testlog.Must(e.Marshal())(w.t)
		again := testlog.Must(ParseEvidence(data))(w.t)
		got, err := again.Verify(w.t.Context(), w.keys.Verifiers, o)
		if err != nil || len(got.Gaps) > 0 || got.EntryID != v.EntryID {
			w.t.Errorf("entry %d, %s (%s): evidence %+v, %v", *v.Index, v.Check, v.Message, got, err)
		}
		for _, check := range []string{CheckStatement, CheckEncoding, CheckDuplicate, CheckKeys, CheckPolicy, policy.CheckSignature, policy.CheckIssuer, policy.CheckChain} {
			is := slices.ContainsFunc(told, func(o Violation) bool { return o.Index != nil && *o.Index == *v.Index && o.Check == check })
			again.Check = check
			if _, err := again.Verify(w.t.Context(), w.keys.Verifiers, o); is != (err == nil) {
				w.t.Errorf("entry %d: evidence of %s, which the audit found: %v; %v", *v.Index, check, is, err)
			}
		}
	}
}

const kept = "testdata/evidence.json"

// TestKeptEvidence: what was stored as evidence is evidence for ever.
func TestKeptEvidence(t *testing.T) {
	e := testlog.Must(ParseEvidence(testlog.Must(os.ReadFile(kept))(t)))(t)
	cv := testlog.Must(scitt.NewCheckpointVerifiers(e.VKeys))(t)
	if got, err := e.Verify(t.Context(), cv, Options{}); err != nil || len(got.Gaps) > 0 || e.Accused().Index != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestEvidence: what is changed in evidence, or left out, proves nothing; and of a good
// entry there is none.
func TestEvidence(t *testing.T) {
	w := newWorld(t)
	stranger := w.sign(testlog.Key(t, "ES256"), scitt.SignOptions{}, "{}")
	entries := append(w.begin(""), w.statements(3)...)
	entries = append(append(entries, stranger), w.statements(2)...)
	src := w.log(entries...)
	view := testlog.Must(tiles.NewLog(src, w.keys.Verifiers).Latest(t.Context()))(t)
	index := uint64(5)
	v := Violation{Index: &index, EntryID: testlog.ID(stranger).String(), Check: policy.CheckIssuer, Message: "the issuer"}
	w.evidence(src, Options{}, []Violation{v})
	good := func() *Evidence { return testlog.Must(NewEvidence(t.Context(), view, w.keys.VKeys, v, nil))(t) }
	verify := func(e *Evidence) (*Judged, error) { return e.Verify(t.Context(), w.keys.Verifiers, Options{}) }
	if os.Getenv("UPDATE_EVIDENCE") != "" {
		if err := os.WriteFile(kept, testlog.Must(good().Marshal())(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*Evidence){
		"another entry":       func(e *Evidence) { e.Entries[5].Data = entries[6] },
		"another index":       func(e *Evidence) { e.Entries[5].Index = 6 },
		"another proof":       func(e *Evidence) { e.Entries[5].Proof[0] = bytes.Clone(e.Entries[4].Proof[0][:31]) },
		"no proof":            func(e *Evidence) { e.Entries[5].Proof = nil },
		"another check":       func(e *Evidence) { e.Check = policy.CheckSubject },
		"an entry that is ok": func(e *Evidence) { e.Entries = e.Entries[:5] },
		"a changed tree":      func(e *Evidence) { e.Checkpoint = strings.Replace(e.Checkpoint, "\n8\n", "\n9\n", 1) },
		"another log's":       func(e *Evidence) { e.Checkpoint = string(testlog.NewKeys(t).Checkpoint(t, 8, view.Checkpoint.Root)) },
		"about the policy":    func(e *Evidence) { e.Entries = e.Entries[:2] },
	} {
		e := good()
		change(e)
		if _, err := verify(e); !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Without what lies between it is not proven: another policy may be there.
	for name, c := range map[string]struct {
		leftOut []int
		gaps    []Gap
	}{
		"between":     {[]int{3, 4}, []Gap{{3, 5}}},
		"in two":      {[]int{2, 4}, []Gap{{2, 3}, {4, 5}}},
		"the policy":  {[]int{1}, nil},
		"a statement": {[]int{2}, []Gap{{2, 3}}},
	} {
		e := good()
		for _, n := range slices.Backward(c.leftOut) {
			e.Entries = slices.Delete(e.Entries, n, n+1)
		}
		got, err := verify(e)
		if c.gaps == nil && !errors.Is(err, ErrEvidence) || c.gaps != nil && (err != nil || !slices.Equal(got.Gaps, c.gaps)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestEvidenceOfLargeLog: where all entries are too much, those are there that were
// named, and what they do not show is said. Other bytes than a statement's need no policy.
func TestEvidenceOfLargeLog(t *testing.T) {
	w := newWorld(t)
	entries := w.begin("")
	for range 80 {
		entries = append(entries, w.sign(w.alice, scitt.SignOptions{}, `"`+strings.Repeat("x", 60_000)+`"`))
	}
	entries = append(entries, w.sign(testlog.Key(t, "ES256"), scitt.SignOptions{}, "{}"), []byte("no statement"), entries[7])
	view := testlog.Must(tiles.NewLog(w.log(entries...), w.keys.Verifiers).Latest(t.Context()))(t)
	for _, c := range []struct {
		index   uint64
		check   string
		restsOn []uint64
		gaps    []Gap
	}{
		{82, policy.CheckIssuer, []uint64{0, 1}, []Gap{{2, 82}}},
		{83, CheckStatement, nil, nil},
		{84, CheckDuplicate, []uint64{7}, nil},
	} {
		e := testlog.Must(NewEvidence(t.Context(), view, w.keys.VKeys, Violation{Index: &c.index, Check: c.check}, c.restsOn))(t)
		got, err := e.Verify(t.Context(), w.keys.Verifiers, Options{})
		if err != nil || !slices.Equal(got.Gaps, c.gaps) || len(e.Entries) != len(c.restsOn)+1 {
			t.Errorf("%d entries: %+v, %v", len(e.Entries), got, err)
		}
	}
}

// TestLaterPolicy: a policy of a later version is not judged: whoever wrote it knows rules
// that this program does not.
func TestLaterPolicy(t *testing.T) {
	w := newWorld(t)
	begin := w.begin("")
	later := w.signPolicy(w.admin, strings.Replace(w.policy(begin[1], ""), `"version": 1`, `"version": 2`, 1))
	a := w.auditor(w.log(append(begin, later)...), nil, Options{})
	err := a.Run(t.Context())
	if s, ok := errors.AsType[*SchemaError](err); !ok || s.Version != 2 || s.Index != 2 || len(a.told) > 0 {
		t.Errorf("%v, told %v", err, a.told)
	}
}

// TestRunAt: an audit up to a checkpoint that the log does not show, and then on.
func TestRunAt(t *testing.T) {
	w := newWorld(t)
	entries := append(w.begin(""), w.statements(300)...)
	entries = append(entries, w.sign(testlog.Key(t, "ES256"), scitt.SignOptions{}, "{}"))
	all := w.log(entries...)
	a := w.auditor(all, nil, Options{})
	for _, size := range []int{100, 300, 303} {
		early := testlog.Must(tiles.NewLog(w.log(entries[:size]...), w.keys.Verifiers).Checkpoint(t.Context()))(t)
		// What the smaller log had beside the full files.
		w.log(entries[:size]...).each(all.put, tiles.CheckpointPath)
		if err := a.RunAt(t.Context(), early); err != nil {
			t.Fatal(err)
		}
		if s := a.Summary(); s.Size != uint64(size) || !s.Complete || s.Violations != uint64(size/303) {
			t.Errorf("at %d: %+v", size, s)
		}
	}
	a.expect("302 " + policy.CheckIssuer)
}

// TestInLog: where evidence leaves entries out, the log decides; one that shows less, or
// is damaged, cannot.
func TestInLog(t *testing.T) {
	w := newWorld(t)
	stranger := w.sign(testlog.Key(t, "ES256"), scitt.SignOptions{}, "{}")
	entries := append(append(w.begin(""), w.statements(3)...), stranger)
	src := w.log(entries...)
	view := testlog.Must(tiles.NewLog(src, w.keys.Verifiers).Latest(t.Context()))(t)
	index := uint64(5)
	e := testlog.Must(NewEvidence(t.Context(), view, w.keys.VKeys, Violation{Index: &index, Check: policy.CheckIssuer, Message: "m"}, nil))(t)
	another := *e
	another.Check = policy.CheckChain
	honest := *e
	honest.Entries = e.Entries[:5]
	damaged := w.log(entries...)
	damaged.each(func(path string, data []byte) {
		if strings.Contains(path, "tile/0/") {
			damaged.put(path, make([]byte, len(data)))
		}
	}, tiles.CheckpointPath)
	for name, c := range map[string]struct {
		e       *Evidence
		src     tiles.Source
		found   bool
		unknown bool // it cannot be told
	}{
		"what it says":     {e, src, true, false},
		"another check":    {&another, src, false, false},
		"a good entry":     {&honest, src, false, false},
		"less of the log":  {e, w.log(entries[:4]...), false, true},
		"damaged files":    {e, damaged, false, true},
		"a longer log too": {e, w.log(append(slices.Clone(entries), w.statements(1)...)...), true, false},
	} {
		found, err := c.e.InLog(t.Context(), tiles.NewLog(c.src, w.keys.Verifiers), view.Checkpoint, Options{VKeys: w.keys.VKeys})
		if found != c.found || (err != nil) != c.unknown {
			t.Errorf("%s: found %t, %v", name, found, err)
		}
	}
}

// each gives all files but one.
func (m *memory) each(put func(string, []byte), but string) {
	for path, data := range m.files {
		if path != but {
			put(path, data)
		}
	}
}

func FuzzEvidence(f *testing.F) {
	w := newWorld(f)
	entries := append(w.begin(""), w.sign(testlog.Key(f, "ES256"), scitt.SignOptions{}, "{}"))
	view := testlog.Must(tiles.NewLog(w.log(entries...), w.keys.Verifiers).Latest(f.Context()))(f)
	index := uint64(2)
	e := testlog.Must(NewEvidence(f.Context(), view, w.keys.VKeys, Violation{Index: &index, Check: policy.CheckIssuer}, nil))(f)
	f.Add(testlog.Must(e.Marshal())(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEvidence(data)
		if err != nil {
			return
		}
		if again := testlog.Must(e.Marshal())(t); !bytes.Equal(again, data) {
			t.Errorf("%q is read as %q", data, again)
		}
		if got, err := e.Verify(t.Context(), w.keys.Verifiers, Options{}); err == nil && (e.Accused().Index != 2 || got.Checkpoint.Size != 3) {
			t.Errorf("%q accuses an entry that is good", data)
		}
	})
}
