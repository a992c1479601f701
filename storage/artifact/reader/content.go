package reader

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/conmotion/conmotion/scitt/client"
)

// Content is an artifact that is being read. Reading ends with io.EOF only
// when all the bytes have the digest; otherwise with an error that wraps
// ErrWrong, ErrTooLarge or ErrTooSlow, or with the storage's error. What was
// read before the end is not verified. It serves one goroutine and must be
// closed.
type Content struct {
	// Size is the number of bytes of the whole artifact as the storage
	// announces it, -1 if it does not. Nothing makes sure that it is true.
	Size int64

	ctx    context.Context
	cancel context.CancelFunc
	from   io.ReadCloser
	hash   hash.Hash
	want   Digest
	read   int64 // bytes of the artifact so far, those before the offset included
	limit  int64
	err    error             // ends every further Read
	end    func(error) error // told of it, and gives what is returned; may be nil
}

// Read implements [io.Reader].
func (c *Content) Read(p []byte) (n int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.err = context.Cause(c.ctx); c.err != nil {
		return 0, c.err
	}
	n, err = c.from.Read(p)
	c.hash.Write(p[:n])
	c.read += int64(n)
	switch {
	case c.read > c.limit:
		c.err = tooLarge(c.limit)
	case err == io.EOF, errors.Is(err, client.ErrOffset): // or a length was announced that is not true
		c.err = io.EOF
		if got := Digest(c.hash.Sum(nil)); got != c.want {
			c.err = fmt.Errorf("%w: %d bytes with SHA-256 %s", ErrWrong, c.read, got)
		}
	case err != nil && context.Cause(c.ctx) != nil:
		c.err = fmt.Errorf("%w after %d bytes: %w", context.Cause(c.ctx), c.read, err)
	default:
		c.err = err
	}
	if c.err != nil && c.end != nil {
		c.err = c.end(c.err)
	}
	return n, c.err
}

// Close implements [io.Closer].
func (c *Content) Close() error {
	defer c.cancel()
	return c.from.Close()
}

func tooLarge(limit int64) error { return fmt.Errorf("%w of %d bytes", ErrTooLarge, limit) }
