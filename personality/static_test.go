package personality

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestFiles: what a mirror reads.
func TestFiles(t *testing.T) {
	s := newTested(t, nil)
	wants(t, s.post(s.statement("a")), http.StatusCreated, "", "")
	bundle := "/" + tiles.BundlePath(0, 3)
	plain := s.do(http.MethodGet, bundle, nil)
	packed := s.do(http.MethodGet, bundle, nil, "Accept-Encoding", "gzip")
	if plain.Code != http.StatusOK || packed.Header().Get("Content-Encoding") != "gzip" || packed.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
		t.Errorf("a bundle: status %d, %v", plain.Code, packed.Header())
	}
	for _, w := range []*httptest.ResponseRecorder{plain, packed} {
		coding := w.Header().Get("Content-Encoding")
		same := s.do(http.MethodGet, bundle, nil, "Accept-Encoding", coding, "If-None-Match", `"x", W/`+w.Header().Get("ETag"))
		if same.Code != http.StatusNotModified {
			t.Errorf("coding %q: status %d for what the client has", coding, same.Code)
		}
	}
	if w := s.do(http.MethodHead, bundle, nil, "Accept-Encoding", "gzip"); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("HEAD: status %d, %d bytes", w.Code, w.Body.Len())
	}
	if w := s.do(http.MethodGet, "/checkpoint", nil); testlog.Must(s.keys.Verifiers.Open(w.Body.Bytes()))(t).Size != 3 {
		t.Errorf("the checkpoint: %s", w.Body)
	}
	set := s.do(http.MethodGet, "/.well-known/scitt-keys", nil)
	if keys, err := scitt.ParseKeySet(set.Body.Bytes()); err != nil || len(keys) != len(s.Keys.Receipt) {
		t.Errorf("the keys: %v, %v", keys, err)
	}
	wants(t, s.do(http.MethodGet, bundle, nil, "Range", "bytes=9999999-"), http.StatusRequestedRangeNotSatisfiable, "Range Not Satisfiable", "")
	wants(t, s.do(http.MethodGet, bundle, nil, "If-Match", `"x"`), http.StatusPreconditionFailed, "Precondition Failed", "If-Match")
	// While others are compressed a bundle is sent as it is.
	for range mostEncoders {
		<-s.static.encoders
	}
	if w := s.do(http.MethodGet, bundle, nil, "Accept-Encoding", "gzip"); !bytes.Equal(w.Body.Bytes(), plain.Body.Bytes()) {
		t.Errorf("without an encoder: %v", w.Header())
	}
}

// TestTiles: of a log whose service starts there are the tiles, which no cache keeps.
func TestTiles(t *testing.T) {
	s := newTested(t, nil)
	h := Tiles(s.Files, nil, s.Logger)
	for path, status := range map[string]int{
		"/" + tiles.BundlePath(0, 2):  http.StatusOK,
		"/" + tiles.TilePath(0, 0, 2): http.StatusOK,
		"/" + tiles.BundlePath(0, 3):  http.StatusNotFound,
		"/checkpoint":                 http.StatusNotFound,
		"/tile/../checkpoint":         http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != status || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: status %d, %v", path, w.Code, w.Header())
		}
	}
}

// TestPartialFromFull: a partial file that the public checkpoint ends in is served
// from the full one that replaced it. The full one is served for whoever judges it before
// it is public, and no cache may keep it.
func TestPartialFromFull(t *testing.T) {
	partial := map[string][]byte{}
	s := newTested(t, func(c *Config) {
		full := fstest.MapFS{}
		for name, more := range map[string][]byte{"tile/0/000": make([]byte, 254*sha256.Size), "tile/entries/000": bytes.Repeat([]byte{0, 1, 'x'}, 254)} {
			f := testlog.Must(c.Files.Open("/" + name + ".p/2"))(t)
			partial["/"+name+".p/2"] = testlog.Must(io.ReadAll(f))(t)
			f.Close()
			full[name] = &fstest.MapFile{Data: slices.Concat(partial["/"+name+".p/2"], more)}
		}
		c.Files = http.FS(full)
	})
	for path, want := range partial {
		if w := s.do(http.MethodGet, path, nil); w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), want) {
			t.Errorf("%s: status %d, %d bytes, want %d", path, w.Code, w.Body.Len(), len(want))
		}
		if w := s.do(http.MethodGet, path, nil); w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %v", path, w.Header())
		}
		full := s.do(http.MethodGet, strings.TrimSuffix(path, ".p/2"), nil)
		if full.Code != http.StatusOK || full.Header().Get("Cache-Control") != "no-store" || !bytes.HasPrefix(full.Body.Bytes(), want) || full.Body.Len() == len(want) {
			t.Errorf("%s before it is public: status %d, %v, %d bytes", path, full.Code, full.Header(), full.Body.Len())
		}
		wants(t, s.do(http.MethodGet, strings.TrimSuffix(path, "2")+"3", nil), http.StatusNotFound, "Not Found", "")
	}
}

// away are files that are out of reach.
type away struct{}

func (away) Open(string) (http.File, error) {
	return nil, fmt.Errorf("%w: connection reset", &scitt.Problem{Status: http.StatusServiceUnavailable, Title: "Log Unavailable", RetryAfter: time.Second})
}

// TestAway: what an instance cannot read the log's writer is asked for, and without one
// a client is told to come again.
func TestAway(t *testing.T) {
	for want, writer := range map[int]http.Handler{
		http.StatusServiceUnavailable: nil,
		http.StatusAccepted:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }),
	} {
		s := newTested(t, func(c *Config) { c.Files, c.Writer = away{}, writer })
		w := httptest.NewRecorder()
		s.h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/tile/0/000.p/2", nil))
		if w.Code != want || w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") != "1" {
			t.Errorf("status %d %v %s, want %d", w.Code, w.Header(), w.Body, want)
		}
	}
}
