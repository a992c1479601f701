package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/plain"
)

// copying is the file that says that a log is copied into the directory. It is
// locked while that is at work. It goes when an export is whole, which its manifest
// shows, and stays in other copies.
const copying = ".copying"

// Copy is a directory that a log is copied into, by one process at a time. Its
// methods may not be called at once.
type Copy struct {
	dir    string
	locked *os.File
	// seen says that the last update left what its checkpoint covers and nothing
	// else: the next one need not look at all files.
	seen bool
	// exported says that the last update ended with a manifest.
	exported bool
}

// OpenCopy makes the directory of a copy, or finds it. It refuses a directory that
// holds something else, or anything but plain files: by way of a link a copy would be
// written somewhere else. A crash leaves the file copying, which shows that this is one.
func OpenCopy(ctx context.Context, dir string) (*Copy, error) {
	there, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	known := len(there) == 0
	for _, d := range there {
		known = known || d.Name() == manifestPath || d.Name() == copying
	}
	if !known {
		return nil, fmt.Errorf("%s is not empty, and is no export or mirror", dir)
	}
	if err := plain.Tree(ctx, dir); err != nil {
		return nil, fmt.Errorf("%w; remove it, or name another directory", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, copying)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := durable.Lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	// Until the lock was there, another export may have ended and taken it away.
	named, err := os.Stat(path)
	if opened, statErr := f.Stat(); err != nil || statErr != nil || !os.SameFile(named, opened) {
		f.Close()
		return nil, fmt.Errorf("%s: another export ended just now; try again", dir)
	}
	return &Copy{dir: dir, locked: f}, nil
}

// Close lets others have the directory.
func (c *Copy) Close() (err error) {
	if c.exported {
		err = os.Remove(c.locked.Name())
	}
	return errors.Join(err, c.locked.Close())
}
