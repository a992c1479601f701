package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/transparency-dev/tessera"
)

// memory is a log in memory that knows its entries, and whose batches fail as
// they are told to: stored or not.
type memory struct {
	entries []string
	places  map[string]uint64
	outcome func(n uint) (stored bool, err error)
}

func (m *memory) Decorator() func(tessera.AddFn) tessera.AddFn {
	return func(add tessera.AddFn) tessera.AddFn {
		return func(ctx context.Context, e *tessera.Entry) tessera.IndexFuture {
			if i, ok := m.places[string(e.Data())]; ok {
				return func() (tessera.Index, error) { return tessera.Index{Index: i, IsDup: true}, nil }
			}
			return add(ctx, e)
		}
	}
}

func (m *memory) Follower(func([]byte) ([][]byte, error)) tessera.Follower { return nil }

func (m *memory) appender(_ context.Context, n uint) (tessera.AddFn, error) {
	var batch []string
	var failure error
	return func(_ context.Context, e *tessera.Entry) tessera.IndexFuture {
		i := uint64(len(m.entries) + len(batch))
		if batch = append(batch, string(e.Data())); len(batch) == int(n) {
			var stored bool
			if stored, failure = m.outcome(n); stored {
				for _, b := range batch {
					m.places[b] = uint64(len(m.entries))
					m.entries = append(m.entries, b)
				}
			}
		}
		return func() (tessera.Index, error) { return tessera.Index{Index: i}, failure }
	}, nil
}

// TestRunsHaveNoGaps: whatever fails, what the log has of a run is its
// beginning in its order, and what was acknowledged is there.
func TestRunsHaveNoGaps(t *testing.T) {
	errDisk := errors.New("disk on fire")
	failures := 0
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := &memory{places: map[string]uint64{}, outcome: func(uint) (bool, error) {
			switch random.IntN(6) {
			case 0:
				return false, errDisk
			case 1:
				return true, errDisk // failed, but persisted
			}
			return true, nil
		}}
		w := &whole{antispam: m, appender: m.appender}
		b := &batcher{ready: func(context.Context) error { return nil }, outcome: &outcome{}, whole: w, resolved: func() {}, add: func(ctx context.Context, e *tessera.Entry) tessera.IndexFuture {
			add, _ := m.appender(ctx, 1)
			return m.Decorator()(add)(ctx, e)
		}}
		var all []*pending
		var last [3]*pending
		var want [3][]string // of each run, once each
		for i := range 60 {
			run := random.IntN(3)
			content := fmt.Sprintf("%d/%d", run, i)
			if n := len(want[run]); n > 0 && random.IntN(5) == 0 {
				content = want[run][n-1] // once more
			} else {
				want[run] = append(want[run], content)
			}
			last[run] = &pending{entry: tessera.NewEntry([]byte(content)), done: make(chan struct{}), after: last[run]}
			all = append(all, last[run])
		}
		for rest := all; len(rest) > 0; {
			n := min(1+random.IntN(12), len(rest))
			b.store(t.Context(), rest[:n], nil)
			rest = rest[n:]
		}
		var got [3][]string
		for _, e := range m.entries {
			got[e[0]-'0'] = append(got[e[0]-'0'], e)
		}
		for run := range got {
			if n := len(got[run]); n > len(want[run]) || !slices.Equal(got[run], want[run][:n]) {
				t.Fatalf("seed %d: of the run %v the log has %v", seed, want[run], got[run])
			}
		}
		for _, p := range all {
			if p.err != nil {
				failures++
			} else if m.entries[p.place.Index] != string(p.entry.Data()) {
				t.Fatalf("seed %d: %s is acknowledged at %d", seed, p.entry.Data(), p.place.Index)
			}
		}
	}
	if failures < 1000 {
		t.Errorf("only %d failures: this was no test", failures)
	}
}
