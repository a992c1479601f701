package audit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// fill writes a log of n statements, each of 700 bytes of payload, into a
// directory, and holds no more of it than a tile of each level.
func (w *world) fill(t testing.TB, n int) tiles.Dir {
	t.Helper()
	dir := t.TempDir()
	wr := &writer{t: t, put: func(path string, data []byte) {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}}
	wr.add(w.begin("")...)
	padding := make([]byte, 700)
	batch := make([][]byte, 1024)
	for done := 0; done < n; {
		size := min(len(batch), n-done)
		var group sync.WaitGroup
		for c := range runtime.GOMAXPROCS(0) {
			group.Go(func() {
				for i := c; i < size; i += runtime.GOMAXPROCS(0) {
					batch[i] = w.sign(w.alice, scitt.SignOptions{}, fmt.Sprintf(`{"n": %d, "padding": "%x"}`, done+i, padding[:340]))
				}
			})
		}
		group.Wait()
		wr.add(batch[:size]...)
		done += size
	}
	wr.publish(w.keys.Note, w.keys.Tree)
	return tiles.Dir(dir)
}

// peak runs f and gives the most heap that was live after a collection while
// it ran, beyond what was live before, in bytes.
func peak(f func(sample func())) uint64 {
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := live(), uint64(0)
	f(func() { most = max(most, live()) })
	return most - min(most, before)
}

// audit runs an audit and gives its peak of live heap, sampled a few times.
func (w *world) peakOf(t testing.TB, src tiles.Source, size int) uint64 {
	return peak(func(sample func()) {
		next := uint64(0)
		o := Options{VKeys: w.keys.VKeys, Progress: func(done, _ uint64) {
			if done >= next {
				sample()
				next = done + uint64(size)/10
			}
		}}
		a := testlog.Must(New(tiles.NewLog(src, w.keys.Verifiers), nil, o))(t)
		if err := a.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		sample()
		if s := a.Summary(); !s.Complete || s.Violations > 0 || s.Done != uint64(size+2) {
			t.Fatalf("%+v", s)
		}
	})
}

// TestMemory: five times the entries take no more memory, but for 43 bytes an
// entry at most in the set that finds duplicates.
func TestMemory(t *testing.T) {
	w := newWorld(t)
	const small, large = 5_000, 25_000
	a, b := w.peakOf(t, w.fill(t, small), small), w.peakOf(t, w.fill(t, large), large)
	t.Logf("peak of live heap: %d KiB for %d entries, %d KiB for %d", a>>10, small, b>>10, large)
	if allowed := a + (large-small)*43 + 4<<20; b > allowed {
		t.Errorf("%d entries take %d bytes, %d are allowed", large, b, allowed)
	}
}

// BenchmarkAudit compares an audit with the bare signature checks of the same
// number of statements, on all cores. The last one does both in turn, so that
// other work on the machine slows both:
//
//	go test ./audit -run - -bench Audit
func BenchmarkAudit(b *testing.B) {
	w := newWorld(b)
	const size = 20_000
	src := w.fill(b, size)
	digest := sha256.Sum256([]byte("a statement"))
	key := w.alice.(*ecdsa.PrivateKey)
	sig := testlog.Must(key.Sign(rand.Reader, digest[:], crypto.SHA256))(b)
	bare := func() {
		var group sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			group.Go(func() {
				for range size / runtime.GOMAXPROCS(0) {
					if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) {
						b.Error("a signature does not verify")
					}
				}
			})
		}
		group.Wait()
	}
	whole := func() {
		a := testlog.Must(New(tiles.NewLog(src, w.keys.Verifiers), nil, Options{VKeys: w.keys.VKeys}))(b)
		if err := a.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
		if s := a.Summary(); !s.Complete || s.Violations > 0 {
			b.Fatalf("%+v", s)
		}
	}
	for name, f := range map[string]func(){"bare": bare, "audit": whole} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
	b.Run("both", func(b *testing.B) {
		var bareTime, wholeTime time.Duration
		for b.Loop() {
			start := time.Now()
			bare()
			middle := time.Now()
			whole()
			bareTime, wholeTime = bareTime+middle.Sub(start), wholeTime+time.Since(middle)
		}
		b.ReportMetric(100*bareTime.Seconds()/wholeTime.Seconds(), "%-of-bare")
	})
}

// BenchmarkMemory audits logs of three sizes, up to a million entries (1.1 GB
// of files in the directory for temporary ones):
//
//	go test ./audit -run - -bench Memory -benchtime 1x -timeout 1h
func BenchmarkMemory(b *testing.B) {
	w := newWorld(b)
	for _, size := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			src := w.fill(b, size)
			for b.Loop() {
				start := time.Now()
				heap := w.peakOf(b, src, size)
				b.ReportMetric(float64(heap)/(1<<20), "peak-MiB")
				b.ReportMetric(float64(size)/time.Since(start).Seconds(), "entries/s")
			}
		})
	}
}
