package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
)

// telemetry collects the metrics of the service and of Tessera.
type telemetry struct {
	registry *prometheus.Registry
	meter    metric.Meter
	service  *personality.Metrics
}

func newTelemetry() (*telemetry, error) {
	t := &telemetry{registry: prometheus.NewRegistry()}
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprom.New(otelprom.WithRegisterer(t.registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	provider := sdk.NewMeterProvider(sdk.WithReader(exporter))
	otel.SetMeterProvider(provider) // where Tessera looks for it
	t.meter = provider.Meter("github.com/conmotion/conmotion")
	t.service, err = personality.NewMetrics(t.meter)
	return t, err
}

func (t *telemetry) observe(log *storage.Log, idx *index.Index) error {
	published := func() (uint64, time.Time) { return log.Published().Checkpoint.Size, log.PublishedAt() }
	return t.service.Observe(t.meter, published, idx.Next)
}

// serveAdmin serves what only the operator may see.
func serveAdmin(ctx context.Context, c *config, t *telemetry, ready *readiness) (stop func(), err error) {
	if c.adminListen == "" {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.adminListen)
	if err != nil {
		return nil, fmt.Errorf("--admin-listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := ready.check(r.Context(), time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.logger.Error("admin listener failed", "err", err)
		}
	}()
	c.logger.Info("metrics, health and pprof", "address", listener.Addr().String())
	return func() { server.Close() }, nil
}

const (
	// staleAfter is how long entries may be stored without being published.
	staleAfter = 10 * time.Second
	// mostLag is how many published entries the index may not have read.
	mostLag = 10_000
)

// readiness says whether the service can do its work.
type readiness struct {
	mu        sync.Mutex
	log       integratedLog
	index     laggingIndex
	unhealthy time.Time // since when stored entries are not published
	size      uint64    // what was published then
}

type integratedLog interface {
	IntegratedSize(context.Context) (uint64, error)
	PublishedSize() uint64
}

type laggingIndex interface {
	Next() uint64
	Err() error
}

// watch begins when the service is open.
func (r *readiness) watch(log integratedLog, idx laggingIndex) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log, r.index = log, idx
}

// stop makes the service unready while it drains.
func (r *readiness) stop() { r.watch(nil, nil) }

func (r *readiness) check(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.log == nil {
		return errors.New("not serving")
	}
	stored, err := r.log.IntegratedSize(ctx)
	if err != nil {
		return err
	}
	published := r.log.PublishedSize()
	switch {
	case stored <= published:
		r.unhealthy = time.Time{}
	case r.unhealthy.IsZero() || published > r.size:
		r.unhealthy, r.size = now, published
	case now.Sub(r.unhealthy) > staleAfter:
		return fmt.Errorf("the checkpoint is stale: %d entries are stored and not published since %v", stored-published, now.Sub(r.unhealthy).Round(time.Second))
	}
	if err := r.index.Err(); err != nil {
		return fmt.Errorf("the index does not get on: %w", err)
	}
	if next := r.index.Next(); next+mostLag < published {
		return fmt.Errorf("the index lags %d entries behind", published-next)
	}
	return nil
}
