package party

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// maxArtifact bounds the artifacts that are read into memory: events and
// documents, which are small.
const maxArtifact = 64 << 20

// openArtifacts finds the content of hash envelopes: where the options say, or
// else beside the log. A directory has them in sha256/ or artifacts/sha256/;
// of a service's own public/, who may read its private/ finds them there.
func openArtifacts(location string, o Options) (monitor.Artifacts, error) {
	place := o.Artifacts
	if place == "" {
		place = location
	}
	if IsURL(place) {
		c, err := client.NewArtifacts(place, o.Token, client.Options{HTTP: o.HTTP})
		if err != nil {
			return nil, fmt.Errorf("artifacts: %w", err)
		}
		return &remoteArtifacts{c, place, client.Options{HTTP: o.HTTP}}, nil
	}
	dirs := []string{place, filepath.Join(place, "artifacts")}
	if o.Artifacts == "" && filepath.Base(place) == "public" {
		dirs = append(dirs, filepath.Join(filepath.Dir(place), "private", "artifacts"))
	}
	for _, dir := range dirs {
		if info, err := os.Stat(filepath.Join(dir, "sha256")); err == nil && info.IsDir() {
			return dirArtifacts(dir), nil
		}
	}
	if o.Artifacts != "" {
		return nil, fmt.Errorf("artifacts %q: neither a URL nor a directory with artifacts in sha256/", place)
	}
	return nil, nil
}

// dirArtifacts are the files of an artifact storage: sha256/ab/cd/abcd...
type dirArtifacts string

// open opens an artifact of any size.
func (d dirArtifacts) open(ctx context.Context, digest [sha256.Size]byte) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return os.Open(filepath.Join(string(d), filepath.FromSlash(ArtifactPath(digest))))
}

// Artifact implements [monitor.Artifacts].
func (d dirArtifacts) Artifact(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	return readArtifact(d.open(ctx, digest))
}

// remoteArtifacts are those of a service, or of an export on a file server.
type remoteArtifacts struct {
	store *client.Artifacts
	place string // URL
	o     client.Options
}

// open opens an artifact of any size.
func (r *remoteArtifacts) open(ctx context.Context, digest [sha256.Size]byte) (io.ReadCloser, error) {
	d, err := r.store.Get(ctx, digest, 0)
	if notFound(err) {
		u, parseErr := url.Parse(r.place)
		if parseErr != nil {
			return nil, parseErr
		}
		if d, err = client.Fetch(ctx, u.JoinPath(ArtifactPath(digest)).String(), r.o); notFound(err) {
			return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		}
	}
	if errors.Is(err, client.ErrOffset) {
		return io.NopCloser(bytes.NewReader(nil)), nil // it is empty
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

func notFound(err error) bool {
	p, ok := errors.AsType[*scitt.Problem](err)
	return ok && p.Status == http.StatusNotFound
}

// Artifact implements [monitor.Artifacts].
func (r *remoteArtifacts) Artifact(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	return readArtifact(r.open(ctx, digest))
}

// OpenArtifact opens the artifact with a digest, which may be of any size. It
// is not verified. The error wraps [fs.ErrNotExist] when it is not to be had.
func (l *Log) OpenArtifact(ctx context.Context, digest [sha256.Size]byte) (io.ReadCloser, error) {
	store, ok := l.Artifacts.(interface {
		open(ctx context.Context, digest [sha256.Size]byte) (io.ReadCloser, error)
	})
	if ok {
		return store.open(ctx, digest)
	}
	if l.Artifacts == nil {
		return nil, fmt.Errorf("there is no artifact storage: %w", fs.ErrNotExist)
	}
	content, err := l.Artifacts.Artifact(ctx, digest)
	return io.NopCloser(bytes.NewReader(content)), err
}

func readArtifact(r io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxArtifact+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxArtifact {
		return nil, fmt.Errorf("the artifact is larger than %d bytes", maxArtifact)
	}
	return data, nil
}
