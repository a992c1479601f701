package content

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// Problem answers with problem details (RFC 9290), which no cache keeps.
func Problem(w http.ResponseWriter, p *scitt.Problem) {
	h := w.Header()
	if p.RetryAfter > 0 {
		RetryAfter(h, p.RetryAfter)
	}
	if p.Location != "" {
		h.Set("Location", p.Location)
	}
	h.Del("ETag")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", scitt.ProblemMediaType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.Marshal()) // the client is gone: nobody to tell
}

// RetryAfter says when to ask again: in whole seconds, and in one at least.
func RetryAfter(h http.Header, wait time.Duration) {
	h.Set("Retry-After", strconv.Itoa(max(1, int((wait+time.Second-1)/time.Second))))
}

// Routed is the mux with problem details where no pattern of it takes a request: 404, or
// 405 with the methods that are possible there.
func Routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r) // which also knows the path's values
			return
		}
		n := nowhere{http.Header{}}
		h.ServeHTTP(n, r)
		p := &scitt.Problem{Status: http.StatusNotFound, Title: "Not Found", Detail: fmt.Sprintf("there is nothing at %.200q", r.URL.Path)}
		if allow := n.Header().Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			p = &scitt.Problem{Status: http.StatusMethodNotAllowed, Title: "Method Not Allowed", Detail: fmt.Sprintf("%.20q is not possible here; try %s", r.Method, allow)}
		}
		Problem(w, p)
	})
}

// nowhere takes an answer that is not sent.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
