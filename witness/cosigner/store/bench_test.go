package store_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/conmotion/conmotion/witness/conformance"
)

// BenchmarkAddCheckpoint has growing checkpoints of a hundred logs cosigned over
// HTTP, with both keys and durably: as many as there is time for, and a hundred a
// second. It reports the rate and the 99th percentile.
func BenchmarkAddCheckpoint(b *testing.B) {
	b.Run("saturated", func(b *testing.B) { addCheckpoints(b, rate.Inf) })
	b.Run("hundred-a-second", func(b *testing.B) { addCheckpoints(b, 100) })
}

func addCheckpoints(b *testing.B, perSecond rate.Limit) {
	const of = 100
	limit := rate.NewLimiter(perSecond, 1)
	logs := newLogs(b, of)
	r := start(b, logs...)
	r.target().HTTP.Transport.(*http.Transport).MaxIdleConnsPerHost = of
	// Each goroutine has logs of its own; a log that is full is replaced by a new one.
	bodies := make([][][]byte, 0, b.N/(conformance.Leaves-1)+of)
	for i := 0; len(bodies)*(conformance.Leaves-1) < b.N+of*conformance.Leaves; i++ {
		l, err := conformance.NewLog(fmt.Sprintf("bench%d.example", i), []byte("seed"))
		if err != nil {
			b.Fatal(err)
		}
		r.know(l.VKey, 1<<30)
		var of [][]byte
		for size := uint64(1); size < conformance.Leaves; size++ {
			of = append(of, l.Growing(0, size-1, size).Marshal())
		}
		bodies = append(bodies, of)
	}
	if err := r.witness.SetLogs(r.list); err != nil {
		b.Fatal(err)
	}
	var next, left atomic.Int64
	left.Store(int64(b.N))
	times := make([][]time.Duration, of)
	var wg sync.WaitGroup
	b.ResetTimer()
	for g := range of {
		wg.Go(func() {
			for {
				n := int(next.Add(1) - 1)
				if n >= len(bodies) {
					return
				}
				for _, body := range bodies[n] {
					if left.Add(-1) < 0 {
						return
					}
					if err := limit.Wait(b.Context()); err != nil {
						b.Error(err)
						return
					}
					begin := time.Now()
					resp, err := r.server.Client().Post(r.server.URL+"/add-checkpoint", "", bytes.NewReader(body))
					if err != nil {
						b.Error(err)
						return
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						b.Errorf("status %d", resp.StatusCode)
						return
					}
					times[g] = append(times[g], time.Since(begin))
				}
			}
		})
	}
	wg.Wait()
	all := slices.Sorted(slices.Values(slices.Concat(times...)))
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "checkpoints/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}
