package personality

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testwait"
)

// TestProcessor: many goroutines that want the same processors wait for them,
// and that is seen; when they are gone, so is the waiting.
func TestProcessor(t *testing.T) {
	p := newProcessor()
	p.delay()
	busy := func(goroutines int) {
		var group sync.WaitGroup
		for range goroutines {
			group.Go(func() {
				for until := time.Now().Add(10 * time.Millisecond); time.Now().Before(until); {
					runtime.Gosched()
				}
			})
		}
		group.Wait()
	}
	seen := func() time.Duration {
		p.read = time.Time{}
		return p.delay()
	}
	busy(2000)
	loaded := seen()
	if loaded == 0 {
		t.Error("there is no delay under load")
	}
	testwait.Until(t, func() bool { return seen() < loaded/2 }, "less delay than ", loaded) // another program may have the processors
}

func TestMean(t *testing.T) {
	h := &metrics.Float64Histogram{Buckets: []float64{math.Inf(-1), 0, 1, 2, math.Inf(1)}, Counts: []uint64{1, 2, 3, 4}}
	for _, c := range []struct {
		before []uint64
		want   time.Duration
	}{
		{nil, 1100 * time.Millisecond},
		{[]uint64{1, 2, 3, 3}, 2 * time.Second},
		{[]uint64{1, 2, 3, 4}, 0},
	} {
		if got := mean(h, c.before); got != c.want {
			t.Errorf("since %v: %v, want %v", c.before, got, c.want)
		}
	}
}
