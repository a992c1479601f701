package client_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
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
	h, err := artifact.NewHandler(artifact.Config{Store: dir, Write: artifact.Everybody(), Read: artifact.Everybody(), Problem: func(w http.ResponseWriter, _ *http.Request, status int, title, detail string) {
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

// TestDownloadOfParts: a service may give a part of what was asked for, and name its
// success by a number of its own.
func TestDownloadOfParts(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100)
	w := &wire{Handler: artifactStorage(t)}
	digest := w.store(t, content)
	w.answer = func(n int, r *http.Request, resp *http.Response) (*http.Response, error) {
		first := 300 * (n - 1)
		end := min(first+300, len(content))
		resp.StatusCode, resp.Body = http.StatusPartialContent, io.NopCloser(bytes.NewReader(content[first:end]))
		resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, end-1, len(content)))
		return resp, nil
	}
	synctest.Test(t, func(t *testing.T) {
		d, err := artifacts(t, w, "").Get(t.Context(), digest, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, content) || len(w.requests) != 4 {
			t.Errorf("%d bytes with %d requests, %v", len(got), len(w.requests), err)
		}
	})
	for status, good := range map[int]bool{200: true, 203: true, 299: true, 204: false, 205: false, 304: false, 416: false} {
		w.answer = func(_ int, _ *http.Request, resp *http.Response) (*http.Response, error) {
			resp.StatusCode = status
			return resp, nil
		}
		d, err := artifacts(t, w, "").Get(t.Context(), digest, 0)
		if (err == nil) != good || errors.Is(err, client.ErrOffset) {
			t.Errorf("status %d: %v", status, err)
		}
		if err == nil {
			d.Close()
		}
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
