package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// artifacts fetches the artifacts of new statements, and those that were not
// found before, or are gone.
func (e *export) artifacts(ctx context.Context, digests []reader.Digest) error {
	m := &e.manifest
	if e.before != nil {
		m.Artifacts, m.LeftOut = e.before.Artifacts, e.before.LeftOut
		digests = append(digests, e.before.Missing...)
	}
	slices.SortFunc(digests, compare)
	digests = slices.Compact(digests)
	have := func(d reader.Digest) bool {
		_, found := m.artifact(d)
		return found
	}
	digests = slices.DeleteFunc(digests, have)
	if e.o.NoArtifacts {
		m.LeftOut = m.LeftOut || len(digests) > 0
		return nil
	}
	m.LeftOut = false
	type result struct {
		size    int64
		fetched bool
		missing error // why there is none to take
	}
	one := func(ctx context.Context, n uint64) (r result, err error) {
		r.size, r.fetched, err = e.artifact(ctx, digests[n])
		if reader.Withheld(err) || errors.Is(err, reader.ErrTooSlow) || errors.Is(err, reader.ErrUnread) {
			return result{missing: err}, nil
		}
		return r, err
	}
	total := uint64(len(digests))
	for n, r := range parallel.Ordered(ctx, 0, total, fetchers, one) {
		d := digests[n]
		switch {
		case r.Err != nil:
			return fmt.Errorf("artifact %s: %w", d, r.Err)
		case r.Value.missing != nil:
			m.Missing = append(m.Missing, d)
			if !errors.Is(r.Value.missing, fs.ErrNotExist) {
				e.out.Refused = append(e.out.Refused, fmt.Errorf("artifact %s: %w", d, r.Value.missing))
			}
		default:
			m.Artifacts = append(m.Artifacts, manifestArtifact{d, r.Value.size})
			e.touch(d.Path())
		}
		if r.Value.fetched {
			e.out.Fetched, e.out.Bytes = e.out.Fetched+1, e.out.Bytes+uint64(r.Value.size)
		}
		e.o.Progress("artifacts", n+1, total)
	}
	return nil
}

// artifact fetches one artifact, unless it is there.
func (e *export) artifact(ctx context.Context, d reader.Digest) (size int64, fetched bool, err error) {
	path := e.path(d.Path())
	if got, size, err := reader.HashFile(ctx, path); err == nil && got == d {
		return size, false, nil
	}
	from, err := e.Artifacts.Open(ctx, d)
	if err != nil {
		return 0, false, err
	}
	defer from.Close()
	size, err = writeArtifact(path, from)
	return size, err == nil, err
}

// writeArtifact writes an artifact of any size, and gives it its name only
// when all of it is there and has the digest. A crash leaves a partial file
// beside it, whose name begins with a dot, and which the next export writes anew.
func writeArtifact(path string, from io.Reader) (size int64, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	part := filepath.Join(dir, "."+filepath.Base(path)+".partial")
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(part)
		}
	}()
	if size, err = io.Copy(f, from); err != nil {
		return 0, err
	}
	if err = f.Sync(); err != nil {
		return 0, err
	}
	if err = f.Close(); err != nil {
		return 0, err
	}
	return size, os.Rename(part, path)
}
