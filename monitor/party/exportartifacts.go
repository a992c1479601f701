package party

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/conmotion/conmotion/internal/parallel"
)

// ErrArtifact is wrapped when a storage gives other bytes than were asked for.
var ErrArtifact = errors.New("the artifact has another digest")

// artifacts brings the artifacts of new statements, and those that were not to
// be had before.
func (e *export) artifacts(ctx context.Context, digests []Digest) error {
	m := &e.manifest
	if e.before != nil {
		m.Artifacts, m.LeftOut = e.before.Artifacts, e.before.LeftOut
		digests = append(digests, e.before.Missing...)
	}
	compare := func(a, b Digest) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(digests, compare)
	digests = slices.Compact(digests)
	have := func(d Digest) bool {
		_, found := slices.BinarySearchFunc(m.Artifacts, d, func(a ManifestArtifact, d Digest) int { return compare(a.SHA256, d) })
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
		missing bool
	}
	one := func(ctx context.Context, n uint64) (r result, err error) {
		r.size, r.fetched, err = e.artifact(ctx, digests[n])
		if errors.Is(err, fs.ErrNotExist) {
			return result{missing: true}, nil
		}
		return r, err
	}
	total := uint64(len(digests))
	for n, r := range parallel.Ordered(ctx, 0, total, fetchers, one) {
		d := digests[n]
		switch {
		case r.Err != nil:
			return fmt.Errorf("artifact %s: %w", d, r.Err)
		case r.Value.missing:
			m.Missing = append(m.Missing, d)
		default:
			m.Artifacts = append(m.Artifacts, ManifestArtifact{d, r.Value.size})
			e.touch(ArtifactPath(d))
		}
		if r.Value.fetched {
			e.out.Fetched, e.out.Bytes = e.out.Fetched+1, e.out.Bytes+uint64(r.Value.size)
		}
		e.o.Progress("artifacts", n+1, total)
	}
	return nil
}

// artifact brings one artifact, unless it is there.
func (e *export) artifact(ctx context.Context, d Digest) (size int64, fetched bool, err error) {
	path := e.path(ArtifactPath(d))
	if got, size, err := HashFile(ctx, path); err == nil && got == d {
		return size, false, nil
	}
	from, err := e.OpenArtifact(ctx, d)
	if err != nil {
		return 0, false, err
	}
	defer from.Close()
	size, err = writeArtifact(path, d, from)
	return size, err == nil, err
}

// HashFile is the digest of a file, and its size in bytes.
func HashFile(ctx context.Context, path string) (Digest, int64, error) {
	if err := ctx.Err(); err != nil {
		return Digest{}, 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Digest{}, 0, err
	}
	return hashOf(f)
}

// hashOf reads and closes a file.
func hashOf(f io.ReadCloser) (d Digest, size int64, err error) {
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return Digest(h.Sum(nil)), size, err
}

// writeArtifact writes an artifact of any size, and gives it its name only
// when the digest is right. A crash leaves a partial file beside it, whose name
// begins with a dot, and which the next export writes anew.
func writeArtifact(path string, d Digest, from io.Reader) (size int64, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "."+filepath.Base(path)+".partial"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	h := sha256.New()
	if size, err = io.Copy(io.MultiWriter(f, h), from); err != nil {
		return 0, err
	}
	if got := Digest(h.Sum(nil)); got != d {
		return 0, fmt.Errorf("%w: it is %s", ErrArtifact, got)
	}
	if err = f.Sync(); err != nil {
		return 0, err
	}
	if err = f.Close(); err != nil {
		return 0, err
	}
	return size, os.Rename(f.Name(), path)
}
