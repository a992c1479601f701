package reader

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/scitt/client"
)

// ErrChanged says that a file changed after it was hashed.
var ErrChanged = errors.New("the file changed after it was hashed")

// File is content that is to be stored: a file that can be read several times, with
// its digest. It is not for concurrent use, but for reading at offsets.
type File struct {
	Digest Digest
	Size   int64

	file     *os.File
	spooled  bool
	progress func(what string, done, total int64)
}

// OpenFile opens a file and hashes it, or for "-" standard input. What can be read only
// once is copied to a temporary file, of which a crash leaves what it has so far.
// Progress is told how much was "hashed", of a total that is -1, and later "sent".
func OpenFile(ctx context.Context, name string, stdin io.Reader, progress func(what string, done, total int64)) (*File, error) {
	c := &File{progress: progress}
	in := stdin
	if name != "-" {
		f, err := plain.OpenInput(ctx, name)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		in = f
		if info.Mode().IsRegular() {
			c.file = f
		} else {
			defer f.Close()
		}
	}
	hash := sha256.New()
	into := io.Writer(hash)
	if c.file == nil {
		spool, err := os.CreateTemp("", "conmotion-artifact-*")
		if err != nil {
			return nil, err
		}
		c.file, c.spooled, into = spool, true, io.MultiWriter(hash, spool)
	}
	var err error
	c.Size, err = io.Copy(into, Metered(ctx, plain.Reader(ctx, in), func(done int64) { progress("hashed", done, -1) }))
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.Digest = Digest(hash.Sum(nil))
	return c, nil
}

// Store stores the content: see [client.Artifacts.Put].
func (c *File) Store(ctx context.Context, store *client.Artifacts) (created bool, err error) {
	return store.Put(ctx, c.Digest, c, c.Size)
}

// Bytes reads the content again. The error wraps ErrChanged when it is another one.
func (c *File) Bytes() ([]byte, error) {
	data, err := io.ReadAll(io.NewSectionReader(c.file, 0, c.Size))
	if err == nil && Digest(sha256.Sum256(data)) != c.Digest {
		err = ErrChanged
	}
	return data, err
}

// ReadAt implements [io.ReaderAt], and tells how far it is.
func (c *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.file.ReadAt(p, off)
	c.progress("sent", off+int64(n), c.Size)
	return n, err
}

// Close closes the file, and removes it if it is the temporary one.
func (c *File) Close() error {
	err := c.file.Close()
	if c.spooled {
		err = errors.Join(err, os.Remove(c.file.Name()))
	}
	return err
}
