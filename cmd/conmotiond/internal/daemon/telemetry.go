package daemon

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/personality"
)

// Telemetry collects the metrics of a service.
type Telemetry struct {
	*serving.Telemetry
	service *personality.Metrics
}

// NewTelemetry makes a registry with the metrics of the process in it.
func NewTelemetry() (*Telemetry, error) {
	base, err := serving.NewTelemetry()
	if err != nil {
		return nil, err
	}
	t := &Telemetry{Telemetry: base}
	t.service, err = personality.NewMetrics(t.Meter)
	return t, err
}

// observeSearch adds the gauges of a search index.
func (t *Telemetry) observeSearch(h *SearchHealth) error {
	lag, err1 := t.Meter.Int64ObservableGauge("conmotion.search.lag", metric.WithDescription("Published entries that the search index has not read"))
	up, err2 := t.Meter.Int64ObservableGauge("conmotion.search.up", metric.WithDescription("1 when the last look of the search index at the log went well, else 0"))
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	_, err := t.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		read, published := h.progress()
		o.ObserveInt64(lag, int64(published-min(read, published)))
		good := int64(0)
		if h.index.Err() == nil {
			good = 1
		}
		o.ObserveInt64(up, good)
		return nil
	}, lag, up)
	return err
}
