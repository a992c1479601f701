package daemon

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact"
)

// openArtifacts opens artifact storage beside the log.
func (d *Daemon) openArtifacts(ctx context.Context, c *Config, t *Telemetry) (http.Handler, error) {
	writers, err := tokens(c.ArtifactWriters)
	if err != nil {
		return nil, fmt.Errorf("--artifact-write-tokens: %w", err)
	}
	readers, err := tokens(c.ArtifactReaders)
	if err != nil {
		return nil, fmt.Errorf("--artifact-read-tokens: %w", err)
	}
	corrupted := func(digest artifact.Digest) {
		t.service.Corrupted()
		c.Logger.Error("a stored artifact is corrupted", "sha256", digest.String())
	}
	store, err := d.place.openArtifacts(ctx, artifact.Options{MaxSize: c.ArtifactMaxSize, Quota: c.ArtifactQuota, OnCorrupt: corrupted})
	if err != nil {
		return nil, fmt.Errorf("artifact storage: %w", err)
	}
	d.artifacts = store
	return artifact.NewHandler(artifact.Config{Store: d.artifacts, Write: writers, Read: readers, Log: c.Logger, Problem: writeProblem})
}

func writeProblem(w http.ResponseWriter, _ *http.Request, status int, title, detail string) {
	p := scitt.Problem{Status: status, Title: title, Detail: detail}
	w.Header().Set("Content-Type", scitt.ProblemMediaType)
	w.WriteHeader(status)
	_, _ = w.Write(p.Marshal()) // the client is gone: nobody to tell
}

// tokens reads a file of token hashes; no file lets everybody.
func tokens(path string) (*artifact.Tokens, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return artifact.ParseTokens(f)
}
