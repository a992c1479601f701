package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		entries := append(w.begin(""), w.statements(500)...)
		bad := w.sign(w.bob, scitt.SignOptions{}, "{}")
		all := slices.Concat(entries[:300], [][]byte{bad}, entries[300:])
		m := w.log(all[:255]...)
		a := w.auditor(m, nil, Options{})
		// What each pass came to, from the goroutine of Follow.
		type pass struct {
			Summary
			told []string
		}
		passes := make(chan pass)
		save := a.o.Save
		a.o.Save = func(s *State) error {
			err := save(s)
			passes <- pass{a.Summary(), lines(a.told)}
			return err
		}
		failures := 0
		done := make(chan error)
		go func() { done <- a.Follow(t.Context(), time.Minute, func(error) { failures++ }) }()
		start := time.Now()
		next := func(size int, told ...string) {
			t.Helper()
			p := <-passes
			if p.Done != uint64(size) || !slices.Equal(p.told, told) {
				t.Errorf("after %v: %+v, want %d entries and %q", time.Since(start), p, size, told)
			}
		}
		next(255)
		for _, n := range []int{255, 256, 290, 290} {
			w.write(m, all[:n]...)
			next(n)
		}
		w.write(m, all[:301]...)
		next(301, "300 issuer")

		// Out of reach for a while, and missing nothing.
		m.mu.Lock()
		delete(m.files, "checkpoint")
		m.mu.Unlock()
		next(301, "300 issuer")
		next(301, "300 issuer")
		w.write(m, all...)
		next(len(all), "300 issuer")
		if took := time.Since(start); took != 8*time.Minute {
			t.Errorf("it took %v", took)
		}

		// A log that cannot be followed ends it.
		m.replace(w.log(append(slices.Clone(entries), w.statements(5)...)...))
		next(len(all), "300 issuer", CheckConsistency)
		if err := <-done; err != nil || failures != 2 {
			t.Errorf("error %v, %d failures", err, failures)
		}
	})
}

// TestCopyBetweenPasses audits a copy, which has the partial files of its own
// size only, and again when it was made anew from the log that grew. Files that
// are missing tell nothing about the log that was audited.
func TestCopyBetweenPasses(t *testing.T) {
	w := newWorld(t)
	entries, _ := w.eventful(3)
	m := w.log(entries[:290]...)
	a := w.auditor(m, nil, Options{})
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := len(a.told)
	grown := w.log(entries[:320]...)
	delete(grown.files, tiles.BundlePath(1, 290-256))
	delete(grown.files, tiles.TilePath(0, 1, 290-256))
	m.replace(grown)
	lost := tiles.TilePath(0, 1, 320-256)
	data := m.files[lost]
	delete(m.files, lost)
	if err := a.Run(t.Context()); !errors.Is(err, fs.ErrNotExist) || len(a.told) != told {
		t.Errorf("without a tile: %v, told %q", err, lines(a.told[told:]))
	}
	m.put(lost, data)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh := w.audit(w.log(entries[:320]...), Options{})
	if !slices.Equal(lines(a.told), lines(fresh.told)) {
		t.Errorf("told %q, and %q by a new audit", lines(a.told), lines(fresh.told))
	}
}

// TestSince: what is before is read and not judged.
func TestSince(t *testing.T) {
	w := newWorld(t)
	entries, want := w.eventful(3)
	for _, since := range []uint64{1, 255, 256, 400} {
		later := slices.Clone(want)
		later = slices.DeleteFunc(later, func(l string) bool {
			var index uint64
			if _, err := fmt.Sscan(l, &index); err != nil {
				t.Fatal(err)
			}
			return index < since
		})
		got := w.auditor(w.log(entries...), nil, Options{Since: since}) // what proves these violations is in TestCopyBetweenPasses
		if err := got.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		// A gap that was not judged is the head of its chain, so that the next
		// entry of the chain may look wrong; everything else is as it is.
		got.told = slices.DeleteFunc(got.told, func(v Violation) bool { return v.Check == "chain" })
		later = slices.DeleteFunc(later, func(l string) bool { return strings.HasSuffix(l, " chain") })
		if !slices.Equal(lines(got.told), later) {
			t.Errorf("since %d: got %q, want %q", since, lines(got.told), later)
		}
		if s := got.Summary(); s.Since != since || !s.Complete || len(s.Policies) < 3 {
			t.Errorf("%+v", s)
		}
	}
}

func TestStateOfAnotherLog(t *testing.T) {
	w := newWorld(t)
	m := w.log(append(w.begin(""), w.statements(10)...)...)
	a := w.audit(m, Options{})
	state := a.states[len(a.states)-1]
	state.Origin = "other.example"
	if _, err := New(tiles.NewLog(m, w.keys.Verifiers), state, Options{}); err == nil || !strings.Contains(err.Error(), "other.example") {
		t.Errorf("error %v", err)
	}
	other := testlog.NewKeys(t)
	state.Origin = testlog.Origin
	b := testlog.Must(New(tiles.NewLog(m, other.Verifiers), state, Options{}))(t)
	o := &world{t: t, keys: other}
	o.write(m, w.statements(20)...)
	if err := b.Run(t.Context()); !errors.Is(err, scitt.ErrCheckpoint) {
		t.Errorf("error %v", err)
	}
}

// TestList: what is listed is bounded, what is counted is not.
func TestList(t *testing.T) {
	w := newWorld(t)
	entries := w.begin("")
	for i := range 20 {
		entries = append(entries, w.sign(w.bob, scitt.SignOptions{}, fmt.Sprint(i)))
	}
	told := 0
	a := testlog.Must(New(tiles.NewLog(w.log(entries...), w.keys.Verifiers), nil, Options{List: 5, Report: func(Violation) { told++ }}))(t)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := a.Summary(); told != 5 || s.Violations != 20 || s.Checks["issuer"] != 20 {
		t.Errorf("told %d, %+v", told, s)
	}
}

func FuzzParseState(f *testing.F) {
	w := newWorld(f)
	entries, _ := w.eventful(2)
	a := testlog.Must(New(tiles.NewLog(w.log(entries...), w.keys.Verifiers), nil, Options{List: 10}))(f)
	path := f.TempDir() + "/state"
	var seed []byte
	a.o.Save = func(s *State) error {
		seed = testlog.Must(json.Marshal(s))(f)
		return s.Write(path)
	}
	if err := a.Run(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"version":1,"origin":"x","checkpoint":"","size":0,"next":0}`))
	f.Add([]byte(`{"version":1,"origin":"x","checkpoint":"y","size":1,"next":1,"heads":[{"entry_id":"0"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseState(data)
		if err != nil {
			return
		}
		if s.Next > s.Size || s.Version != stateVersion {
			t.Errorf("%+v", s)
		}
		// What was read is written as something that is read as the same.
		again, err := ParseState(testlog.Must(json.Marshal(s))(t))
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Errorf("%v: %+v and %+v", err, s, again)
		}
	})
}

// flaky is a source that fails for some paths.
type flaky struct {
	*memory
	fails func(path string) bool
}

var errUnreachable = errors.New("out of reach")

func (f *flaky) Get(ctx context.Context, path string) ([]byte, error) {
	if f.fails(path) {
		return nil, errUnreachable
	}
	return f.memory.Get(ctx, path)
}

// TestOutOfReach: a file that cannot be read now is no violation. What was
// done is kept, and the audit goes on when the file is back.
func TestOutOfReach(t *testing.T) {
	w := newWorld(t)
	entries, want := w.eventful(5)
	for _, path := range []string{"checkpoint", "tile/entries/002", "tile/0/001", "tile/1/000.p/4", "tile/entries/004.p/156"} {
		t.Run(path, func(t *testing.T) {
			w := *w
			w.t = t
			src := &flaky{w.log(entries...), func(p string) bool { return p == path }}
			if _, err := src.memory.Get(t.Context(), path); err != nil {
				t.Fatal(err)
			}
			a := w.auditor(src, nil, Options{})
			if err := a.Run(t.Context()); !errors.Is(err, errUnreachable) {
				t.Fatalf("error %v", err)
			}
			if done := a.Summary().Done; path == "tile/entries/002" && done != 512 || path == "tile/0/001" && done != 256 {
				t.Errorf("done %d", done)
			}
			if a.Summary().Complete {
				t.Error("complete")
			}
			src.fails = func(string) bool { return false }
			if err := a.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.expect(want...)
			if !a.Summary().Complete {
				t.Error("not complete")
			}
		})
	}
}

// TestRotation: a log that changes its keys is audited with those in force, and
// is not accused by an audit that has the ones before.
func TestRotation(t *testing.T) {
	var files testlog.Files
	keys := testlog.NewKeys(t)
	entries := keys.Begin(t, `{"version": 1}`)
	files.Publish(t, keys, entries)
	old := testlog.Must(New(tiles.NewLog(&files, keys.Verifiers), nil, Options{VKeys: keys.VKeys}))(t)
	if err := old.Run(t.Context()); err != nil || old.Summary().Violations != 0 {
		t.Fatalf("%v, %+v", err, old.Summary())
	}
	last := entries[0]
	for range 20 {
		keys, entries = keys.Rotate(t, entries, last)
		last = entries[len(entries)-1]
	}
	files.Publish(t, keys, entries)
	if err := old.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "announces other keys") || old.Summary().Violations != 0 {
		t.Errorf("%v, %+v", err, old.Summary())
	}
	a := testlog.Must(New(tiles.NewLog(&files, keys.Verifiers), nil, Options{VKeys: keys.VKeys}))(t)
	if err := a.Run(t.Context()); err != nil || a.Summary().Violations != 0 || len(a.Summary().Keys) != 21 || !a.Summary().Complete {
		t.Errorf("%v, %+v", err, a.Summary())
	}
	// Without a statement that announces other keys it is accused.
	stranger := testlog.NewKeys(t)
	files.Publish(t, stranger, entries[:1])
	files.Put(tiles.ConfigurationPath, nil)
	if err := old.Run(t.Context()); err != nil || old.Summary().Checks[CheckCheckpoint] != 1 {
		t.Errorf("%v, %+v", err, old.Summary())
	}
}
