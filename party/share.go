package party

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"

	"github.com/conmotion/conmotion/monitor"
)

// Share lets logs look for artifacts where the others have theirs, behind
// their own place: a statement that is registered in several logs has its
// content in one storage, and what has the digest is the content wherever it is
// from.
func Share(logs ...*Log) {
	own := make([]monitor.Artifacts, len(logs))
	for i, l := range logs {
		own[i] = l.Artifacts
	}
	for i, l := range logs {
		var places places
		for _, a := range append([]monitor.Artifacts{own[i]}, own...) {
			if a != nil && (len(places) == 0 || a != own[i]) {
				places = append(places, a)
			}
		}
		if len(places) > 0 {
			l.Artifacts = places
		}
	}
}

// places are several artifact storages, which are asked in turn.
type places []monitor.Artifacts

// Artifact implements [monitor.Artifacts]. One place that is out of reach is
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
