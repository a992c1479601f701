package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/internal/durable"
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
	if err := durable.Lock(f); err != nil {
		f.Close()
		if errors.Is(err, durable.ErrLocked) {
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
	path := d.Public(filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return durable.WriteFile(path, data, 0o644)
}
