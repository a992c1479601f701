package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact"
)

// artifactStorage is the real handler over a directory.
func artifactStorage(t *testing.T) http.Handler {
	t.Helper()
	dir, err := artifact.OpenDir(t.TempDir(), artifact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	h, err := artifact.NewHandler(artifact.Config{Store: dir, Problem: func(w http.ResponseWriter, _ *http.Request, status int, title, detail string) {
		w.WriteHeader(status)
		_, _ = w.Write((&scitt.Problem{Title: title, Detail: detail}).Marshal())
	}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// wire answers requests without a network and writes them down.
type wire struct {
	http.Handler
	requests []string
	answer   func(n int, r *http.Request, answer *http.Response) (*http.Response, error)
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.requests = append(w.requests, strings.TrimSpace(fmt.Sprint(r.Method, " ", r.URL.Host, " ", r.Header.Get("Range"), r.Header.Get("Authorization"))))
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	resp := rec.Result()
	if w.answer == nil {
		return resp, nil
	}
	return w.answer(len(w.requests), r, resp)
}

func artifacts(t *testing.T, w *wire, token string) *client.Artifacts {
	t.Helper()
	a, err := client.NewArtifacts("https://ts.example", token, client.Options{HTTP: &http.Client{Transport: w}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// store puts content into the storage behind the wire, and forgets about it.
func (w *wire) store(t *testing.T, content []byte) [sha256.Size]byte {
	t.Helper()
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/artifacts", bytes.NewReader(content)))
	if rec.Code != http.StatusCreated {
		t.Fatalf("status %d", rec.Code)
	}
	return sha256.Sum256(content)
}

// cut lets n bytes of a body through, and then ends it with err.
type cut struct {
	io.ReadCloser
	n   int
	err func() error
}

func (c *cut) Read(p []byte) (int, error) {
	if c.n == 0 {
		return 0, c.err()
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.n)])
	c.n -= n
	return n, err
}

func TestArtifactRoundTrip(t *testing.T) {
	w := &wire{Handler: artifactStorage(t)}
	a := artifacts(t, w, "")
	for _, content := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("0123456789"), 20000)} {
		digest := sha256.Sum256(content)
		for _, first := range []bool{true, false} {
			created, err := a.Put(t.Context(), digest, bytes.NewReader(content), int64(len(content)))
			if err != nil || created != first {
				t.Fatalf("%d bytes: created %v, %v", len(content), created, err)
			}
		}
		for _, offset := range []int{0, 1, 150000} {
			d, err := a.Get(t.Context(), digest, int64(offset))
			if offset > 0 && offset >= len(content) {
				if !errors.Is(err, client.ErrOffset) {
					t.Errorf("offset %d of %d: %v", offset, len(content), err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(d)
			if err != nil || !bytes.Equal(got, content[offset:]) || d.Size != int64(len(content)) || d.Close() != nil {
				t.Errorf("%d of %d bytes from %d on, %v", len(got), d.Size, offset, err)
			}
		}
		if want := "https://ts.example/artifacts/sha256/" + hex.EncodeToString(digest[:]); a.URL(digest) != want {
			t.Errorf("URL %s", a.URL(digest))
		}
	}
	if n := slices.Index(w.requests, "POST ts.example"); n != 1 || strings.Count(strings.Join(w.requests, "\n"), "POST") != 3 {
		t.Errorf("requests %q: what is stored is not sent again", w.requests)
	}
}

func TestArtifactRefused(t *testing.T) {
	content := []byte("content")
	a := artifacts(t, &wire{Handler: artifactStorage(t)}, "")
	for name, call := range map[string]func() error{
		"wrong digest": func() error {
			_, err := a.Put(t.Context(), sha256.Sum256([]byte("other")), bytes.NewReader(content), 7)
			return err
		},
		"not there": func() error {
			_, err := a.Get(t.Context(), sha256.Sum256([]byte("other")), 0)
			return err
		},
	} {
		p, ok := errors.AsType[*scitt.Problem](call())
		if !ok || (p.Title != "Digest Mismatch" && p.Title != "Artifact Not Found") {
			t.Errorf("%s: %v", name, p)
		}
	}
	for _, service := range []string{"", "ftp://ts.example", "https://user:word@ts.example", "ts.example"} {
		if _, err := client.NewArtifacts(service, "", client.Options{}); err == nil || strings.Contains(err.Error(), "word") {
			t.Errorf("%q: %v", service, err)
		}
	}
}

// TestDownloadGoesOn: breaks are mended from where they were.
func TestDownloadGoesOn(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100)
	broken := errors.New("connection reset")
	for name, c := range map[string]struct {
		noRange bool
		stalls  bool
		want    []string
		least   time.Duration
	}{
		"breaks":        {want: []string{"GET ts.example", "GET ts.example bytes=300-", "GET ts.example bytes=600-", "GET ts.example bytes=900-"}},
		"without Range": {noRange: true, want: []string{"GET ts.example", "GET ts.example bytes=300-", "GET ts.example bytes=600-", "GET ts.example bytes=900-"}},
		"stalls": {stalls: true, want: []string{"GET ts.example", "GET ts.example bytes=300-", "GET ts.example bytes=600-", "GET ts.example bytes=900-"},
			least: 15 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := artifactStorage(t)
				w := &wire{Handler: storage}
				digest := w.store(t, content)
				if c.noRange {
					w.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						r = r.Clone(r.Context())
						r.Header.Del("Range")
						storage.ServeHTTP(w, r)
					})
				}
				w.answer = func(n int, r *http.Request, resp *http.Response) (*http.Response, error) {
					skipped := 0
					if c.noRange {
						skipped = (n - 1) * 300
					}
					resp.Body = &cut{resp.Body, skipped + 300, func() error {
						if c.stalls {
							<-r.Context().Done()
							return r.Context().Err()
						}
						return broken
					}}
					return resp, nil
				}
				start := time.Now()
				d, err := artifacts(t, w, "").Get(t.Context(), digest, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if !slices.Equal(w.requests, c.want) {
					t.Errorf("requests %q", w.requests)
				}
				if d := time.Since(start); d < c.least || d > c.least+time.Minute {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// TestDownloadEnds: a service that gives nothing any more, or something else,
// is not asked for ever.
func TestDownloadEnds(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100)
	answers := map[string]struct {
		answer func(resp *http.Response)
		most   int // requests
		text   string
	}{
		"nothing":       {func(r *http.Response) { r.Body = &cut{r.Body, 0, func() error { return io.ErrUnexpectedEOF }} }, 8, "no answer after 300 bytes"},
		"another range": {func(r *http.Response) { r.Header.Set("Content-Range", "bytes 0-999/1000") }, 2, "asked for the bytes from 300 on and got those from 0 on"},
		"no range":      {func(r *http.Response) { r.Header.Del("Content-Range") }, 2, "not understood"},
		"status":        {func(r *http.Response) { r.StatusCode = 204 }, 2, "unexpected status 204"},
		"shorter":       {func(r *http.Response) { r.StatusCode, r.Body = 200, io.NopCloser(strings.NewReader("short")) }, 2, "no bytes at this offset"},
		"damaged":       {func(r *http.Response) { r.StatusCode = 500 }, 2, "Internal Server Error"},
	}
	for name, c := range answers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{Handler: artifactStorage(t)}
				digest := w.store(t, content)
				w.answer = func(n int, _ *http.Request, resp *http.Response) (*http.Response, error) {
					if n == 1 {
						resp.Body = &cut{resp.Body, 300, func() error { return io.ErrUnexpectedEOF }}
					} else {
						c.answer(resp)
					}
					return resp, nil
				}
				d, err := artifacts(t, w, "").Get(t.Context(), digest, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				got, err := io.ReadAll(d)
				if len(got) != 300 || err == nil || !strings.Contains(err.Error(), c.text) || len(w.requests) > c.most {
					t.Errorf("%d bytes with %d requests, %v", len(got), len(w.requests), err)
				}
			})
		})
	}
}

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

// TestContentFails: what is wrong with the content is told once.
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
