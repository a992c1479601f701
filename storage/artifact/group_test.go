package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// putMany stores n small artifacts at a time, none before all have begun, and
// gives how many were stored, and the last error.
func putMany(t *testing.T, d *dirStorage, n int, name string) (stored int, err error) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	begun := make(chan struct{})
	waiting := atomic.Int64{}
	for i := range n {
		wg.Go(func() {
			r := &gate{Reader: *bytes.NewReader(fmt.Appendf(nil, "%s %d", name, i)), begun: begun}
			if int(waiting.Add(1)) == n {
				close(begun)
			}
			_, created, putErr := d.Put(t.Context(), r, Want{})
			mu.Lock()
			defer mu.Unlock()
			if putErr != nil {
				err = putErr
			} else if created {
				stored++
			}
		})
	}
	wg.Wait()
	return stored, err
}

// gate gives nothing before all have begun.
type gate struct {
	bytes.Reader
	begun chan struct{}
}

func (g *gate) Read(p []byte) (int, error) {
	<-g.begun
	return g.Reader.Read(p)
}

// TestGroup: many small uploads are made durable together, an error of that is
// every one's, and then none is stored.
func TestGroup(t *testing.T) {
	d := mustOpenDir(t, t.TempDir(), Options{})
	const n = 64
	var calls atomic.Int64
	d.group.all = func() error { calls.Add(1); return nil }
	if stored, err := putMany(t, d, n, "good"); stored != n || err != nil {
		t.Fatalf("%d of %d stored, %v", stored, n, err)
	}
	if c := calls.Load(); c == 0 || c >= 2*n {
		t.Errorf("%d syncs for %d uploads", c, n)
	}
	d.group.all = func() error { return syscall.EIO }
	if _, err := putMany(t, d, n, "bad"); !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync that failed: %v", err)
	}
	d.group.all = func() error { t.Error("a single upload was not made durable alone"); return nil }
	if _, _, err := d.Put(t.Context(), bytes.NewReader([]byte("alone")), Want{}); err != nil {
		t.Fatal(err)
	}
}

// TestAtLeast tells kernels apart.
func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{"5.8.0": true, "5.7.19-generic": false, "6.1.0-13-amd64": true, "4.19": false, "10.0": true, "": false, "x.y": false} {
		if got := atLeast(release, 5, 8); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}
