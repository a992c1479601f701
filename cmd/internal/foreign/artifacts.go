// Package foreign gives a search index what it needs of a log that is
// somebody else's: its artifacts, its keys and its state.
package foreign

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/search"
)

// Fetched are artifacts behind HTTP, as search reads them.
type Fetched struct{ *client.Artifacts }

// Artifact implements [search.Artifacts].
func (f Fetched) Artifact(ctx context.Context, sha256 [32]byte, limit int64) ([]byte, error) {
	d, err := f.Get(ctx, sha256, 0)
	if err == nil {
		defer d.Close()
		return readArtifact(d, d.Size, limit)
	}
	p, ok := errors.AsType[*scitt.Problem](err)
	switch {
	case ok && (p.Status == http.StatusNotFound || p.Status == http.StatusGone),
		// What is damaged in the storage will not come back by itself.
		ok && p.Status == http.StatusInternalServerError && p.Title == "Artifact Damaged":
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return nil, err
}

// Stored are the files of an artifact storage: sha256/ab/cd/abcd...
type Stored string

// OpenStored checks that a directory is that of an artifact storage.
func OpenStored(dir string) (Stored, error) {
	if info, err := os.Stat(filepath.Join(dir, "sha256")); err != nil || !info.IsDir() {
		return "", fmt.Errorf("%s is neither a URL nor a directory with artifacts in sha256/", dir)
	}
	return Stored(dir), nil
}

// Artifact implements [search.Artifacts].
func (s Stored) Artifact(ctx context.Context, sha256 [32]byte, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name := hex.EncodeToString(sha256[:])
	f, err := os.Open(filepath.Join(string(s), "sha256", name[:2], name[2:4], name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readArtifact(f, info.Size(), limit)
}

// readArtifact reads all of an artifact; size is what is said of it, or -1.
func readArtifact(r io.Reader, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, search.ErrTooLarge
	}
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, search.ErrTooLarge
	}
	return content, nil
}
