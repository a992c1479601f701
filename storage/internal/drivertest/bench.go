package drivertest

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage"
)

// waiting is how many entries are on their way at once.
const waiting = 4000

// entries are distinct entries of about 1 KiB.
func entries(b *testing.B) [][]byte {
	b.Helper()
	all := make([][]byte, b.N)
	for i := range all {
		all[i] = make([]byte, 1000)
		_, _ = rand.Read(all[i]) // it never fails
	}
	return all
}

// measure adds entries and reports how many there were a second.
func measure(b *testing.B, add func(entry []byte) error) {
	b.Helper()
	work := make(chan []byte)
	all := entries(b)
	b.ResetTimer()
	var group sync.WaitGroup
	for range waiting {
		group.Go(func() {
			for entry := range work {
				if err := add(entry); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for _, entry := range all {
		work <- entry
	}
	close(work)
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkLog measures entries until they are published.
func BenchmarkLog(b *testing.B, p Place) {
	s := NewService(b, p).Open()
	measure(b, func(entry []byte) error {
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
	b.StopTimer()
	s.close()
}

// BenchmarkBare measures the same of Tessera's driver alone, which publishes by
// itself and knows no duplicates.
func BenchmarkBare(b *testing.B, driver tessera.Driver, interval time.Duration) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().WithCheckpointSigner(testlog.NewKeys(b).Note).
		WithBatching(storage.DefaultBatchMaxSize, storage.DefaultBatchMaxAge).WithCheckpointInterval(interval).WithPushback(40960))
	if err != nil {
		b.Fatal(err)
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 100*time.Millisecond)
	measure(b, func(entry []byte) error {
		_, _, err := awaiter.Await(ctx, appender.Add(ctx, tessera.NewEntry(entry)))
		return err
	})
	b.StopTimer()
	if err := shutdown(ctx); err != nil {
		b.Fatal(err)
	}
}
