package personality

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"
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
	var idle time.Duration
	for range 100 { // another program may have the processors
		time.Sleep(time.Millisecond)
		if idle = seen(); idle < loaded/2 {
			break
		}
	}
	if loaded == 0 || idle >= loaded/2 {
		t.Errorf("%v under load, %v without", loaded, idle)
	}
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
