// Package artifacttest holds the tests that every artifact.Store must pass.
package artifacttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/conmotion/conmotion/storage/artifact"
)

// Run tests the stores that open gives. Each call of open must give an empty
// store without limits below 16 MiB, and must register its cleanup with t.
func Run(t *testing.T, open func(t *testing.T) artifact.Store) {
	for name, test := range map[string]func(*testing.T, artifact.Store){
		"RoundTrip":       roundTrip,
		"Twice":           twice,
		"Announced":       announced,
		"WrongAnnounced":  wrongAnnounced,
		"NotStored":       notStored,
		"ReaderFails":     readerFails,
		"Canceled":        canceled,
		"RandomAccess":    randomAccess,
		"OddReaders":      oddReaders,
		"ConcurrentSame":  concurrentSame,
		"ConcurrentOther": concurrentOther,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// Bytes are n bytes that look random and depend on seed alone.
func Bytes(seed uint64, n int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	if _, err := rand.NewChaCha8(key).Read(b); err != nil {
		panic(err) // it never fails
	}
	return b
}

func put(t *testing.T, s artifact.Store, b []byte) artifact.Digest {
	t.Helper()
	info, _, err := s.Put(t.Context(), bytes.NewReader(b), artifact.Want{})
	if err != nil {
		t.Errorf("Put: %v", err)
		return artifact.Digest{}
	}
	if info.Digest != sha256.Sum256(b) || info.Size != int64(len(b)) {
		t.Errorf("Put: %v, stored %d bytes with sha256 %x", info, len(b), sha256.Sum256(b))
	}
	return info.Digest
}

func read(t *testing.T, s artifact.Store, d artifact.Digest) []byte {
	t.Helper()
	r, info, err := s.Open(t.Context(), d)
	if err != nil {
		t.Errorf("Open: %v", err)
		return nil
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Errorf("reading: %v", err)
		return nil
	}
	if want := (artifact.Info{Digest: d, Size: int64(len(b))}); info != want {
		t.Errorf("Open: %v, want %v", info, want)
	}
	return b
}

func absent(t *testing.T, s artifact.Store, d artifact.Digest) {
	t.Helper()
	if _, err := s.Stat(t.Context(), d); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("Stat: %v, want ErrNotFound", err)
	}
	if r, _, err := s.Open(t.Context(), d); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("Open: %v, want ErrNotFound", err)
		if err == nil {
			r.Close()
		}
	}
}

// sizes are around what stores may use as buffers and parts.
var sizes = []int{0, 1, 63, 64, 65, 4 << 10, 32<<10 - 1, 32 << 10, 32<<10 + 1, 64<<10 + 1, 1<<20 - 1, 1 << 20, 5<<20 + 7}

func roundTrip(t *testing.T, s artifact.Store) {
	for i, n := range sizes {
		b := Bytes(uint64(i), n)
		d := put(t, s, b)
		if info, err := s.Stat(t.Context(), d); err != nil || info != (artifact.Info{Digest: d, Size: int64(n)}) {
			t.Errorf("Stat of %d bytes: %v, %v", n, info, err)
		}
	}
	for i, n := range sizes {
		b := Bytes(uint64(i), n)
		if !bytes.Equal(read(t, s, sha256.Sum256(b)), b) {
			t.Errorf("%d bytes came back different", n)
		}
	}
}

func twice(t *testing.T, s artifact.Store) {
	b := Bytes(1, 100_000)
	digest := artifact.Digest(sha256.Sum256(b))
	for i, want := range []artifact.Want{{}, {}, {Digest: &digest}, {Size: int64(len(b))}} {
		info, created, err := s.Put(t.Context(), bytes.NewReader(b), want)
		if err != nil || created != (i == 0) || info != (artifact.Info{Digest: digest, Size: 100_000}) {
			t.Errorf("Put %d: %v, created %v, %v", i, info, created, err)
		}
	}
	if !bytes.Equal(read(t, s, digest), b) {
		t.Error("the bytes came back different")
	}
}

func announced(t *testing.T, s artifact.Store) {
	for i, n := range sizes {
		b := Bytes(uint64(i), n)
		d := artifact.Digest(sha256.Sum256(b))
		_, created, err := s.Put(t.Context(), bytes.NewReader(b), artifact.Want{Digest: &d, Size: int64(n)})
		if err != nil || !created {
			t.Errorf("Put of %d bytes: created %v, %v", n, created, err)
		}
		if !bytes.Equal(read(t, s, d), b) {
			t.Errorf("%d bytes came back different", n)
		}
	}
}

func wrongAnnounced(t *testing.T, s artifact.Store) {
	b := Bytes(1, 70_000)
	other := Bytes(2, 70_000)
	d, otherDigest := artifact.Digest(sha256.Sum256(b)), artifact.Digest(sha256.Sum256(other))
	for name, want := range map[string]artifact.Want{
		"digest":   {Digest: &otherDigest},
		"longer":   {Size: 70_001},
		"shorter":  {Size: 69_999},
		"only one": {Digest: &d, Size: 5},
	} {
		if _, created, err := s.Put(t.Context(), bytes.NewReader(b), want); !errors.Is(err, artifact.ErrMismatch) || created {
			t.Errorf("%s: created %v, %v, want ErrMismatch", name, created, err)
		}
	}
	absent(t, s, d)
	absent(t, s, otherDigest)

	// What is stored must not pass for what is sent.
	put(t, s, other)
	if _, _, err := s.Put(t.Context(), bytes.NewReader(b), artifact.Want{Digest: &otherDigest}); !errors.Is(err, artifact.ErrMismatch) {
		t.Errorf("announced as a stored one: %v, want ErrMismatch", err)
	}
	absent(t, s, d)
	if !bytes.Equal(read(t, s, otherDigest), other) {
		t.Error("the stored bytes changed")
	}
}

func notStored(t *testing.T, s artifact.Store) {
	absent(t, s, artifact.Digest{})
	put(t, s, []byte("something"))
	absent(t, s, sha256.Sum256([]byte("something else")))
}

func readerFails(t *testing.T, s artifact.Store) {
	broken := errors.New("connection lost")
	for _, n := range sizes {
		b := Bytes(3, n)
		r := io.MultiReader(bytes.NewReader(b), iotest.ErrReader(broken))
		if _, created, err := s.Put(t.Context(), r, artifact.Want{}); !errors.Is(err, broken) || created {
			t.Errorf("after %d bytes: created %v, %v, want the reader's error", n, created, err)
		}
		absent(t, s, sha256.Sum256(b))
	}
}

func canceled(t *testing.T, s artifact.Store) {
	b := Bytes(4, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := io.MultiReader(bytes.NewReader(b[:1000]), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, nil
	}), bytes.NewReader(b[1000:]))
	if _, created, err := s.Put(ctx, r, artifact.Want{}); !errors.Is(err, context.Canceled) || created {
		t.Errorf("Put: created %v, %v, want context.Canceled", created, err)
	}
	absent(t, s, sha256.Sum256(b))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func randomAccess(t *testing.T, s artifact.Store) {
	b := Bytes(5, 3<<20+11)
	d := put(t, s, b)
	r, _, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		from := rnd.IntN(len(b) + 1)
		n := rnd.IntN(min(len(b)-from, 100_000) + 1)
		if at, err := r.Seek(int64(from), io.SeekStart); err != nil || at != int64(from) {
			t.Fatalf("Seek: %d, %v", at, err)
		}
		got := make([]byte, n)
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, b[from:from+n]) {
			t.Fatalf("%d bytes from %d are not those stored, %v", n, from, err)
		}
		if at, err := r.Seek(0, io.SeekCurrent); err != nil || at != int64(from+n) {
			t.Fatalf("after %d bytes from %d: at %d, %v", n, from, at, err)
		}
	}
	if at, err := r.Seek(-3, io.SeekEnd); err != nil || at != int64(len(b)-3) {
		t.Errorf("Seek from the end: %d, %v", at, err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, b[len(b)-3:]) {
		t.Errorf("last bytes: %x, %v", got, err)
	}
	if _, err := r.Seek(10, io.SeekEnd); err != nil {
		t.Errorf("Seek past the end: %v", err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("reading past the end: %d, %v", n, err)
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("Seek before the start did not fail")
	}
	if _, err := r.Seek(0, 9); err == nil {
		t.Error("Seek from nowhere did not fail")
	}
}

func oddReaders(t *testing.T, s artifact.Store) {
	text := strings.Repeat("one artifact, read in odd ways\n", 5000)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"half":        iotest.HalfReader,
		"one byte":    iotest.OneByteReader,
		"data at EOF": iotest.DataErrReader,
	} {
		b := name + text
		info, created, err := s.Put(t.Context(), wrap(strings.NewReader(b)), artifact.Want{})
		if err != nil || !created || info.Digest != sha256.Sum256([]byte(b)) {
			t.Errorf("%s: %v, created %v, %v", name, info, created, err)
		}
		if err := iotest.TestReader(bytes.NewReader(read(t, s, info.Digest)), []byte(b)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func concurrentSame(t *testing.T, s artifact.Store) {
	for round := range 5 {
		b := Bytes(100+uint64(round), 200_000)
		d := artifact.Digest(sha256.Sum256(b))
		var made atomic.Int32
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				var want artifact.Want
				if i%2 == 0 {
					want.Digest = &d
				}
				_, created, err := s.Put(t.Context(), bytes.NewReader(b), want)
				if err != nil {
					t.Errorf("Put: %v", err)
				}
				if created {
					made.Add(1)
				}
				// It is there as soon as any Put has returned.
				if !bytes.Equal(read(t, s, d), b) {
					t.Error("the bytes came back different")
				}
			})
		}
		wg.Wait()
		if n := made.Load(); n != 1 {
			t.Errorf("%d Puts of the same bytes say that they created it", n)
		}
	}
}

func concurrentOther(t *testing.T, s artifact.Store) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 8 {
				b := Bytes(uint64(1000+i*8+j), 10_000+i)
				if d := put(t, s, b); !bytes.Equal(read(t, s, d), b) {
					t.Error("the bytes came back different")
				}
			}
		})
	}
	wg.Wait()
}
