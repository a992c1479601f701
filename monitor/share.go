package monitor

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
)

// share lets two logs look for artifacts where the other has its own, behind
// their own place: a statement that is registered in both has its content in
// one storage, and what has the digest is the content wherever it is from.
func share(a, b Log) (Log, Log) {
	first, second := a.Artifacts, b.Artifacts
	switch {
	case first == nil:
		a.Artifacts = second
	case second == nil:
		b.Artifacts = first
	default:
		a.Artifacts, b.Artifacts = places{first, second}, places{second, first}
	}
	return a, b
}

// places are several artifact storages, which are asked in turn.
type places []Artifacts

// Artifact implements [Artifacts]. One place that is out of reach is
// no error while another has the artifact.
func (p places) Artifact(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	var missing, failed error
	for _, place := range p {
		content, err := place.Artifact(ctx, digest)
		switch {
		case err == nil && sha256.Sum256(content) == digest:
			return content, nil
		case err == nil:
			failed = errors.Join(failed, errors.New("a storage gave bytes with another digest"))
		case errors.Is(err, fs.ErrNotExist):
			missing = errors.Join(missing, err)
		default:
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, missing
}
