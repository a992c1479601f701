package artifact_test

import (
	"testing"

	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/internal/artifacttest"
)

func openDir(t testing.TB, root string, opts artifact.Options) artifact.Storage {
	t.Helper()
	d, err := artifact.OpenDir(root, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestDir(t *testing.T) {
	artifacttest.Run(t, func(t *testing.T) artifact.Store {
		return openDir(t, t.TempDir(), artifact.Options{})
	})
}
