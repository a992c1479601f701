package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
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
		b := &batcher{writable: func() error { return nil }, outcome: &outcome{}, whole: w, resolved: func() {}, add: func(ctx context.Context, e *tessera.Entry) tessera.IndexFuture {
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

// TestWholeBatch: Tessera's driver stores such a batch in one piece, however
// slowly it is handed over.
func TestWholeBatch(t *testing.T) {
	dir, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	driver := posixDriver{dir}
	td, err := driver.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The log's own appender makes the empty tree.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, reader, err := td.(*posix.Storage).Appender(ctx, tessera.NewAppendOptions().WithCheckpointSigner(emptySigner{}).WithCheckpointInterval(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	total := uint64(0)
	for _, n := range []int{1, 2, 255, 256, 700, 1024} {
		add, err := driver.wholeBatch(ctx, td, uint(n))
		if err != nil {
			t.Fatal(err)
		}
		var futures []tessera.IndexFuture
		for i := range n {
			if i == n-1 {
				time.Sleep(2 * handOver) // Tessera's own queue would be closed by now
				if size, err := reader.IntegratedSize(ctx); err != nil || size != total {
					t.Fatalf("%d of %d are handed over, and the log has %d entries more (%v)", i, n, size-total, err)
				}
			}
			futures = append(futures, add(ctx, tessera.NewEntry(fmt.Appendf(nil, "%d/%d", n, i))))
		}
		for i, future := range futures {
			if index, err := future(); err != nil || index.Index != total+uint64(i) {
				t.Fatalf("%d of %d is at %d, want %d (%v)", i, n, index.Index, total+uint64(i), err)
			}
		}
		total += uint64(n)
	}
}

// emptySigner signs the checkpoint of the empty tree.
type emptySigner struct{ noSigner }

func (emptySigner) Sign([]byte) ([]byte, error) { return make([]byte, 64), nil }
