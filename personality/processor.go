package personality

import (
	"math"
	"runtime/metrics"
	"sync"
	"time"
)

// processor tells how long a request waits for a processor: from when it could
// go on (bytes came, a checkpoint was published) until it does. No queue of ours
// shows that, and where many requests come at once it is most of their time.
type processor struct {
	mu     sync.Mutex
	sample []metrics.Sample
	counts []uint64 // of the histogram when it was last read
	read   time.Time
	last   time.Duration
}

const (
	// every so often the histogram is read, which takes microseconds.
	readEvery = 20 * time.Millisecond
	// turns is how often a request waits for a processor: to be read, to be judged,
	// when it is published, and to be answered.
	turns = 4
)

func newProcessor() *processor {
	return &processor{sample: []metrics.Sample{{Name: "/sched/latencies:seconds"}}}
}

// delay returns how long a request that comes now may be expected to wait for a
// processor, over all of its turns.
func (p *processor) delay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.read) < readEvery {
		return p.last
	}
	p.read = time.Now()
	metrics.Read(p.sample)
	if p.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := p.sample[0].Value.Float64Histogram()
	p.last = turns * mean(h, p.counts)
	p.counts = append(p.counts[:0], h.Counts...)
	return p.last
}

// mean of the waiting times in a histogram since it had other counts.
func mean(h *metrics.Float64Histogram, before []uint64) time.Duration {
	var n, sum float64
	for i, count := range h.Counts {
		if i < len(before) {
			count -= before[i]
		}
		if lower := h.Buckets[i]; count > 0 && !math.IsInf(lower, 0) {
			sum += float64(count) * lower
		}
		n += float64(count)
	}
	if n == 0 {
		return 0
	}
	return time.Duration(sum / n * float64(time.Second))
}
