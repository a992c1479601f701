package reader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/internal/durable"
)

// partial is a file on its way to its name. A crash leaves it beside that name
// with what has come so far, for the next run. One process at a time has it.
type partial struct {
	*os.File
	out string
}

// openPartial opens the file that an earlier run left, or makes a new one.
func openPartial(out string, digest Digest) (*partial, error) {
	path := filepath.Join(filepath.Dir(out), fmt.Sprintf(".%s.%.16s.partial", filepath.Base(out), digest))
	for {
		// Through a link that somebody put there a file would be made elsewhere.
		if there, err := os.Lstat(path); err == nil && !there.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is there and no file", path)
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		// Without a lock two processes would mix their bytes.
		if err := durable.Lock(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		// Until the lock was there, another run may have given the file its name,
		// or taken it away. A link to another file is not followed either.
		named, err := os.Lstat(path)
		if err == nil && !named.Mode().IsRegular() {
			f.Close()
			return nil, fmt.Errorf("%s is there and no file", path)
		}
		opened, statErr := f.Stat()
		if err == nil && statErr == nil && os.SameFile(named, opened) {
			return &partial{f, out}, nil
		}
		f.Close()
		if statErr != nil || (err != nil && !errors.Is(err, fs.ErrNotExist)) {
			return nil, errors.Join(err, statErr)
		}
	}
}

// empty takes all bytes away.
func (p *partial) empty() error {
	if err := p.Truncate(0); err != nil {
		return err
	}
	_, err := p.Seek(0, 0)
	return err
}

// finish gives the file its name. A crash leaves the old file or the new one.
func (p *partial) finish() error {
	defer p.Close()
	// The name must not reach the disk before the content.
	if err := p.Sync(); err != nil {
		return err
	}
	return os.Rename(p.Name(), p.out)
}

// abandon closes the file and keeps it for the next run, and gives its name
// then, unless it is bad or has nothing in it.
func (p *partial) abandon(bad bool) (kept string, err error) {
	defer p.Close()
	if info, err := p.Stat(); err == nil && info.Size() > 0 && !bad {
		return p.Name(), nil
	}
	return "", os.Remove(p.Name())
}
