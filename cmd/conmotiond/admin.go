package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
)

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
func (c checks) searchReadyz(w http.ResponseWriter, _ *http.Request) {
	h := c.search()
	if h == nil {
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
	if c.adminListen == "" {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.adminListen)
	if err != nil {
		return nil, fmt.Errorf("--admin-listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", check.readyz)
	mux.HandleFunc("GET /readyz/search", check.searchReadyz)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.Logger.Error("admin listener failed", "err", err)
		}
	}()
	c.Logger.Info("metrics, health and pprof", "address", listener.Addr().String())
	return func() { server.Close() }, nil
}
