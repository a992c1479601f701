package serving

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
)

// Telemetry collects the metrics of a program.
type Telemetry struct {
	Registry *prometheus.Registry
	// Provider is where the metrics of libraries go when it is made the global one.
	Provider metric.MeterProvider
	Meter    metric.Meter // of the program itself
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
	t.Meter = t.Provider.Meter("github.com/conmotion/conmotion")
	return t, nil
}
