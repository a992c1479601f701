package keeper

import (
	"bytes"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// unread is a client that gets an answer and keeps nothing of it.
type unread struct {
	httptest.ResponseRecorder
	bytes int
}

func (u *unread) Write(p []byte) (int, error) {
	u.bytes += len(p)
	return len(p), nil
}

// TestFilesStayOnDisk: a mirror does not read a large file into memory for each that asks for it,
// who may be slow to read it.
func TestFilesStayOnDisk(t *testing.T) {
	w := newWorld(t)
	w.pulls = true
	for len(w.entries) < tiles.Width {
		w.entries = append(w.entries, bytes.Repeat([]byte{byte(len(w.entries))}, 50_000))
	}
	w.grow(tiles.Width)
	w.start()
	w.pend(tiles.Width)
	w.until(tiles.Width)
	path := "/mirror/" + cosigner.HashOf(testlog.Origin) + "/" + tiles.BundlePath(0, tiles.Width)
	least := uint64(math.MaxUint64) // others work at the same time
	for range 10 {
		var before, after runtime.MemStats
		u := &unread{*httptest.NewRecorder(), 0}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		runtime.ReadMemStats(&before)
		w.handler.ServeHTTP(u, r)
		runtime.ReadMemStats(&after)
		if u.Code != http.StatusOK || u.bytes < 12<<20 {
			t.Fatalf("status %d, %d bytes", u.Code, u.bytes)
		}
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	if least > 1<<20 {
		t.Errorf("it takes %d bytes of memory to send the file", least)
	}
}
