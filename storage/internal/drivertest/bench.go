package drivertest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage"
)

const (
	// waiting is how many entries are on their way at once where they come as fast as they
	// are taken. Each waits for integration and a checkpoint, a second or two; fewer would
	// measure that.
	waiting = 16000
	// steady is how many entries come a second otherwise, whatever becomes of them.
	steady = 1000
)

// measure adds entries of about 1 KiB until they are published, with so many a second, or as
// fast as they are taken where that is 0. It reports how many there were a second, and how
// long they took.
func measure(b *testing.B, rate int, add func(entry []byte) error) {
	b.Helper()
	all := make([][]byte, b.N)
	for i := range all {
		all[i] = make([]byte, 1000)
		_, _ = rand.Read(all[i]) // it never fails
	}
	took := make([]time.Duration, b.N)
	slots := make(chan struct{}, waiting)
	b.ResetTimer()
	began := time.Now()
	var group sync.WaitGroup
	for i, entry := range all {
		due := time.Now()
		if rate > 0 {
			due = began.Add(time.Duration(i) * time.Second / time.Duration(rate))
			time.Sleep(time.Until(due))
		} else {
			slots <- struct{}{}
			due = time.Now()
		}
		group.Go(func() {
			if err := add(entry); err != nil {
				b.Error(err)
			}
			if took[i] = time.Since(due); rate == 0 {
				<-slots
			}
		})
	}
	group.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
}

// BenchmarkLog measures entries until they are published: as many as there can be, a steady
// number, the same with small batches, and what the bucket is asked for meanwhile.
func BenchmarkLog(b *testing.B, newPlace func(testing.TB) Place) {
	run := func(name string, rate int, batch uint, watch func(b *testing.B, s *Service) (report func())) {
		b.Run(name, func(b *testing.B) {
			s := NewService(b, newPlace(b))
			s.change = func(o *storage.Options) { o.BatchMaxSize, o.Pushback = batch, waiting }
			report := watch(b, s)
			s.Open()
			measure(b, rate, func(entry []byte) error {
				wait, err := s.log.Append(b.Context(), entry)
				if err != nil {
					return err
				}
				index, _, err := wait(b.Context())
				if err == nil {
					_, err = s.log.Await(b.Context(), index)
				}
				return err
			})
			s.Close()
			report()
		})
	}
	unwatched := func(*testing.B, *Service) func() { return func() {} }
	run("saturated", 0, 0, unwatched)
	run(fmt.Sprintf("%d-a-second", steady), steady, 0, unwatched)
	for _, batch := range []uint{16, 64, 256} {
		run(fmt.Sprintf("%d-a-second/batches-of-%d", steady, batch), steady, batch, unwatched)
	}
	run(fmt.Sprintf("%d-a-second/requests", steady), steady, 0, countRequests)
}

// countRequests reports objects and requests for a million entries.
func countRequests(b *testing.B, s *Service) (report func()) {
	var writes, reads atomic.Int64
	var count fault = func(server http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			reads.Add(1)
		} else {
			writes.Add(1)
		}
		server.ServeHTTP(w, r)
	}
	faulty(b, s).fault.Store(&count)
	return func() {
		millions := float64(b.N) / 1e6
		b.ReportMetric(float64(writes.Load())/millions, "writes/million")
		b.ReportMetric(float64(reads.Load())/millions, "reads/million")
		b.ReportMetric(float64(len(testlog.Must(s.Objects(b.Context()))(b)))/millions, "objects/million")
	}
}

// BenchmarkBare measures the same of Tessera's driver alone, which publishes by
// itself and knows no duplicates.
func BenchmarkBare(b *testing.B, newDriver func(*testing.B) tessera.Driver, interval time.Duration) {
	for name, rate := range map[string]int{"saturated": 0, fmt.Sprintf("%d-a-second", steady): steady} {
		b.Run(name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			appender, shutdown, reader, err := tessera.NewAppender(ctx, newDriver(b), tessera.NewAppendOptions().WithCheckpointSigner(testlog.NewKeys(b).Note).
				WithBatching(storage.DefaultBatchMaxSize, storage.DefaultBatchMaxAge).WithCheckpointInterval(interval).WithPushback(40960))
			if err != nil {
				b.Fatal(err)
			}
			awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 100*time.Millisecond)
			measure(b, rate, func(entry []byte) error {
				_, _, err := awaiter.Await(ctx, appender.Add(ctx, tessera.NewEntry(entry)))
				return err
			})
			if err := shutdown(ctx); err != nil {
				b.Fatal(err)
			}
		})
	}
}
