package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// Options limit a store. The zero value limits nothing.
type Options struct {
	// MaxSize is the largest artifact in bytes, 0 for no limit.
	MaxSize int64
	// Quota is how many bytes all artifacts may take together, uploads in
	// progress included, 0 for no limit. It counts content, not the file
	// system's blocks.
	Quota int64
	// OnCorrupt, if set, is called each time that damage is found, from the
	// goroutine that found it: feed an alarm metric with it.
	OnCorrupt func(Digest)
}

// dirStorage is a Store in a directory of a local file system with hard links:
//
//	sha256/ab/cd/abcd...   the artifacts: see [reader.Digest.Path]
//	tmp/                   uploads in progress
//	lock                   held while a process uses the directory
//
// Reading trusts neither name nor time stamps: see verifier.
type dirStorage struct {
	root    string
	opts    Options
	lock    *os.File
	quota   quota
	group   group
	release func() error // of what group holds
	verifier

	durable sync.Map   // directories whose entry in their parent is on disk
	heal    sync.Mutex // one replacement of damaged artifacts at a time
	create  func(dir string) (tempFile, error)
}

// tempFile is the part of *os.File that an upload writes through.
type tempFile interface {
	io.WriteCloser
	Name() string
	Sync() error
}

// OpenDir opens the directory, making it if it is not there. It deletes what
// interrupted uploads left and counts the bytes stored, one stat per artifact.
// It fails if another process uses the directory.
func OpenDir(root string, opts Options) (Storage, error) {
	d := &dirStorage{root: root, opts: opts, verifier: newVerifier(opts.OnCorrupt)}
	d.create = func(dir string) (tempFile, error) { return os.CreateTemp(dir, "upload-*") }
	if err := d.open(); err != nil {
		if d.lock != nil {
			d.Close()
		}
		return nil, fmt.Errorf("artifact: opening %s: %w", root, err)
	}
	return d, nil
}

func (d *dirStorage) open() error {
	// A crash in here leaves some empty directories; the next start goes on from them.
	if _, err := os.Stat(d.root); errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(d.root); err != nil {
			return err
		}
	}
	for _, dir := range []string{"sha256", "tmp"} {
		if err := makeDir(filepath.Join(d.root, dir)); err != nil {
			return err
		}
	}
	// Without a lock two processes would delete each other's uploads.
	var readOnly, err error
	if d.lock, readOnly, err = durable.Hold(filepath.Join(d.root, "lock")); err != nil {
		return err
	}
	if d.group.all, d.release, err = syncAll(d.root); err != nil {
		return err
	}
	// A crash in here leaves some of them for the next start. A leftover may be a
	// second name of a stored artifact, which keeps its own name.
	left, err := os.ReadDir(d.tmp())
	if err != nil {
		return err
	}
	for _, e := range left {
		if readOnly != nil {
			break // nothing can be stored either
		}
		if err := os.RemoveAll(filepath.Join(d.tmp(), e.Name())); err != nil {
			return err
		}
	}
	d.quota.limit = d.opts.Quota
	return d.Each(context.Background(), func(i Info) error { d.quota.used += i.Size; return nil })
}

// Each implements Storage. Files that Put did not make are left out: no Open can reach
// them.
func (d *dirStorage) Each(ctx context.Context, f func(Info) error) error {
	return filepath.WalkDir(filepath.Join(d.root, "sha256"), func(path string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || !e.Type().IsRegular() {
			return err
		}
		digest, err := reader.ParseDigest(e.Name())
		if err != nil || d.path(digest) != path {
			return nil
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		return f(Info{digest, fi.Size()})
	})
}

// Close lets another process use the directory. The storage must not be in use.
func (d *dirStorage) Close() error {
	if d.release != nil {
		return errors.Join(d.release(), d.lock.Close())
	}
	return d.lock.Close()
}

// Used implements Storage.
func (d *dirStorage) Used() int64 { return d.quota.inUse() }

func (d *dirStorage) tmp() string { return filepath.Join(d.root, "tmp") }

func (d *dirStorage) path(digest Digest) string {
	return filepath.Join(d.root, filepath.FromSlash(digest.Path()))
}

// Stat implements Store.
func (d *dirStorage) Stat(ctx context.Context, digest Digest) (Info, error) {
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	fi, err := os.Stat(d.path(digest))
	if err != nil {
		return Info{}, lookupError(err)
	}
	return Info{digest, fi.Size()}, nil
}

// Open implements Store. The first Open of an artifact reads all of it; see
// verifier for when that is repeated.
func (d *dirStorage) Open(ctx context.Context, digest Digest) (io.ReadSeekCloser, Info, error) {
	f, err := os.Open(d.path(digest))
	if err != nil {
		return nil, Info{}, lookupError(err)
	}
	c, err := d.verify(ctx, digest, f)
	if err != nil {
		f.Close()
		return nil, Info{}, err
	}
	return &checkedReader{f: f, chain: c, have: -1, damaged: d.damaged}, Info{digest, c.size}, nil
}

// Artifact implements [reader.Artifacts].
func (d *dirStorage) Artifact(ctx context.Context, digest Digest, limit int64) ([]byte, error) {
	return whole(ctx, d, digest, limit)
}

// whole reads an artifact of at most limit bytes.
func whole(ctx context.Context, s Store, digest Digest, limit int64) ([]byte, error) {
	r, info, err := s.Open(ctx, digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if info.Size > limit {
		return nil, fmt.Errorf("%w of %d bytes", reader.ErrTooLarge, limit)
	}
	return io.ReadAll(r)
}

// intact is nil if the artifact is stored and undamaged.
func intact(ctx context.Context, s Store, digest Digest) error {
	r, _, err := s.Open(ctx, digest)
	if err != nil {
		return err
	}
	return r.Close()
}

// lookupError is what failing to find a file means to a reader.
func lookupError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return fmt.Errorf("artifact: %w", err)
}

// storageError is what failing to write means to an uploader.
func storageError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("artifact: %w", err)
}

// makeDir makes dir, and its parents where missing, durably. A crash in here
// leaves an empty directory, or one that a loss of power takes away again.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// fanOut makes the directory of an artifact, and says which directories may
// not have their entry in their parent on the disk yet: also of one that is
// there, that is not known before its first use in this process.
func (d *dirStorage) fanOut(dir string) (fresh []string, err error) {
	for _, dir := range []string{filepath.Dir(dir), dir} {
		if _, ok := d.durable.Load(dir); ok {
			continue
		}
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrNotExist) { // somebody removed the empty parent
			err = makeDir(dir)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		fresh = append(fresh, dir)
	}
	return fresh, nil
}
