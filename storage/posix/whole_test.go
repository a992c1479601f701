package posix

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/storage"
)

// TestWholeBatch: Tessera's driver stores such a batch in one piece, however
// slowly it is handed over.
func TestWholeBatch(t *testing.T) {
	dir, err := storage.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	driver := New(dir, slog.New(slog.DiscardHandler)).(*driver)
	if _, err := driver.Open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	// The log's own appender makes the empty tree.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, reader, err := driver.engine.Appender(ctx, tessera.NewAppendOptions().WithCheckpointSigner(emptySigner{}).WithCheckpointInterval(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	total := uint64(0)
	for _, n := range []int{1, 2, 255, 256, 700, 1024} {
		add, err := driver.Whole(ctx, uint(n))
		if err != nil {
			t.Fatal(err)
		}
		var futures []tessera.IndexFuture
		for i := range n {
			if i == n-1 {
				time.Sleep(10 * time.Millisecond) // the queue of the log's appender would be closed by now
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
