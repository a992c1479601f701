package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// eventful is a log in which something happens in every bundle: policies and
// keys change, a chain goes on, and there are violations of several kinds.
func (w *world) eventful(bundles int) (entries [][]byte, want []string) {
	entries = w.begin(`, "chain": "optional"`)
	keys, inForce := entries[0], entries[1]
	var chain [][]byte
	var late []byte // that garbage came before
	garbage := map[int]bool{}
	for len(entries) < bundles*tiles.Width-100 {
		link := &scitt.ChainLink{Name: "c", Seq: uint64(len(chain))}
		if len(chain) > 0 {
			id := testlog.ID(chain[len(chain)-1])
			link.Prev = id[:]
		}
		n := len(entries)
		add := func(e []byte, check ...string) {
			for _, c := range check {
				want = append(want, fmt.Sprintf("%d %s", len(entries), c))
			}
			entries = append(entries, e)
		}
		switch {
		case n%97 == 0:
			add(w.sign(w.bob, scitt.SignOptions{}, fmt.Sprint(n)), "issuer")
		case n%89 == 0:
			check := "log/duplicate"
			if garbage[n-50] {
				check = "signature" // a copy of it is nobody's word either
			}
			garbage[n] = garbage[n-50]
			add(entries[n-50], check)
		case n%71 == 0:
			add(testlog.Twin(w.t, chain[len(chain)/2]), "log/duplicate")
		case n%67 == 0 && late == nil:
			late = w.sign(w.alice, scitt.SignOptions{}, fmt.Sprint("late ", n))
			garbage[n] = true
			add(tamper(late), "signature")
		case n%61 == 0 && late != nil:
			add(late)
			late = nil
		case n%83 == 0:
			inForce = w.signPolicy(w.admin, w.policy(inForce, fmt.Sprintf(`, "chain": "optional", "limits": {"max_entry_bytes": %d}`, 2000+n)))
			add(inForce)
		case n%79 == 0:
			keys = w.nextKeys(w.keys.Service, keys, asIs)
			add(keys)
		case n%73 == 0:
			add(w.link(uint64(len(chain))+1, entries[n-1]), "chain")
		case n%7 == 0:
			e := w.sign(w.alice, scitt.SignOptions{Chain: link}, fmt.Sprint(n))
			chain = append(chain, e)
			add(e)
		default:
			add(w.sign(w.alice, scitt.SignOptions{}, fmt.Sprint(n)))
		}
	}
	return entries, want
}

// TestResume stops an audit at every point where it saves, and goes on from
// there: nothing is told twice, nothing is left out, and it comes to the same.
func TestResume(t *testing.T) {
	w := newWorld(t)
	entries, want := w.eventful(5)
	for _, grow := range []int{0, 300} { // entries that come while the audit is stopped
		m := w.log(entries[:len(entries)-grow]...)
		a := w.auditor(m, nil, Options{})
		var told []int // before each state
		a.o.Progress = func(uint64, uint64) { a.nextSave = time.Time{} }
		save := a.o.Save
		a.o.Save = func(s *State) error { told = append(told, len(a.told)); return save(s) }
		if err := a.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(a.states) < 4 {
			t.Fatalf("%d states", len(a.states))
		}
		w.write(m, entries...)
		var last *State
		for i, state := range a.states {
			b := w.auditor(m, state, Options{})
			if err := b.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := append(lines(a.told[:told[i]]), lines(b.told)...); !slices.Equal(got, want) {
				t.Fatalf("state %d at %d: got %q, want %q", i, state.Next, got, want)
			}
			end := b.states[len(b.states)-1]
			if got := lines(end.Violations); !slices.Equal(got, want) {
				t.Fatalf("state %d: in the end it holds %q", i, got)
			}
			if last != nil && !reflect.DeepEqual(last, end) {
				t.Fatalf("state %d leads to another end:\n%+v\n%+v", i, end, last)
			}
			last = end
		}
		if n := len(last.Policies); n < 5 || len(last.Keys) < 5 || len(last.Heads) != 1 {
			t.Errorf("%d policies, %d keys, %d heads", n, len(last.Keys), len(last.Heads))
		}
	}
}

// TestInterrupt: an audit whose context ends has saved its state, and can go
// on in the same process or in another.
func TestInterrupt(t *testing.T) {
	w := newWorld(t)
	entries, want := w.eventful(20)
	m := w.log(entries...)
	ctx, cancel := context.WithCancel(t.Context())
	a := w.auditor(m, nil, Options{})
	a.o.Progress = func(uint64, uint64) { cancel() }
	if err := a.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	state := a.states[len(a.states)-1]
	if s := a.Summary(); state.Next == 0 || state.Next == state.Size || state.Next != s.Done || s.Complete {
		t.Fatalf("it ended at %d of %d, the summary says %+v", state.Next, state.Size, s)
	}
	before := slices.Clone(a.told)
	a.o.Progress = func(uint64, uint64) {}
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.expect(want...)
	b := w.auditor(m, state, Options{})
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := append(lines(before), lines(b.told)...); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOtherHistory: a log that does not extend what was audited, with signed
// evidence; and when the log is back, the audit goes on.
func TestOtherHistory(t *testing.T) {
	w := newWorld(t)
	entries := append(w.begin(""), w.statements(600)...)
	other := append(slices.Clone(entries[:299]), w.statements(400)...)
	for name, tc := range map[string]struct {
		now     [][]byte
		message string
	}{
		"forked":        {other, "does not extend"},
		"the same size": {other[:300], "two checkpoints of size 300"},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			m := w.log(entries[:300]...)
			old := string(m.files["checkpoint"])
			first := w.audit(m, Options{})
			first.expect()
			state := first.states[len(first.states)-1]

			m.replace(w.log(tc.now...))
			a := w.auditor(m, state, Options{})
			for range 2 { // it is still so
				a.told = nil
				if err := a.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				a.expect(CheckConsistency)
			}
			v := a.told[0]
			if !strings.Contains(v.Message, tc.message) || !slices.Equal(v.Checkpoints, []string{old, string(m.files["checkpoint"])}) {
				t.Errorf("%+v", v)
			}
			if _, _, err := testlog.Must(tiles.ParseEquivocation(v.Proof))(t).Verify(w.keys.Verifiers); err != nil {
				t.Error(err)
			}
			if a.Summary().Complete {
				t.Error("complete")
			}
			// A wrong tile is not called a fork.
			m.replace(w.log(entries...))
			m.files[tiles.TilePath(0, 1, 0)] = make([]byte, tiles.Width*leafSize)
			a = w.auditor(m, a.states[len(a.states)-1], Options{})
			if err := a.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.expect(CheckTile)
			m.replace(w.log(entries...))
			b := w.auditor(m, a.states[len(a.states)-1], Options{})
			if err := b.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.expect()
			if s := b.Summary(); s.Done != 602 || !s.Complete {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestBehind: a log that shows fewer entries than were audited is accused of nothing,
// unless they are proven to be of another history. What cannot be told is held to the
// larger tree when that is there again.
func TestBehind(t *testing.T) {
	w := newWorld(t)
	entries := append(w.begin(""), w.statements(298)...)
	other := append(slices.Clone(entries[:280]), w.statements(15)...)
	for name, tc := range map[string]struct {
		now   [][]byte
		tiles bool // of the larger tree are there too
		want  string
		later string // what is told when the log is as large as it was
	}{
		"an older state":               {entries[:299], true, "both are one history", ""},
		"an older state alone":         {entries[:299], false, "cannot be checked", ""},
		"another history":              {other, true, "", CheckConsistency},
		"another history alone":        {other, false, "cannot be checked", CheckConsistency},
		"the bundles of another state": {entries[:257], false, "cannot be checked", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			m := w.log(entries...)
			first := w.audit(m, Options{})
			first.expect()
			whole := maps.Clone(m.files)
			if !tc.tiles {
				clear(m.files)
			}
			w.write(m, tc.now...)
			a := w.auditor(m, first.states[len(first.states)-1], Options{})
			for range 2 { // it is still so
				a.told = nil
				err := a.Run(t.Context())
				if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, tiles.ErrBehind) || !strings.Contains(err.Error(), tc.want)) {
					t.Fatal(err)
				}
			}
			if tc.want != "" {
				a.expect()
			} else {
				a.expect(CheckConsistency)
			}
			maps.Copy(m.files, whole)
			b := w.auditor(m, a.states[len(a.states)-1], Options{})
			if err := b.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			told := slices.Concat(a.told, b.told)
			if tc.later == "" {
				b.expect()
				if s := b.Summary(); !s.Complete || s.Done != 300 {
					t.Errorf("%+v", s)
				}
				return
			}
			older, newer, err := testlog.Must(tiles.ParseEquivocation(told[0].Proof))(t).Verify(w.keys.Verifiers)
			if err != nil || told[0].Check != CheckConsistency || older.Size != 295 || newer.Size != 300 {
				t.Errorf("%+v: %v", told, err)
			}
		})
	}
}
