package gcp_test

import (
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/gcp"
	"github.com/conmotion/conmotion/storage/internal/artifacttest"
)

func TestArtifacts(t *testing.T) {
	p := tests.GCP(t)
	artifacttest.RunBucket(t, func(t *testing.T) (artifacttest.Open, artifacttest.Write) {
		b := testlog.Must(p.NewBucket(t.Context(), false))(t)
		bucket := testlog.Must(gcp.ParseBucket(b.Location))(t)
		return func(o artifact.Options) (artifact.Storage, error) { return gcp.OpenArtifacts(t.Context(), bucket, o) }, b.Write
	})
}
