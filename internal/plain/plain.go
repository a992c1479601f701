// Package plain opens files that somebody else may have put there: opening a
// pipe would wait, and reading a device may never end. What the user names may
// be a pipe, which is waited for until the context ends.
package plain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// ErrNotPlain says that something is neither a plain file nor a directory.
var ErrNotPlain = errors.New("not a plain file")

// Open opens a plain file to read, also by way of a symbolic link, and returns
// its size in bytes.
func Open(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is %w", path, ErrNotPlain)
	}
	f, err := os.Open(path)
	return f, info.Size(), err
}

// ReadFile returns all of a plain file of at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, size, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, and at most %d are read", path, size, limit)
	}
	data := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	_, err = data.ReadFrom(io.LimitReader(f, limit))
	return data.Bytes(), err
}

// Shared reports whether others than its owner may read a file; nobody knows that of
// a pipe or a device, which counts as not shared.
func Shared(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows"
}

// Tree checks that below a directory, which may itself be a symbolic link, there
// are only plain files and directories: no links that lead elsewhere, no pipes
// and no devices. A directory that is not there is none. The error wraps
// ErrNotPlain and names the first one that is something else.
func Tree(ctx context.Context, dir string) error {
	return fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case name == "." && errors.Is(err, fs.ErrNotExist):
			return fs.SkipAll
		case err != nil:
			return err
		case !d.IsDir() && !d.Type().IsRegular():
			return fmt.Errorf("%s in %s is %w", name, dir, ErrNotPlain)
		}
		return context.Cause(ctx)
	})
}

// ErrLarge says that a file has more bytes than are read.
var ErrLarge = errors.New("it has more than is read")

// ReadInput returns all of what the user names, a file or a pipe, of at most limit
// bytes.
func ReadInput(ctx context.Context, path string, limit int64) ([]byte, error) {
	f, err := OpenInput(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes", path, ErrLarge, limit)
	}
	return ReadAll(path, Reader(ctx, f), limit)
}

// ReadAll is ReadInput of what is open.
func ReadAll(name string, r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: %d bytes", ErrLarge, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// OpenInput opens what the user names to read. Its content is read with [Reader].
func OpenInput(ctx context.Context, path string) (*os.File, error) {
	return Wait(ctx, func() (*os.File, error) { return os.Open(path) })
}

// Wait returns what do gives, or the cause once the context ends. Opening and reading
// a pipe wait for whoever writes to it, and nothing else ends that: do then goes on
// until the program ends.
func Wait[T any](ctx context.Context, do func() (T, error)) (T, error) {
	var v T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err = do()
	}()
	select {
	case <-done:
		return v, err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// Reader ends reading with the context, also where a read waits.
func Reader(ctx context.Context, r io.Reader) io.Reader {
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return inContext{ctx, r}
		}
	}
	return waiting{ctx, r}
}

type inContext struct {
	ctx context.Context
	io.Reader
}

func (r inContext) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

type waiting inContext

func (r waiting) Read(p []byte) (int, error) {
	own := make([]byte, len(p)) // p is the caller's again when the context ends
	n, err := Wait(r.ctx, func() (int, error) { return r.Reader.Read(own) })
	copy(p, own[:n])
	return n, err
}
