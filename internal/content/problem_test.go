package content_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/scitt"
)

// TestRouted: whatever a mux does not take is refused with problem details of bounded
// length, whatever was asked for.
func TestRouted(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /one/{name}", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Name", r.PathValue("name")) })
	mux.HandleFunc("POST /one/{name}", func(http.ResponseWriter, *http.Request) {})
	h := content.Routed(mux)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/one/a", 200, ""},
		{"GET", "/two", 404, ""},
		{"GET", "/" + strings.Repeat("%80", 20_000), 404, ""},
		{"PUT", "/one/a", 405, "GET, HEAD, POST"},
		{strings.Repeat("PUT", 20_000), "/one/a", 405, "GET, HEAD, POST"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil))
		if w.Code != c.status || w.Header().Get("Allow") != c.allow {
			t.Errorf("%.10s %.10s: status %d, %v", c.method, c.path, w.Code, w.Header())
		}
		if c.status == 200 {
			if w.Header().Get("Name") != "a" {
				t.Errorf("the values of the path are not there: %v", w.Header())
			}
			continue
		}
		p, err := scitt.ParseProblem(w.Code, w.Body.Bytes())
		if err != nil || w.Header().Get("Content-Type") != scitt.ProblemMediaType || p.Title != http.StatusText(c.status) || len(p.Detail) > 1000 || p.Detail == "" {
			t.Errorf("%.10s %.10s: %v %v %v", c.method, c.path, w.Header(), p, err)
		}
	}
}

// TestProblem: what was set for the content does not stay, and a wait is in whole seconds.
func TestProblem(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("ETag", `"x"`)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	content.Problem(w, &scitt.Problem{Status: 503, Title: "Busy", Detail: "later", RetryAfter: 1100 * time.Millisecond, Location: "https://a.example/entries/1"})
	h := w.Header()
	if w.Code != 503 || h.Get("ETag") != "" || h.Get("Cache-Control") != "no-store" || h.Get("Retry-After") != "2" || h.Get("Location") == "" {
		t.Errorf("%d %v", w.Code, h)
	}
}
