package party

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/client"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// maxArtifact bounds the artifacts that are read into memory: events and
// documents, which are small.
const maxArtifact = 64 << 20

// openArtifacts finds the content of hash envelopes: where the options say, or
// else beside the log. A directory has them in sha256/ or artifacts/sha256/.
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
		return &remoteArtifacts{c}, nil
	}
	for _, dir := range []string{place, filepath.Join(place, "artifacts")} {
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

// Artifact implements [monitor.Artifacts].
func (d dirArtifacts) Artifact(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name := hex.EncodeToString(digest[:])
	f, err := os.Open(filepath.Join(string(d), "sha256", name[:2], name[2:4], name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readArtifact(f)
}

// remoteArtifacts are those of a service.
type remoteArtifacts struct{ store *client.Artifacts }

// Artifact implements [monitor.Artifacts].
func (r *remoteArtifacts) Artifact(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	d, err := r.store.Get(ctx, digest, 0)
	if p, ok := errors.AsType[*scitt.Problem](err); ok && p.Status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if errors.Is(err, client.ErrOffset) {
		return nil, nil // it is empty
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return readArtifact(d)
}

func readArtifact(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxArtifact+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxArtifact {
		return nil, fmt.Errorf("the artifact is larger than %d bytes", maxArtifact)
	}
	return data, nil
}
