package parallel_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/parallel"
)

func TestOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		var mu sync.Mutex
		var running, most int
		count := func(change int) {
			mu.Lock()
			defer mu.Unlock()
			running += change
			most = max(most, running)
		}
		f := func(_ context.Context, n uint64) (uint64, error) {
			count(1)
			defer count(-1)
			time.Sleep(time.Duration(n%7) * time.Second) // of the bubble's clock, to end in another order
			if n == 13 {
				return 0, fs.ErrInvalid
			}
			return n * n, nil
		}
		next := uint64(5)
		for n, r := range parallel.Ordered(ctx, 5, 40, 3, f) {
			if n != next || (r.Err == nil) == (n == 13) || (n != 13 && r.Value != n*n) {
				t.Fatalf("result %d: %+v, want the one of %d", n, r, next)
			}
			next++
		}
		if next != 40 || running != 0 || most != 3 {
			t.Errorf("ended at %d with %d running, at most %d", next, running, most)
		}
		for range parallel.Ordered(ctx, 7, 7, 3, f) {
			t.Error("a result of nothing")
		}
	})
}

// TestOrderedStops: a consumer that stops, or a context that ends, stops every
// call; the test ends only when no goroutine is left.
func TestOrderedStops(t *testing.T) {
	block := func(ctx context.Context, n uint64) (uint64, error) {
		if n == 0 {
			return n, nil
		}
		<-ctx.Done()
		return n, ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		for n, r := range parallel.Ordered(context.Background(), 0, 1000, 4, block) {
			if n != 0 || r.Err != nil {
				t.Fatalf("result %d: %+v", n, r)
			}
			synctest.Wait() // as much is under way as can be
			break
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var last error
		for _, r := range parallel.Ordered(ctx, 0, 1000, 4, block) {
			last = r.Err
			cancel()
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("the end of a cancelled walk is %v", last)
		}
	})
}

// TestOrderedCancelled: a context that has ended before is told, however quick
// the calls are.
func TestOrderedCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		var last error
		for _, r := range parallel.Ordered(ctx, 0, 3, 8, func(context.Context, uint64) (int, error) { return 1, nil }) {
			last = r.Err
		}
		if !errors.Is(last, context.Canceled) {
			t.Fatalf("error %v", last)
		}
	}
}

// TestMap: results come in order, of calls that run at once, and a consumer that stops waits for the calls that it began.
func TestMap(t *testing.T) {
	for _, stop := range []int{40, 7} {
		synctest.Test(t, func(t *testing.T) {
			var running, most, began atomic.Int32
			read := 0
			next := 0
			for n := range parallel.Map(func(yield func(int) bool) {
				for n := range 40 {
					if read++; !yield(n) {
						return
					}
				}
			}, 3, func(n int) int {
				began.Add(1)
				if now := running.Add(1); now > most.Load() {
					most.Store(now)
				}
				time.Sleep(time.Duration(n%5) * time.Second) // of the bubble's clock, to end in another order
				running.Add(-1)
				return n * n
			}) {
				if n != next*next {
					t.Fatalf("%d, want %d", n, next*next)
				}
				if next++; next == stop {
					break
				}
			}
			if next != stop || running.Load() != 0 || most.Load() != 3 || int(began.Load()) > stop+3 || read > stop+4 {
				t.Errorf("ended at %d of %d with %d running, at most %d, of %d that began", next, stop, running.Load(), most.Load(), began.Load())
			}
		})
	}
}
