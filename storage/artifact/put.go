package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/conmotion/conmotion/internal/durable"
)

// copyBuffer is what one upload holds in memory, in bytes; a smaller one what it announced.
const copyBuffer = 64 << 10

// Put implements Store. An upload of bytes that are stored already still needs
// room for itself, unless want announces their digest: then they are compared
// and not written. A damaged artifact is replaced by the good bytes, which
// counts as created.
func (d *dirStorage) Put(ctx context.Context, r io.Reader, want Want) (Info, bool, error) {
	if d.opts.MaxSize > 0 && want.Size > d.opts.MaxSize {
		return Info{}, false, ErrTooLarge
	}
	if want.Digest != nil {
		switch err := intact(ctx, d, *want.Digest); {
		case err == nil:
			return d.compare(ctx, r, want)
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt):
			return Info{}, false, err
		}
	}
	if !d.quota.fits(want.Size) {
		return Info{}, false, ErrFull
	}
	d.group.enter()
	defer d.group.leave()
	f, err := d.create(d.tmp())
	if err != nil {
		return Info{}, false, storageError(err)
	}
	u := &upload{dir: d, tempFile: f}
	created, err := u.store(ctx, r, want)
	if err := errors.Join(err, u.end(created)); err != nil {
		return Info{}, false, err
	}
	return u.info, created, nil
}

// hashAll reads r to its end through write, and says what it was.
func (o Options) hashAll(ctx context.Context, r io.Reader, want Want, write func([]byte) error) (Info, error) {
	var info Info
	h := sha256.New()
	size := int64(copyBuffer)
	if want.Size > 0 {
		size = min(size, want.Size)
	}
	buf := make([]byte, size)
	for {
		if err := ctx.Err(); err != nil {
			return Info{}, err
		}
		n, rerr := r.Read(buf)
		info.Size += int64(n)
		if o.MaxSize > 0 && info.Size > o.MaxSize {
			return Info{}, ErrTooLarge
		}
		if want.Size > 0 && info.Size > want.Size {
			return Info{}, fmt.Errorf("%w: more than %d bytes", ErrMismatch, want.Size)
		}
		if n > 0 {
			h.Write(buf[:n])
			if err := write(buf[:n]); err != nil {
				return Info{}, err
			}
		}
		if rerr == io.EOF {
			h.Sum(info.Digest[:0])
			return info, want.check(info)
		}
		if rerr != nil {
			return Info{}, fmt.Errorf("artifact: reading what to store: %w", rerr)
		}
	}
}

// compare takes bytes whose announced digest is stored and intact.
func (d *dirStorage) compare(ctx context.Context, r io.Reader, want Want) (Info, bool, error) {
	info, err := d.opts.hashAll(ctx, r, want, func([]byte) error { return nil })
	if err != nil {
		return Info{}, false, err
	}
	// The Put that stored it may not have reached its own sync yet.
	if err := d.link(info.Digest, nil); err != nil {
		return Info{}, false, err
	}
	return info, false, nil
}

// link makes the artifact's directory, runs name, which gives the artifact its
// name in it, and then makes directory and name durable.
//
// A crash before name leaves an empty directory. A crash after it leaves the
// whole artifact, synced before, under its name; a loss of power may take the
// name away again, and its directories, but nobody was told yet that it is
// stored.
func (d *dirStorage) link(digest Digest, name func(path string) error) error {
	path := d.path(digest)
	fresh, err := d.fanOut(filepath.Dir(path))
	if err != nil {
		return storageError(err)
	}
	if name != nil {
		if err := name(path); err != nil {
			return err
		}
	}
	if err := d.group.sync(0, func() error { return syncNames(path, fresh) }); err != nil {
		return storageError(err)
	}
	for _, dir := range fresh {
		d.durable.Store(dir, true)
	}
	return nil
}

// syncNames makes the name of an artifact durable, and those of the
// directories that were made for it. All at a time: a file system that keeps a
// journal commits it once for them.
func syncNames(path string, fresh []string) error {
	var g errgroup.Group
	g.Go(func() error { return durable.SyncDir(filepath.Dir(path)) })
	for _, dir := range fresh {
		g.Go(func() error { return durable.SyncDir(filepath.Dir(dir)) })
	}
	return g.Wait()
}

// upload is one artifact on its way into a directory, in a file in tmp.
type upload struct {
	dir *dirStorage
	tempFile
	info   Info
	taken  int64 // bytes reserved in the quota
	closed bool
}

// store writes r to the temporary file and gives it its name. A crash before
// that leaves the file in tmp, which the next OpenDir deletes.
func (u *upload) store(ctx context.Context, r io.Reader, want Want) (created bool, err error) {
	if u.info, err = u.dir.opts.hashAll(ctx, r, want, u.write); err != nil {
		return false, err
	}
	// The bytes are on disk before they have their name: no crash can show the
	// name with other bytes.
	if err := u.dir.group.sync(u.info.Size, u.Sync); err != nil {
		return false, storageError(err)
	}
	u.closed = true
	if err := u.Close(); err != nil {
		return false, storageError(err)
	}
	err = u.dir.link(u.info.Digest, func(path string) (err error) {
		created, err = u.publish(ctx, path)
		return err
	})
	return created, err
}

// write reserves room for p, then writes it.
func (u *upload) write(p []byte) error {
	if !u.dir.quota.take(int64(len(p))) {
		return ErrFull
	}
	u.taken += int64(len(p))
	if _, err := u.Write(p); err != nil {
		return storageError(err)
	}
	return nil
}

// publish links the file to path, which never overwrites what has that name. If
// the name is taken, the artifact there must be intact to count as stored.
func (u *upload) publish(ctx context.Context, path string) (created bool, err error) {
	for range 2 {
		err := os.Link(u.Name(), path)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return false, storageError(err)
		}
		switch err := intact(ctx, u.dir, u.info.Digest); {
		case errors.Is(err, ErrCorrupt):
			return u.replace(ctx, path)
		case !errors.Is(err, ErrNotFound): // nil included
			return false, err
		}
		// Somebody deleted it in between: the name is free now.
	}
	return false, fmt.Errorf("artifact: %s is taken, but not by a file", path)
}

// replace puts the file in the place of a damaged one. A crash leaves the old
// file or the new one under the name.
func (u *upload) replace(ctx context.Context, path string) (created bool, err error) {
	u.dir.heal.Lock()
	defer u.dir.heal.Unlock()
	if err := intact(ctx, u.dir, u.info.Digest); !errors.Is(err, ErrCorrupt) {
		return false, err // another upload was first
	}
	old, err := os.Stat(path)
	if err != nil {
		return false, storageError(err)
	}
	if err := os.Rename(u.Name(), path); err != nil {
		return false, storageError(err)
	}
	u.dir.quota.give(old.Size())
	return true, nil
}

// end deletes the temporary file, and gives its reservation back unless the
// bytes stay. A crash before it leaves a file that the next OpenDir deletes.
func (u *upload) end(stays bool) error {
	if !u.closed {
		u.Close() // its bytes are not wanted
	}
	if !stays {
		u.dir.quota.give(u.taken)
	}
	if err := os.Remove(u.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("artifact: %w", err)
	}
	return nil
}
