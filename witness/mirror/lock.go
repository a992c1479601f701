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

// exporting is the file that says that an export is at work, or was interrupted.
const exporting = ".exporting"

// lock makes the directory of an export, or finds it, for one export at a time.
// It refuses a directory that holds something else, or anything but plain files:
// by way of a link an export would write somewhere else. A crash leaves the
// lock's file, which shows the next export that this is one.
func lock(ctx context.Context, dir string) (unlock func(done bool) error, err error) {
	there, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	known := len(there) == 0
	for _, d := range there {
		known = known || d.Name() == ManifestPath || d.Name() == exporting
	}
	if !known {
		return nil, fmt.Errorf("%s is not empty and no export", dir)
	}
	if err := plain.Tree(ctx, dir); err != nil {
		return nil, fmt.Errorf("%w; remove it, or name another directory", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, exporting)
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
	return func(done bool) error {
		var err error
		if done {
			err = os.Remove(path)
		}
		return errors.Join(err, f.Close())
	}, nil
}
