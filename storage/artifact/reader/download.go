package reader

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
)

// DownloadOptions are how a download tells of itself.
type DownloadOptions struct {
	Notice   func(format string, args ...any)     // of what goes on; nil for nobody
	Progress func(done, total int64, what string) // bytes that were hashed or received; total is -1 where it is not known
}

// Download brings an artifact to the file out, which has its name when all its bytes
// have come and have the digest. An existing file is replaced, unless it is the
// artifact: then nothing is fetched. It returns the size in bytes.
//
// A download that is interrupted, also by a crash, leaves what has come in a file
// beside out whose name begins with a dot and ends with .partial, and the next one
// goes on from there. Bytes that are wrong, or more than the limit, are removed. One
// process at a time downloads an artifact to a name.
func (r *Reader) Download(ctx context.Context, digest Digest, out string, o DownloadOptions) (fetched bool, size int64, err error) {
	if o.Notice == nil {
		o.Notice = func(string, ...any) {}
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64, string) {}
	}
	d := &download{Reader: r, digest: digest, DownloadOptions: o}
	there, err := d.isAt(ctx, out)
	if err != nil || there {
		return false, d.size, err
	}
	part, err := openPartial(out, digest)
	if err != nil {
		return false, 0, err
	}
	if err = d.complete(ctx, part); err == nil {
		return true, d.size, part.finish()
	}
	kept, closeErr := part.abandon(errors.Is(err, ErrWrong) || errors.Is(err, ErrTooLarge))
	if kept != "" {
		o.Notice("notice: what has come is in %s; the same command goes on from there", kept)
	}
	return false, d.size, errors.Join(err, closeErr)
}

// download is one download.
type download struct {
	*Reader
	DownloadOptions
	digest Digest
	size   int64 // bytes that were hashed
}

func (d *download) has(h hash.Hash) bool { return Digest(h.Sum(nil)) == d.digest }

// isAt reports whether a file is the artifact.
func (d *download) isAt(ctx context.Context, path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is there and no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	h := sha256.New()
	err = d.hash(ctx, f, h)
	return err == nil && d.has(h), err
}

// complete brings the file to where its bytes, all of them, have the hash.
func (d *download) complete(ctx context.Context, part *partial) error {
	h := sha256.New()
	if err := d.hash(ctx, part, h); err != nil {
		return err
	}
	if d.size > 0 {
		if d.has(h) {
			return nil // interrupted between the last byte and the name
		}
		d.Notice("going on after %d bytes that are there", d.size)
		err := d.receive(ctx, part, h)
		if !errors.Is(err, ErrWrong) {
			return err
		}
		// Not a beginning of the artifact: once more without it.
		d.Notice("the bytes that were there are wrong; starting again")
		if err := part.empty(); err != nil {
			return err
		}
		h.Reset()
		d.size = 0
	}
	return d.receive(ctx, part, h)
}

// hash reads a file from where it stands to its end.
func (d *download) hash(ctx context.Context, f io.Reader, h hash.Hash) (err error) {
	d.size, err = io.Copy(h, Metered(ctx, f, func(done int64) { d.Progress(done, -1, "hashed") }))
	return err
}

// receive copies what is missing behind the d.size bytes that are there, whose
// hash is h, and verifies the whole.
func (d *download) receive(ctx context.Context, to io.Writer, h hash.Hash) error {
	offset := d.size
	from, err := d.OpenAt(ctx, d.digest, offset, h)
	if err != nil {
		return err
	}
	defer from.Close()
	n, err := io.Copy(to, Metered(ctx, from, func(done int64) { d.Progress(offset+done, from.Size, "received") }))
	d.size = offset + n
	return err
}

// Metered reads from r, tells how many bytes it has read, and ends with the context.
func Metered(ctx context.Context, r io.Reader, show func(done int64)) io.Reader {
	return &meter{Reader: r, ctx: ctx, show: show}
}

type meter struct {
	io.Reader
	ctx  context.Context
	done int64
	show func(done int64)
}

// Read implements [io.Reader].
func (m *meter) Read(p []byte) (int, error) {
	if err := context.Cause(m.ctx); err != nil {
		return 0, err
	}
	n, err := m.Reader.Read(p)
	m.done += int64(n)
	m.show(m.done)
	return n, err
}
