package daemon

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/internal/loopback"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact"
)

// openArtifacts opens artifact storage beside the log.
func (d *Daemon) openArtifacts(ctx context.Context, c *Config, t *Telemetry, readers *artifact.Tokens) (http.Handler, error) {
	writers := artifact.Everybody()
	var err error
	if c.ArtifactWriters != "" {
		if writers, err = tokens(c.ArtifactWriters); err != nil {
			return nil, fmt.Errorf("--artifact-write-tokens: %w", err)
		}
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
	content.Problem(w, &scitt.Problem{Status: status, Title: title, Detail: detail})
}

// Readers say who may read artifacts, and search in them.
type Readers struct {
	Tokens string // file with the hashes of tokens; "" for none
	Public bool   // everybody may
}

// Who says who may, of a service with an issuer: without Tokens and Public nobody
// or, where the issuer is a loopback address, this machine: such a service is a trial
// that nobody else is to reach.
func (r Readers) Who(issuer string) string {
	switch {
	case r.Public:
		return "everybody may read them (--artifacts-public)"
	case r.Tokens != "":
		return "who has a token may read them"
	case onLoopback(issuer):
		return "this machine may read them"
	}
	return "nobody may read them (--artifact-read-tokens, or --artifacts-public)"
}

func (r Readers) open(issuer string) (*artifact.Tokens, error) {
	switch {
	case r.Public:
		return artifact.Everybody(), nil
	case r.Tokens != "":
		t, err := tokens(r.Tokens)
		if err != nil {
			err = fmt.Errorf("--artifact-read-tokens: %w", err)
		}
		return t, err
	case onLoopback(issuer):
		return artifact.ThisMachine(), nil
	}
	return nil, nil
}

func onLoopback(issuer string) bool {
	u, err := url.Parse(issuer)
	return err == nil && loopback.Host(u.Host)
}

// tokens reads a file of token hashes.
func tokens(path string) (*artifact.Tokens, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return artifact.ParseTokens(f)
}
