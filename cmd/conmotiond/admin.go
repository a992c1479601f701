package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
)

// errStarting is why a program that starts is not ready.
var errStarting = errors.New("starting")

// checks are what the operator's orchestrator asks.
type checks struct {
	// ready reports whether the program can do its work.
	ready func(context.Context, time.Time) error
	// role says what this instance does, "" for none.
	role func() string
	// search gives the health of the search index, nil when there is none.
	search func() *daemon.SearchHealth
}

// readyz answers 200 when the program can do its work. A search index beside a
// log is told of and does not count: registration does not wait for it.
func (c checks) readyz(w http.ResponseWriter, r *http.Request) {
	role := c.role()
	if err := c.ready(r.Context(), time.Now()); err != nil {
		http.Error(w, strings.TrimSuffix(err.Error()+"\n"+role, "\n"), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
	if role != "" {
		fmt.Fprintln(w, role)
	}
	if h := c.search(); h != nil {
		fmt.Fprintln(w, "search:", h)
		if err := h.Check(time.Now()); err != nil {
			fmt.Fprintln(w, "search is not ready:", err)
		}
	}
}

// searchReadyz answers 200 when the search index is up with its log.
func (c checks) searchReadyz(w http.ResponseWriter, r *http.Request) {
	h := c.search()
	if h == nil {
		if err := c.ready(r.Context(), time.Now()); errors.Is(err, errStarting) {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		http.Error(w, "there is no search here", http.StatusNotFound)
		return
	}
	if err := h.Check(time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok:", h)
}

// serveAdmin serves what only the operator may see.
func serveAdmin(ctx context.Context, c *config, t *daemon.Telemetry, check checks) (stop func(), err error) {
	return c.server.ServeAdmin(ctx, t.Registry, func(mux *http.ServeMux) {
		mux.HandleFunc("GET /readyz", check.readyz)
		mux.HandleFunc("GET /readyz/search", check.searchReadyz)
	})
}
