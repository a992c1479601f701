package daemon

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"

	"github.com/conmotion/conmotion/personality"
)

// Telemetry collects the metrics of a service.
type Telemetry struct {
	Registry *prometheus.Registry
	// Provider is where Tessera's metrics go when it is made the global one.
	Provider metric.MeterProvider
	meter    metric.Meter
	service  *personality.Metrics
}

// NewTelemetry makes a registry with the metrics of the process in it.
func NewTelemetry() (*Telemetry, error) {
	t := &Telemetry{Registry: prometheus.NewRegistry()}
	t.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprom.New(otelprom.WithRegisterer(t.Registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	// There are no traces that an exemplar could point to.
	t.Provider = sdk.NewMeterProvider(sdk.WithReader(exporter), sdk.WithExemplarFilter(exemplar.AlwaysOffFilter))
	t.meter = t.Provider.Meter("github.com/conmotion/conmotion")
	t.service, err = personality.NewMetrics(t.meter)
	return t, err
}
