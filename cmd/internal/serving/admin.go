package serving

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ServeAdmin serves what only the operator may see: metrics, health, pprof, and the
// routes that the program adds, such as /readyz.
func (o *Options) ServeAdmin(ctx context.Context, metrics prometheus.Gatherer, add func(*http.ServeMux)) (stop func(), err error) {
	if o.AdminListen == "" {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.AdminListen)
	if err != nil {
		return nil, fmt.Errorf("--admin-listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	add(mux)
	server := o.NewServer(mux)
	go func() {
		if err := server.Serve(ForOperator(listener)); !errors.Is(err, http.ErrServerClosed) {
			o.Logger.Error("admin listener failed", "err", err)
		}
	}()
	o.Logger.Info("metrics, health and pprof", "address", listener.Addr().String())
	return func() { server.Close() }, nil
}
