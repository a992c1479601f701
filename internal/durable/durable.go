// Package durable writes files so that a crash leaves the old one or the new
// one, and holds files for one process at a time.
package durable

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/conmotion/conmotion/internal/plain"
)

// WriteFile replaces a file at once and durably: after it returned nil the new
// content survives a crash of the machine; before, a crash leaves the old file
// or the new one, never a part, and perhaps a temporary file beside it whose
// name begins with a dot.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	return Write(path, mode, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// Replace is WriteFile that makes the directory, which whoever may read the file
// may search. It writes nothing where the file has this content already.
func Replace(path string, data []byte, mode os.FileMode) (written bool, err error) {
	if old, err := ReadFile(path); err == nil && bytes.Equal(old, data) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), mode|mode&0o444>>2); err != nil {
		return false, err
	}
	err = WriteFile(path, data, mode)
	return err == nil, err
}

// most is how many bytes of a file are read.
const most = 2 << 30

// ReadFile returns a file that WriteFile wrote. What is no plain file, or has more than
// 2 GiB, is an error and is not read: a pipe or a device may stand in its place, by way of
// a symbolic link too.
func ReadFile(path string) ([]byte, error) { return plain.ReadFile(path, most) }

// Write is WriteFile for what is too large to be held in memory.
func Write(path string, mode os.FileMode, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
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
	b := bufio.NewWriter(f)
	if err = write(b); err != nil {
		return err
	}
	if err = b.Flush(); err != nil {
		return err
	}
	// The name must not reach the disk before the content.
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// leftover is how Write names its temporary files: ".name.digits".
var leftover = regexp.MustCompile(`^\..+\.[0-9]+$`)

// Clean removes the temporary files of at least this age that interrupted Writes
// left in a directory; one that is not there has none. Where the age is 0 nobody may
// write there meanwhile. A crash leaves some for the next time.
func Clean(dir string, age time.Duration) error {
	all, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range all {
		if !d.Type().IsRegular() || !leftover.MatchString(d.Name()) {
			continue
		}
		info, err := d.Info()
		if err == nil && time.Since(info.ModTime()) >= age {
			err = os.Remove(filepath.Join(dir, d.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Try says why files cannot be written in a directory: it writes 64 KiB and removes them.
// A crash leaves a temporary file, as of Write.
func Try(dir string) error {
	f, err := os.CreateTemp(dir, ".trial.*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// SyncDir makes the names in a directory durable, where the system can.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// ErrLocked says that another process holds the file. Where files cannot be
// locked the error is [errors.ErrUnsupported].
var ErrLocked = errors.New("another process uses it")

// Hold makes a file, if it is not there, and holds it as Lock does. Where nothing
// can be written it holds the file that is there, and readOnly says why.
func Hold(path string) (f *os.File, readOnly, err error) {
	f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) {
		readOnly = err
		if f, err = os.Open(path); err != nil {
			return nil, nil, readOnly
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if err := Lock(f); err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, readOnly, nil
}
