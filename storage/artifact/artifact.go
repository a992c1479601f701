// Package artifact is the architecture's Adjacent Service for Storage: it keeps
// the original artifacts whose hashes Signed Statements carry (RFC 9995), each
// named by the SHA-256 of its bytes.
//
// It stays out of the trust path. Whoever fetches an artifact compares its hash
// with the one that was signed; what the package adds is that its own answers
// are never wrong bytes.
package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// What a Store's caller branches on. Every other error is a fault of the storage
// itself, or the error of the reader that was given to Put.
var (
	ErrNotFound = fmt.Errorf("artifact: not stored: %w", fs.ErrNotExist)
	ErrMismatch = errors.New("artifact: the bytes are not those that were announced")
	ErrTooLarge = errors.New("artifact: larger than the limit for one artifact")
	ErrFull     = errors.New("artifact: no space left in the store")
	ErrCorrupt  = fmt.Errorf("artifact: damaged in the store: %w", reader.ErrWrong)
)

// Digest is the SHA-256 of an artifact's bytes, and its name.
type Digest = reader.Digest

// Info describes a stored artifact; Size is in bytes.
type Info struct {
	Digest Digest
	Size   int64
}

// Want is what the sender announced about the bytes it sends. The zero value
// announces nothing.
type Want struct {
	// Digest is what the bytes must hash to, nil if not announced.
	Digest *Digest
	// Size is the number of bytes to come, 0 if not announced. It lets a store
	// refuse early; bytes in another number are ErrMismatch.
	Size int64
}

// check compares what arrived with what was announced.
func (w Want) check(got Info) error {
	if w.Size > 0 && w.Size != got.Size {
		return fmt.Errorf("%w: %d bytes, announced %d", ErrMismatch, got.Size, w.Size)
	}
	if w.Digest != nil && *w.Digest != got.Digest {
		return fmt.Errorf("%w: sha256 %s, announced %s", ErrMismatch, got.Digest, *w.Digest)
	}
	return nil
}

// Store keeps artifacts by digest. It may be used by any number of goroutines;
// artifacttest.Run holds every implementation to what is said here.
type Store interface {
	// Put stores all of r. Created is false if an intact copy was stored before;
	// of concurrent Puts of the same bytes exactly one creates.
	//
	// When Put returns without error the artifact is durable: it survives the end
	// of the process and the loss of power, and Open and Stat find it from then
	// on. When Put fails, or the process ends before it returns, the store holds
	// the whole artifact or nothing of it, never a part.
	//
	// Memory does not grow with the artifact. The context ends Put between two
	// reads of r; it cannot interrupt a read that blocks.
	//
	// Errors: ErrMismatch, ErrTooLarge, ErrFull; an error of r is wrapped.
	Put(ctx context.Context, r io.Reader, want Want) (info Info, created bool, err error)

	// Open gives the artifact's bytes from the start. It re-hashes what is stored
	// and returns ErrCorrupt before giving any byte of an artifact that is
	// damaged; if it gets damaged later, Read and Seek return ErrCorrupt instead
	// of bytes that were not hashed. The reader serves one goroutine, does not
	// depend on ctx and must be closed.
	//
	// Errors: ErrNotFound, ErrCorrupt.
	Open(ctx context.Context, d Digest) (io.ReadSeekCloser, Info, error)

	// Stat says that the artifact was stored and how large it is, without reading
	// its bytes: only Open says that it is intact.
	//
	// Errors: ErrNotFound.
	Stat(ctx context.Context, d Digest) (Info, error)
}

// Storage is a Store that this process has to itself, in a directory or a bucket.
type Storage interface {
	Store
	reader.Artifacts
	// Each calls f with every artifact, in no order, until it returns an error.
	Each(ctx context.Context, f func(Info) error) error
	// Used is the number of bytes stored and being uploaded, as the quota counts them.
	Used() int64
	Close() error
}
