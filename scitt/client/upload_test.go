package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
)

// TestUploadAgain: busy is asked again, a verdict is not.
func TestUploadAgain(t *testing.T) {
	content := []byte("content")
	for name, c := range map[string]struct {
		status int
		posts  int
	}{"busy": {503, 3}, "damaged": {500, 1}, "full": {507, 1}, "refused": {403, 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{Handler: artifactStorage(t)}
				posts := 0
				w.answer = func(_ int, r *http.Request, resp *http.Response) (*http.Response, error) {
					if r.Method != http.MethodPost {
						return resp, nil
					}
					if posts++; posts < 3 {
						return &http.Response{StatusCode: c.status, Header: http.Header{"Retry-After": {"7"}}, Body: http.NoBody}, nil
					}
					return resp, nil
				}
				_, err := artifacts(t, w, "").Put(t.Context(), sha256.Sum256(content), bytes.NewReader(content), 7)
				if posts != c.posts || (err == nil) != (c.status == 503) {
					t.Errorf("%d uploads, %v", posts, err)
				}
			})
		})
	}
}

// TestUploadStalls: an upload that does not move ends.
func TestUploadStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{Handler: artifactStorage(t), answer: func(_ int, r *http.Request, resp *http.Response) (*http.Response, error) {
			if r.Method == http.MethodPost {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return resp, nil
		}}
		a, err := client.NewArtifacts("https://ts.example", "", client.Options{HTTP: &http.Client{Transport: w}, Retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Put(t.Context(), sha256.Sum256([]byte("x")), strings.NewReader("x"), 1)
		if err == nil || !strings.Contains(err.Error(), "no byte moved") {
			t.Errorf("%v", err)
		}
	})
}

func TestUploadAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		digest string
	}{"status": {204, ""}, "another digest": {201, "sha-256=:AAAA:"}} {
		w := &wire{Handler: http.NotFoundHandler(), answer: func(_ int, r *http.Request, resp *http.Response) (*http.Response, error) {
			if r.Method == http.MethodPost {
				resp.StatusCode = c.status
				resp.Header.Set("Repr-Digest", c.digest)
			}
			return resp, nil
		}}
		if _, err := artifacts(t, w, "").Put(t.Context(), sha256.Sum256(nil), bytes.NewReader(nil), 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestArtifactRedirects: the request stays what it is, and the token at home.
func TestArtifactRedirects(t *testing.T) {
	content := []byte("content")
	for name, c := range map[string]struct {
		status int
		to     string
		want   []string
		ok     bool
	}{
		"other host": {307, "https://blobs.example", []string{"HEAD ts.example Bearer t", "HEAD blobs.example", "POST ts.example Bearer t", "POST blobs.example"}, true},
		"other port": {307, "https://ts.example:8443/v2", []string{"HEAD ts.example Bearer t", "HEAD ts.example:8443", "POST ts.example Bearer t", "POST ts.example:8443"}, true},
		"subdomain":  {307, "https://a.ts.example", []string{"HEAD ts.example Bearer t", "HEAD a.ts.example", "POST ts.example Bearer t", "POST a.ts.example"}, true},
		"same host":  {308, "https://ts.example/v2", []string{"HEAD ts.example Bearer t", "HEAD ts.example Bearer t", "POST ts.example Bearer t", "POST ts.example Bearer t"}, true},
		"not POST":   {302, "https://ts.example/v2", []string{"HEAD ts.example Bearer t", "HEAD ts.example Bearer t", "POST ts.example Bearer t"}, false},
		"no https":   {307, "http://ts.example/v2", []string{"HEAD ts.example Bearer t", "POST ts.example Bearer t"}, false},
		"user":       {307, "https://user@ts.example/v2", []string{"HEAD ts.example Bearer t", "POST ts.example Bearer t"}, false},
		"a file":     {307, "file:///etc", []string{"HEAD ts.example Bearer t", "POST ts.example Bearer t"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			storage := artifactStorage(t)
			w := &wire{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Host == "ts.example" && !strings.HasPrefix(r.URL.Path, "/v2") {
					w.Header().Set("Location", c.to+r.URL.Path)
					w.WriteHeader(c.status)
					return
				}
				r.URL.Path = strings.TrimPrefix(r.URL.Path, "/v2")
				storage.ServeHTTP(w, r)
			})}
			created, err := artifacts(t, w, "t").Put(t.Context(), sha256.Sum256(content), bytes.NewReader(content), 7)
			if !slices.Equal(w.requests, c.want) || (err == nil) != c.ok || created != c.ok {
				t.Errorf("requests %q, created %v, %v", w.requests, created, err)
			}
		})
	}
}

// shrinking is a file that somebody else makes shorter.
type shrinking struct{ io.ReaderAt }

// TestContentFails: what is wrong with the content is reported once.
func TestContentFails(t *testing.T) {
	failed := errors.New("bad sector")
	var posts atomic.Int32
	storage := artifactStorage(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
		}
		storage.ServeHTTP(w, r)
	}))
	defer server.Close()
	a, err := client.NewArtifacts(server.URL, "", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]io.ReaderAt{
		"it became shorter": shrinking{bytes.NewReader(make([]byte, 100000))},
		"bad sector":        io.NewSectionReader(failing{failed}, 0, 200000),
	} {
		posts.Store(0)
		_, err := a.Put(t.Context(), sha256.Sum256(nil), content, 200000)
		if err == nil || !strings.Contains(err.Error(), "reading the content: "+name) || posts.Load() != 1 {
			t.Errorf("%s: %d uploads, %v", name, posts.Load(), err)
		}
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// TestArtifactMemory: it does not grow with the artifact.
func TestArtifactMemory(t *testing.T) {
	const size = 64 << 20
	f, err := os.Create(filepath.Join(t.TempDir(), "large"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	digest := [sha256.Size]byte(h.Sum(nil))
	server := httptest.NewServer(artifactStorage(t))
	defer server.Close()
	a, err := client.NewArtifacts(server.URL, "", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if created, err := a.Put(t.Context(), digest, f, size); err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	d, err := a.Get(t.Context(), digest, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	h.Reset()
	if n, err := io.Copy(h, d); err != nil || n != size || [sha256.Size]byte(h.Sum(nil)) != digest {
		t.Errorf("%d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 8<<20 {
		t.Errorf("%d bytes allocated by both sides for %d bytes", total, size)
	}
}

func TestDownloadCanceled(t *testing.T) {
	w := &wire{Handler: artifactStorage(t)}
	digest := w.store(t, make([]byte, 1000))
	ctx, cancel := context.WithCancel(t.Context())
	w.answer = func(_ int, r *http.Request, resp *http.Response) (*http.Response, error) {
		resp.Body = &cut{resp.Body, 500, func() error { cancel(); return r.Context().Err() }}
		return resp, nil
	}
	d, err := artifacts(t, w, "").Get(ctx, digest, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := io.ReadAll(d); len(got) != 500 || !errors.Is(err, context.Canceled) || len(w.requests) != 1 {
		t.Errorf("%d bytes with %d requests, %v", len(got), len(w.requests), err)
	}
}

// TestPutAll: many contents go in one request, and each is there afterwards; an answer that is about other contents is an
// error, and so is a service that knows no batch.
func TestPutAll(t *testing.T) {
	contents := [][]byte{nil, []byte("a"), bytes.Repeat([]byte("b"), 30), bytes.Repeat([]byte("c"), 3000), make([]byte, 64<<10)}
	w := &wire{Handler: artifactStorage(t)}
	a := artifacts(t, w, "")
	if err := a.PutAll(t.Context(), contents); err != nil || len(w.requests) != 1 {
		t.Fatalf("%q, %v", w.requests, err)
	}
	for _, content := range contents {
		d, err := a.Get(t.Context(), sha256.Sum256(content), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, content) || d.Close() != nil {
			t.Errorf("%d bytes of %d, %v", len(got), len(content), err)
		}
	}
	w.answer = func(_ int, _ *http.Request, resp *http.Response) (*http.Response, error) {
		resp.Body = io.NopCloser(strings.NewReader("another"))
		return resp, nil
	}
	if err := a.PutAll(t.Context(), contents); err == nil {
		t.Error("another answer is taken")
	}
	if err := artifacts(t, &wire{Handler: http.NotFoundHandler()}, "").PutAll(t.Context(), contents); !isProblem(err) {
		t.Errorf("a service without batches: %v", err)
	}
}

func isProblem(err error) bool { _, ok := errors.AsType[*scitt.Problem](err); return ok }
