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
	path     string
	lock     *os.File
	readOnly error
}

// OpenDir makes the directory when it is not there and takes it for this
// process, also when it cannot be written: see ReadOnly. Errors wrap ErrLocked
// when another one has it.
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
	var err error
	d.lock, d.readOnly, err = durable.Hold(d.Private("lock"))
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	return d, nil
}

// ReadOnly says why nothing can be written in the directory; nil when it can.
func (d *Dir) ReadOnly() error { return d.readOnly }

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
// content or the new and never a part, unless it has this content already. A
// crash leaves one of the two, and perhaps a temporary file whose name begins
// with a dot, which the next start removes.
func (d *Dir) WritePublic(name string, data []byte) error {
	_, err := durable.Replace(d.Public(filepath.FromSlash(name)), data, 0o644)
	return err
}
