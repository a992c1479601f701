package foreign

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/search"
)

// TestArtifacts reads the same storage over HTTP and from its files.
func TestArtifacts(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenStored(dir); err == nil {
		t.Error("an empty directory is a storage")
	}
	store, err := artifact.OpenDir(dir, artifact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	problem := func(w http.ResponseWriter, _ *http.Request, status int, title, detail string) {
		w.WriteHeader(status)
		_, _ = w.Write((&scitt.Problem{Title: title, Detail: detail}).Marshal())
	}
	h, err := artifact.NewHandler(artifact.Config{Store: store, Problem: problem})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	c, err := client.NewArtifacts(server.URL, "", client.Options{Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	const limit = 100
	contents := map[string]string{"some": "content", "nothing": "", "all": strings.Repeat("x", limit), "too much": strings.Repeat("x", limit+1)}
	for _, content := range contents {
		if _, err := c.Put(t.Context(), sha256.Sum256([]byte(content)), strings.NewReader(content), int64(len(content))); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := OpenStored(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, artifacts := range map[string]search.Artifacts{"fetched": Fetched{c}, "stored": stored} {
		for what, content := range contents {
			got, err := artifacts.Artifact(t.Context(), sha256.Sum256([]byte(content)), limit)
			if what == "too much" {
				if !errors.Is(err, search.ErrTooLarge) {
					t.Errorf("%s: %s: %v", name, what, err)
				}
			} else if err != nil || string(got) != content {
				t.Errorf("%s: %s: %q, %v", name, what, got, err)
			}
		}
		if _, err := artifacts.Artifact(t.Context(), [32]byte{1}, limit); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: one that is not there: %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := artifacts.Artifact(ctx, sha256.Sum256([]byte("content")), limit); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled: %v", name, err)
		}
	}
	// A damaged one will not come back; a storage out of reach may.
	damaged := sha256.Sum256([]byte("content"))
	hexed := hex.EncodeToString(damaged[:])
	if err := os.WriteFile(filepath.Join(dir, "sha256", hexed[:2], hexed[2:4], hexed), []byte("c0ntent"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (Fetched{c}).Artifact(t.Context(), damaged, limit); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("damaged: %v", err)
	}
	server.Close()
	if _, err := (Fetched{c}).Artifact(t.Context(), damaged, limit); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("out of reach: %v", err)
	}
}

// TestArtifactsRefused: a missing token is not an artifact that is missing.
func TestArtifactsRefused(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusInternalServerError} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		c, err := client.NewArtifacts(server.URL, "", client.Options{Retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (Fetched{c}).Artifact(t.Context(), [32]byte{}, 1); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("status %d: %v", status, err)
		}
		server.Close()
	}
}
