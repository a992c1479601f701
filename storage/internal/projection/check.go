package projection

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/conmotion/conmotion/internal/durable"
)

// sumSuffix is of the file with the SHA-256 of a database that nobody uses.
const sumSuffix = ".sha256"

// sumOf is the SHA-256 of a file.
func sumOf(ctx context.Context, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	for {
		if _, err := io.CopyN(h, f, 16<<20); errors.Is(err, io.EOF) {
			return h.Sum(nil), nil
		} else if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
	}
}

// ready refuses a database that cannot answer now. The first use checks the file.
func (p *DB) ready(ctx context.Context) error {
	switch {
	case p.damaged.Load():
		return ErrDamaged
	case p.behind.Load():
		return ErrRebuilding
	case p.checked.Load():
		return nil
	case !p.work.TryLock():
		return fmt.Errorf("%w: its file is being checked", ErrRebuilding)
	}
	defer p.work.Unlock()
	return p.check(ctx)
}

// check compares the file with what Close left, or has SQLite look at each page
// of a file that nobody closed, and reads its rows. The caller holds work.
func (p *DB) check(ctx context.Context) error {
	if p.checked.Load() {
		return nil
	}
	want, err := durable.ReadFile(p.path + sumSuffix)
	switch {
	case err == nil:
		got, err := sumOf(ctx, p.path)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return p.note(fmt.Errorf("%w: its file has changed since it was closed", ErrDamaged))
		}
		// Before the first change: a crash leaves a file without a sum.
		if err := os.Remove(p.path + sumSuffix); err != nil {
			return err
		}
	case errors.Is(err, fs.ErrNotExist):
		var found string
		if err := p.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
			return p.note(err)
		}
		if found != "ok" {
			return p.note(fmt.Errorf("%w: %s", ErrDamaged, found))
		}
		if p.o.Digest == nil {
			break
		}
		switch got, err := p.o.Digest(ctx, p.db); {
		case err != nil:
			return p.note(err)
		case got != p.state.Digest:
			return p.note(fmt.Errorf("%w: its rows are not those that were stored", ErrDamaged))
		}
	default:
		return err
	}
	p.checked.Store(true)
	return nil
}

// note remembers that the database is damaged when an error says so.
func (p *DB) note(err error) error {
	if err = damage(err); errors.Is(err, ErrDamaged) {
		p.damaged.Store(true)
	}
	return err
}

// Codes of SQLite (https://sqlite.org/rescode.html) that say that a file is
// not what it should be: other tables, damaged pages, no database, too short.
// A file that is in use, or cannot be read or written, is not thrown away.
var damageCodes = []int{1, 11, 26, 522}

// damage recognises errors that say that the file is damaged.
func damage(err error) error {
	if e, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok && (slices.Contains(damageCodes, e.Code()) || slices.Contains(damageCodes[1:3], e.Code()&0xff)) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}
