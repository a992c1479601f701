package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
)

// openLog opens the index and the log, and waits until both know everything
// that was stored before.
func (d *Daemon) openLog(ctx context.Context, c *Config, service scitt.KeySet, o storage.Options) (err error) {
	verify, err := verifyEntry(service)
	if err != nil {
		return err
	}
	file := d.dir.Private("index.db")
	if d.dir.ReadOnly() != nil {
		if d.temporary, err = copyIndex(file); err != nil {
			return fmt.Errorf("%w: and no copy of the index can be made: %w", d.dir.ReadOnly(), err)
		}
		file = filepath.Join(d.temporary, filepath.Base(file))
	}
	if err := d.loadSnapshot(ctx, c, file, o); err != nil {
		c.Logger.Warn("the snapshot of the index is not used; the index reads the log", "err", err)
	}
	if d.index, err = index.Open(ctx, file, verify, c.Logger); err != nil {
		return err
	}
	o.Antispam = d.index
	if err = d.openRole(ctx, o); err != nil {
		return err
	}
	if err := d.log.ReadOnly(); err != nil && !d.replica() {
		c.Logger.Error("the log can be read, and nothing can be registered", "why", err)
	}
	if d.place.shared != nil {
		w, err := d.place.shared.Writer(ctx)
		if err != nil {
			return err
		}
		d.note(w)
	}
	return d.while(ctx, d.settle)
}

// copyIndex copies the index into a temporary directory, for a log that can only be
// read. A crash leaves the directory there.
func copyIndex(file string) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "conmotion-index-*"); err != nil {
		return "", err
	}
	for _, suffix := range []string{"", "-wal"} {
		if err == nil {
			err = copyFile(filepath.Join(dir, filepath.Base(file)+suffix), file+suffix)
		}
	}
	return dir, err
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is built anew from the log
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
