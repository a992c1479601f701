package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process serves the directory.
var ErrLocked = errors.New("another process is using this directory")

// Dir is a service's directory on a disk, held by this process:
//
//	public/    what a file server may show: checkpoint, tile/, .well-known/
//	private/   keys, index, Tessera's state; mode 0700
type Dir struct {
	path string
	lock *os.File
}

// OpenDir makes the directory when it is not there and takes it for this
// process. Errors wrap ErrLocked when another one has it.
func OpenDir(path string) (*Dir, error) {
	d := &Dir{path: path}
	for _, sub := range []struct {
		path string
		mode os.FileMode
	}{{d.Public(), 0o755}, {d.Private(), 0o700}} {
		if err := os.MkdirAll(sub.path, sub.mode); err != nil {
			return nil, fmt.Errorf("open directory: %w", err)
		}
	}
	// The kernel frees the lock when the process ends, however it ends.
	f, err := os.OpenFile(d.Private("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	d.lock = f
	return d, nil
}

// Close lets another process have the directory.
func (d *Dir) Close() error { return d.lock.Close() }

// Public is the path of a file that everybody may read.
func (d *Dir) Public(name ...string) string {
	return filepath.Join(append([]string{d.path, "public"}, name...)...)
}

// Private is the path of a file that nobody else may read.
func (d *Dir) Private(name ...string) string {
	return filepath.Join(append([]string{d.path, "private"}, name...)...)
}

// WritePublic writes a file under public/ so that a reader sees the old
// content or the new and never a part. A crash leaves one of the two, and
// perhaps a temporary file whose name begins with a dot.
func (d *Dir) WritePublic(name string, data []byte) error {
	return WriteFile(d.Public(filepath.FromSlash(name)), data, 0o644)
}

// WriteFile replaces a file durably and at once: after it returned nil the
// new content survives a crash; before, a crash leaves the old file or the
// new one, and perhaps a temporary file beside it.
func WriteFile(path string, data []byte, mode os.FileMode) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
