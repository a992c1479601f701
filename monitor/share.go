package monitor

import (
	"context"
	"errors"
	"io/fs"

	"github.com/conmotion/conmotion/storage/artifact/reader"
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
type places []reader.Artifacts

// Artifact implements [reader.Artifacts]. One place that is out of reach is
// no error while another has the artifact.
func (p places) Artifact(ctx context.Context, digest reader.Digest, limit int64) ([]byte, error) {
	var missing, failed error
	for _, place := range p {
		content, err := place.Artifact(ctx, digest, limit)
		switch {
		case err == nil:
			return content, nil
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
