package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/conmotion/conmotion/policy"
)

// algorithmSHA256 is the hash algorithm by which artifacts are stored (RFC
// 9054). Content under another one is never stored.
const algorithmSHA256 = -16

// OpenArtifacts gives the artifacts of a service, by the URL below which it
// has /artifacts, or those in the directory of an artifact storage.
func OpenArtifacts(location string, client *http.Client) (Artifacts, error) {
	if u, err := url.Parse(location); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return httpArtifacts{u, client}, nil
	}
	if info, err := os.Stat(filepath.Join(location, "sha256")); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("artifacts %q: neither a URL nor a directory with artifacts in sha256/", location)
	}
	return dirArtifacts(location), nil
}

// dirArtifacts reads sha256/ab/cd/abcd...
type dirArtifacts string

func (d dirArtifacts) Artifact(ctx context.Context, algorithm int64, digest []byte) (*policy.Artifact, error) {
	if algorithm != algorithmSHA256 {
		return nil, nil
	}
	name := hex.EncodeToString(digest)
	path := filepath.Join(string(d), "sha256", name[:2], name[2:4], name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	return &policy.Artifact{Size: info.Size(), Read: func() ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("artifact: %w", err)
		}
		defer f.Close()
		return readArtifact(f)
	}}, nil
}

// httpArtifacts asks GET and HEAD /artifacts/sha256/{hex}.
type httpArtifacts struct {
	prefix *url.URL
	client *http.Client
}

func (h httpArtifacts) Artifact(ctx context.Context, algorithm int64, digest []byte) (*policy.Artifact, error) {
	if algorithm != algorithmSHA256 {
		return nil, nil
	}
	u := h.prefix.JoinPath("artifacts", "sha256", hex.EncodeToString(digest)).String()
	resp, err := h.do(ctx, http.MethodHead, u)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("artifact: %s: status %s", u, resp.Status)
	case resp.ContentLength < 0:
		return nil, fmt.Errorf("artifact: %s: its length is missing in the answer", u)
	}
	return &policy.Artifact{Size: resp.ContentLength, Read: func() ([]byte, error) {
		resp, err := h.do(ctx, http.MethodGet, u)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("artifact: %s: status %s", u, resp.Status)
		}
		return readArtifact(resp.Body)
	}}, nil
}

func (h httpArtifacts) do(ctx context.Context, method, u string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u, nil)
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	return resp, nil
}

// readArtifact reads no more than a policy may.
func readArtifact(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, policy.MaxArtifact+1))
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	return data, nil
}
