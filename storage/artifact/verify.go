package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"runtime"
	"sync"
)

const (
	minChunk  = 32 << 10 // bytes
	maxChunks = 1 << 18  // artifacts of 8 GiB and more get larger chunks
	maxChains = 32 << 20 // bytes of all chains kept in memory
	perChain  = 1 << 10  // bytes that a chain is counted for besides its sums
)

// chain lets any chunk of an artifact be checked on its own: it holds a hash of
// each, made while all of them together had the artifact's SHA-256. Damage passes
// with a chance of 2^-64, and cannot be aimed: only this process has the seed.
type chain struct {
	digest      Digest
	size, chunk int64
	seed        maphash.Seed
	sums        []uint64
}

func chunkSize(size int64) int64 {
	n := int64(minChunk)
	for size/n >= maxChunks {
		n *= 2
	}
	return n
}

// newChain hashes all of r, size bytes.
func newChain(ctx context.Context, digest Digest, r io.ReaderAt, size int64) (*chain, error) {
	c := &chain{digest: digest, size: size, chunk: chunkSize(size), seed: maphash.MakeSeed()}
	h := sha256.New()
	buf := make([]byte, min(c.chunk, size))
	for at := int64(0); at < size; at += c.chunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := buf[:min(c.chunk, size-at)]
		if err := readFull(r, part, at); err != nil {
			return nil, err
		}
		h.Write(part)
		c.sums = append(c.sums, maphash.Bytes(c.seed, part))
	}
	if Digest(h.Sum(nil)) != digest {
		return nil, ErrCorrupt
	}
	return c, nil
}

// check is nil if part is chunk i of the artifact, ErrCorrupt if not.
func (c *chain) check(i int64, part []byte) error {
	if maphash.Bytes(c.seed, part) != c.sums[i] {
		return ErrCorrupt
	}
	return nil
}

// readFull reads len(p) bytes; a file that has become shorter is ErrCorrupt.
func readFull(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		return ErrCorrupt
	default:
		return fmt.Errorf("artifact: %w", err)
	}
}

// verifier reports whether files hold the bytes that they are named for.
//
// The first use of a file, and each use after its inode, size or modification
// time has changed, reads all of it, so that damage is found before the first
// byte is given. From then on only the chunks that are read are hashed, again at
// every read: a Range request does not pay for the whole artifact, and damage
// that leaves inode, size and time as they were is found too, but only when the
// damaged chunk is reached, at worst in the middle of an answer; the next use
// then reads all of it again. Nothing unhashed is ever given, whatever happens
// to the file: what is kept is a property of the bytes, not of the file.
type verifier struct {
	onCorrupt func(Digest)
	slots     chan struct{} // bounds how many files are read in whole at a time

	mu     sync.Mutex
	known  map[Digest]verified
	cost   int // bytes of all chains in known
	flying map[Digest]*flight
}

type verified struct {
	file os.FileInfo
	*chain
}

// flight is a verification that others wait for.
type flight struct {
	file os.FileInfo
	done chan struct{} // closed when err is set
	err  error
}

func newVerifier(onCorrupt func(Digest)) verifier {
	if onCorrupt == nil {
		onCorrupt = func(Digest) {}
	}
	return verifier{
		onCorrupt: onCorrupt,
		slots:     make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
		known:     make(map[Digest]verified),
		flying:    make(map[Digest]*flight),
	}
}

// unchanged is whether two looks at a file saw the same state of the same file.
func unchanged(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// verify gives the chain of the artifact in f, or ErrCorrupt. Callers that ask
// at the same time share one reading.
func (v *verifier) verify(ctx context.Context, d Digest, f *os.File) (*chain, error) {
	file, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	for {
		v.mu.Lock()
		if k, ok := v.known[d]; ok && unchanged(k.file, file) {
			v.mu.Unlock()
			return k.chain, nil
		}
		fl, ok := v.flying[d]
		if !ok {
			fl = &flight{file: file, done: make(chan struct{})}
			v.flying[d] = fl
			v.mu.Unlock()
			return v.read(ctx, d, f, fl)
		}
		v.mu.Unlock()
		select {
		case <-fl.done:
			// The outcome is ours too if it is about our file and was not cut short
			// by the other's context.
			if errors.Is(fl.err, ErrCorrupt) && unchanged(fl.file, file) {
				return nil, fl.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// read verifies all of f and ends the flight.
func (v *verifier) read(ctx context.Context, d Digest, f *os.File, fl *flight) (*chain, error) {
	c, err := v.chain(ctx, d, f, fl.file)
	if errors.Is(err, ErrCorrupt) {
		v.damaged(d)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		v.keep(d, verified{fl.file, c})
	}
	fl.err = err
	delete(v.flying, d)
	close(fl.done)
	return c, err
}

func (v *verifier) chain(ctx context.Context, d Digest, f *os.File, file os.FileInfo) (*chain, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !file.Mode().IsRegular() {
		return nil, ErrCorrupt
	}
	return newChain(ctx, d, f, file.Size())
}

// keep remembers a verification and forgets others, whichever come, until all
// fit. The caller holds mu.
func (v *verifier) keep(d Digest, k verified) {
	v.forget(d)
	cost := 8*len(k.sums) + perChain
	for other := range v.known {
		if v.cost+cost <= maxChains {
			break
		}
		v.forget(other)
	}
	v.known[d] = k
	v.cost += cost
}

func (v *verifier) forget(d Digest) {
	if k, ok := v.known[d]; ok {
		v.cost -= 8*len(k.sums) + perChain
		delete(v.known, d)
	}
}

// damaged counts damage, and has the next use read all of the file.
func (v *verifier) damaged(d Digest) {
	v.mu.Lock()
	v.forget(d)
	v.mu.Unlock()
	v.onCorrupt(d)
}

// checkedReader gives an artifact's bytes, each chunk after it was checked.
type checkedReader struct {
	f       *os.File
	chain   *chain
	pos     int64
	buf     []byte
	have    int64 // number of the chunk in buf, -1 for none
	damaged func(Digest)
}

// Read implements io.Reader. It gives no byte of a chunk that is damaged.
func (r *checkedReader) Read(p []byte) (int, error) {
	if r.pos >= r.chain.size {
		return 0, io.EOF
	}
	i := r.pos / r.chain.chunk
	if i != r.have {
		if err := r.load(i); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.pos-i*r.chain.chunk:])
	r.pos += int64(n)
	return n, nil
}

func (r *checkedReader) load(i int64) error {
	c := r.chain
	if r.buf == nil {
		r.buf = make([]byte, min(c.chunk, c.size))
	}
	r.have = -1
	r.buf = r.buf[:min(c.chunk, c.size-i*c.chunk)]
	err := readFull(r.f, r.buf, i*c.chunk)
	if err == nil {
		err = c.check(i, r.buf)
	}
	if errors.Is(err, ErrCorrupt) {
		r.damaged(c.digest)
	}
	if err == nil {
		r.have = i
	}
	return err
}

// Seek implements io.Seeker. A place before the start is an error; past the end
// there is nothing to read.
func (r *checkedReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.chain.size
	default:
		return 0, fmt.Errorf("artifact: seek: no such whence: %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("artifact: seek: before the start")
	}
	r.pos = offset
	return offset, nil
}

func (r *checkedReader) Close() error { return r.f.Close() }
