package reader

import (
	"context"
	"crypto/sha256"
	"io"

	"github.com/conmotion/conmotion/internal/plain"
)

// HashFile returns the digest of a plain file, and its size in bytes. The
// context ends it between two reads.
func HashFile(ctx context.Context, path string) (d Digest, size int64, err error) {
	f, _, err := plain.Open(path)
	if err != nil {
		return d, 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, plain.Reader(ctx, f)); err != nil {
		return d, 0, err
	}
	return Digest(h.Sum(nil)), size, nil
}
