package monitor

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"testing"

	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// storage is artifacts in memory; what it says of a digest it does not have is err.
type storage struct {
	content map[[sha256.Size]byte]string
	err     error
}

func (s *storage) Artifact(_ context.Context, digest reader.Digest, _ int64) ([]byte, error) {
	c, ok := s.content[digest]
	switch {
	case ok && sha256.Sum256([]byte(c)) != digest:
		return nil, reader.ErrWrong
	case ok:
		return []byte(c), nil
	}
	return nil, s.err
}

// TestShare: content is found wherever it is, bytes with another digest are
// not, and a storage out of reach is not taken for one that has nothing.
func TestShare(t *testing.T) {
	first, second, nobody := sha256.Sum256([]byte("first")), sha256.Sum256([]byte("second")), sha256.Sum256([]byte("nobody"))
	away := errors.New("away")
	a := &storage{map[[sha256.Size]byte]string{first: "first", second: "something else"}, fs.ErrNotExist}
	b := &storage{map[[sha256.Size]byte]string{second: "second"}, fs.ErrNotExist}
	x, y := share(Log{Artifacts: a}, Log{Artifacts: b})
	z, _ := share(Log{}, x)
	logs := []Log{x, y, z}
	for i, l := range logs {
		for _, want := range []string{"first", "second"} {
			got, err := l.Artifacts.Artifact(t.Context(), sha256.Sum256([]byte(want)), 100)
			if err != nil || string(got) != want {
				t.Errorf("log %d: %q is %q, %v", i, want, got, err)
			}
		}
		if _, err := l.Artifacts.Artifact(t.Context(), nobody, 100); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("log %d: what nobody has: %v", i, err)
		}
	}
	b.err = away
	if _, err := logs[0].Artifacts.Artifact(t.Context(), nobody, 100); !errors.Is(err, away) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a storage that is away: %v", err)
	}
	if x, y := share(Log{}, Log{}); x.Artifacts != nil || y.Artifacts != nil {
		t.Error("logs without storage got one")
	}
}
