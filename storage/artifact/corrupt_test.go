package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// flip changes one bit of a file in place and sets its time stamp back: what a
// failing disk does.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	b[0] ^= 0x10
	_, err2 := f.WriteAt(b, at)
	if err := errors.Join(err, err2, f.Close(), os.Chtimes(path, fi.ModTime(), fi.ModTime())); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedBeforeOpen(t *testing.T) {
	const size = 5*minChunk + 100
	other := bytes.Repeat([]byte("other bytes"), size/11+1)[:size]
	for name, damage := range map[string]func(path string) error{
		"first bit":       func(p string) error { flip(t, p, 0); return nil },
		"middle bit":      func(p string) error { flip(t, p, 3*minChunk); return nil },
		"last bit":        func(p string) error { flip(t, p, size-1); return nil },
		"cut":             func(p string) error { return os.Truncate(p, size-1) },
		"cut at a chunk":  func(p string) error { return os.Truncate(p, 5*minChunk) },
		"emptied":         func(p string) error { return os.Truncate(p, 0) },
		"longer":          func(p string) error { return os.Truncate(p, size+1) },
		"other bytes":     func(p string) error { return os.WriteFile(p, other, 0o600) },
		"not even a file": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			var found []Digest
			d := mustOpenDir(t, t.TempDir(), Options{OnCorrupt: func(d Digest) { found = append(found, d) }})
			digest := mustPut(t, d, pattern(size))
			if err := damage(d.path(digest)); err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				if _, err := readAll(t, d, digest); !errors.Is(err, ErrCorrupt) {
					t.Errorf("Open: %v, want ErrCorrupt", err)
				}
				if len(found) != i+1 || found[i] != digest {
					t.Errorf("after %d uses counted %v", i+1, found)
				}
			}
		})
	}
}

// TestDamagedAfterOpen is that chunks are hashed again at each read, and that
// everything before the damage is right.
func TestDamagedAfterOpen(t *testing.T) {
	const size = 5*minChunk + 100
	for _, at := range []int64{0, 1, minChunk - 1, minChunk, 3*minChunk + 5, 5 * minChunk, size - 1} {
		var found atomic.Int32
		d := mustOpenDir(t, t.TempDir(), Options{OnCorrupt: func(Digest) { found.Add(1) }})
		digest := mustPut(t, d, pattern(size))
		r, _, err := d.Open(t.Context(), digest)
		if err != nil {
			t.Fatal(err)
		}
		flip(t, d.path(digest), at)
		b, err := io.ReadAll(r)
		good := int(at / minChunk * minChunk)
		if !errors.Is(err, ErrCorrupt) || !bytes.Equal(b, pattern(size)[:good]) {
			t.Errorf("damage at %d: %d bytes, %v, want %d and ErrCorrupt", at, len(b), err, good)
		}
		r.Close()
		if found.Load() != 1 {
			t.Errorf("damage at %d: counted %d times", at, found.Load())
		}
		if _, err := readAll(t, d, digest); !errors.Is(err, ErrCorrupt) {
			t.Errorf("damage at %d: next Open: %v, want ErrCorrupt", at, err)
		}
	}
}

func TestShortenedAfterOpen(t *testing.T) {
	d := mustOpenDir(t, t.TempDir(), Options{})
	digest := mustPut(t, d, pattern(3*minChunk))
	r, _, err := d.Open(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(d.path(digest), minChunk+1); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); !errors.Is(err, ErrCorrupt) || len(b) != minChunk {
		t.Errorf("%d bytes, %v, want %d and ErrCorrupt", len(b), err, minChunk)
	}
}

// TestVerifiedOnce is when a file is read in whole again: only when it may have
// changed.
func TestVerifiedOnce(t *testing.T) {
	d := mustOpenDir(t, t.TempDir(), Options{})
	digest := mustPut(t, d, pattern(10*minChunk))
	open := func() *chain {
		t.Helper()
		r, _, err := d.Open(t.Context(), digest)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		return r.(*checkedReader).chain
	}
	first := open()
	if open() != first {
		t.Error("read in whole again without a reason")
	}
	if err := os.Chtimes(d.path(digest), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if open() == first {
		t.Error("not read in whole after a change of the time")
	}
}

// TestVerifyShared is that first readers at the same time share one reading of
// the file, whatever comes out of it.
func TestVerifyShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var found atomic.Int32
		d := mustOpenDir(t, t.TempDir(), Options{OnCorrupt: func(Digest) { found.Add(1) }})
		good, bad := mustPut(t, d, pattern(3*minChunk)), mustPut(t, d, pattern(3*minChunk+1))
		flip(t, d.path(bad), minChunk)
		for range cap(d.slots) { // nobody can begin to read
			d.slots <- struct{}{}
		}
		var chains sync.Map
		for range 20 {
			go func() {
				r, _, err := d.Open(t.Context(), good)
				if err != nil {
					t.Error(err)
					return
				}
				chains.Store(r.(*checkedReader).chain, true)
				r.Close()
			}()
			go func() {
				if _, err := readAll(t, d, bad); !errors.Is(err, ErrCorrupt) {
					t.Errorf("%v, want ErrCorrupt", err)
				}
			}()
		}
		// Who gives up, first or not, takes nobody along.
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if _, _, err := d.Open(ctx, good); !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want context.Canceled", err)
			}
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		for range cap(d.slots) {
			<-d.slots
		}
		synctest.Wait()
		read := 0
		chains.Range(func(any, any) bool { read++; return true })
		if read != 1 || found.Load() != 1 {
			t.Errorf("the good file read %d times, the damaged one %d times", read, found.Load())
		}
	})
}

func TestPutHeals(t *testing.T) {
	b := pattern(3 * minChunk)
	digest := Digest(sha256.Sum256(b))
	for name, want := range map[string]Want{"announced": {Digest: &digest}, "not announced": {}} {
		t.Run(name, func(t *testing.T) {
			d := mustOpenDir(t, t.TempDir(), Options{})
			mustPut(t, d, b)
			if err := os.Truncate(d.path(digest), minChunk); err != nil {
				t.Fatal(err)
			}
			d.quota.give(2 * minChunk) // as counted at the next start
			var made atomic.Int32
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					_, created, err := d.Put(t.Context(), bytes.NewReader(b), want)
					if err != nil {
						t.Errorf("Put: %v", err)
					}
					if created {
						made.Add(1)
					}
				})
			}
			wg.Wait()
			if made.Load() != 1 {
				t.Errorf("%d Puts say that they created it", made.Load())
			}
			if got, err := readAll(t, d, digest); err != nil || !bytes.Equal(got, b) {
				t.Errorf("after the upload: %d bytes, %v", len(got), err)
			}
			if d.Used() != int64(len(b)) {
				t.Errorf("%d bytes used, want %d", d.Used(), len(b))
			}
		})
	}
}

// TestChainsBounded is that what is remembered does not grow without end.
func TestChainsBounded(t *testing.T) {
	v := newVerifier(nil)
	for i := range 100 {
		v.keep(Digest{byte(i)}, verified{chain: &chain{sums: make([]uint64, 1<<17)}})
	}
	if len(v.known) != maxChains/(1<<20+perChain) || v.cost > maxChains {
		t.Errorf("%d chains of %d bytes kept", len(v.known), v.cost)
	}
	if _, ok := v.known[Digest{99}]; !ok {
		t.Error("the last one is not kept")
	}
	for d := range v.known {
		v.forget(d)
	}
	if v.cost != 0 {
		t.Errorf("%d bytes counted for nothing", v.cost)
	}
}

// TestChunkGrowth is that the chain of a huge artifact stays small, without one.
func TestChunkGrowth(t *testing.T) {
	for size, want := range map[int64]int64{0: 32 << 10, 5 << 30: 32 << 10, 8<<30 - 1: 32 << 10, 8 << 30: 64 << 10, 1 << 40: 8 << 20} {
		if got := chunkSize(size); got != want {
			t.Errorf("chunks of %d bytes for %d, want %d", got, size, want)
		}
	}
}
