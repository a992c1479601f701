package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	serving "github.com/conmotion/conmotion/internal/content"
	"github.com/conmotion/conmotion/scitt"
)

// Searcher is what the handler serves; an Index is one. It is safe for
// concurrent use.
type Searcher interface {
	Search(ctx context.Context, q Query) (*Answer, error)
	Stats(ctx context.Context) (*Stats, error)
}

// HandlerConfig is what a handler needs. Searcher and Problem are required.
type HandlerConfig struct {
	Searcher Searcher
	// Problem answers with the status and problem details (RFC 9290).
	Problem func(w http.ResponseWriter, r *http.Request, status int, title, detail string)
	// timeout bounds the time of one request, the waiting for its turn
	// included; ten seconds if zero.
	timeout time.Duration
	Log     *slog.Logger // nil for nothing
}

// NewHandler serves
//
//	GET /search         a query, as the package comment describes: JSON of an Answer
//	GET /search/stats   JSON of Stats
//
// Mount it at "/search" and "/search/".
func NewHandler(c HandlerConfig) (http.Handler, error) {
	if c.Searcher == nil || c.Problem == nil {
		return nil, errors.New("search: a handler needs Searcher and Problem")
	}
	if c.timeout == 0 {
		c.timeout = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &handler{c, make(chan struct{}, mostLarge)}, nil
}

type handler struct {
	HandlerConfig
	large chan struct{} // one for each large answer that is being sent
}

// mostLarge answers of more than largeAnswer bytes are sent at a time: they are in
// memory until the client has read them.
const mostLarge, largeAnswer = 32, 64 << 10

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	ctx, cancel := context.WithTimeout(r.Context(), h.timeout)
	defer cancel()
	answer, err := h.answer(ctx, r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	body, err := json.Marshal(answer)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	if len(body) > largeAnswer {
		select {
		case h.large <- struct{}{}:
			defer func() { <-h.large }()
		default:
			h.refuse(w, r, &scitt.Problem{Status: http.StatusServiceUnavailable, Title: "Search Busy", RetryAfter: time.Second,
				Detail: fmt.Sprintf("%d large answers are being sent; ask for fewer entries at a time, or try again soon", mostLarge)})
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	serving.Send(w, append(body, '\n'))
}

func (h *handler) answer(ctx context.Context, r *http.Request) (any, error) {
	if r.URL.Path != "/search" && r.URL.Path != "/search/stats" {
		return nil, &scitt.Problem{Status: http.StatusNotFound, Title: "Not Found", Detail: "there is /search and /search/stats"}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, &scitt.Problem{Status: http.StatusMethodNotAllowed, Title: "Method Not Allowed", Detail: "use GET here"}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &scitt.Problem{Status: http.StatusBadRequest, Title: "Malformed request", Detail: "the query of the URL: " + err.Error()}
	}
	if r.URL.Path == "/search/stats" {
		for param := range values {
			return nil, bad(cut(param), "there are no parameters here")
		}
		return h.Searcher.Stats(ctx)
	}
	q, err := ParseQuery(values)
	if err != nil {
		return nil, err
	}
	return h.Searcher.Search(ctx, q)
}

// refuse turns an error into an answer.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := scitt.ProblemOf(err)
	switch {
	case p != nil:
	case errors.Is(err, context.DeadlineExceeded):
		p = &scitt.Problem{Status: http.StatusServiceUnavailable, Title: "Search Busy",
			Detail: "the query did not come to its end in time; narrow your query or try again later", RetryAfter: time.Second}
	default:
		p = &scitt.Problem{Status: http.StatusInternalServerError, Title: "Internal Error", Detail: "the search failed; the service's log says why"}
	}
	if p.Status >= 500 {
		h.Log.WarnContext(r.Context(), "search not served", "query", r.URL.RawQuery, "err", err)
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.RetryAfter/time.Second)))
	}
	if p.Status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", "GET, HEAD")
	}
	h.Problem(w, r, p.Status, p.Title, p.Detail)
}
