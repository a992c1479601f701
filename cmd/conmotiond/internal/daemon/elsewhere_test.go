package daemon

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestElsewhere: a request goes one hop, whatever proxies it came by, and without a
// writer it is told to come again.
func TestElsewhere(t *testing.T) {
	writer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !handedOn(r) {
			t.Errorf("it is not marked: %v", r.Header)
		}
	}))
	defer writer.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	e := newElsewhere("http://transparency.example", time.Second, slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		address, via string
		status       int
	}{
		{writer.URL, "", http.StatusOK}, {writer.URL, "1.1 conmotion-lb (Varnish/7.1), 1.1 x", http.StatusOK},
		{writer.URL, "1.1 conmotion", http.StatusServiceUnavailable}, {writer.URL, "1.1 lb, 1.1 conmotion", http.StatusServiceUnavailable},
		{"", "", http.StatusServiceUnavailable}, {gone.URL, "", http.StatusServiceUnavailable},
	} {
		e.set(c.address)
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/entries", nil)
		if c.via != "" {
			r.Header.Set("Via", c.via)
		}
		e.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%+v: status %d %s", c, w.Code, w.Body)
		}
		if w.Code == http.StatusOK {
			continue
		}
		if p := testlog.Must(scitt.ParseProblem(w.Code, w.Body.Bytes()))(t); p.Title != "No Writer" || w.Header().Get("Retry-After") == "" {
			t.Errorf("%+v: %+v %v", c, p, w.Header())
		}
	}
}
