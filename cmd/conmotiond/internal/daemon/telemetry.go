package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/personality"
)

// Telemetry collects the metrics of a service.
type Telemetry struct {
	*serving.Telemetry
	service *personality.Metrics
	signs   *serving.Signatures
}

// NewTelemetry makes a registry with the metrics of the process in it.
func NewTelemetry() (*Telemetry, error) {
	base, err := serving.NewTelemetry()
	if err != nil {
		return nil, err
	}
	t := &Telemetry{Telemetry: base}
	if t.service, err = personality.NewMetrics(t.Meter); err == nil {
		t.signs, err = serving.NewSignatures(t.Meter)
	}
	return t, err
}

// observeRole adds the gauges of who writes the log, and of how late its checkpoint is.
func (t *Telemetry) observeRole(d *Daemon) error {
	writer, err1 := t.Meter.Int64ObservableGauge("conmotion.writer", metric.WithDescription("1 when this instance is the log's writer, else 0"))
	term, err2 := t.Meter.Int64ObservableGauge("conmotion.term", metric.WithDescription("Term of the log's writer, as this instance knows it; it grows with each writer"))
	lag, err3 := t.Meter.Float64ObservableGauge("conmotion.follower.lag", metric.WithUnit("s"), metric.WithDescription("Time since a replica read the public checkpoint; 0 at the writer"))
	unpublished, err4 := t.Meter.Float64ObservableGauge("conmotion.checkpoint.late", metric.WithUnit("s"), metric.WithDescription("How long entries have been stored while no new checkpoint was made public; 0 when none wait for one"))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	_, err := t.Meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		if late, err := d.Readiness.Late(ctx, time.Now()); err == nil {
			o.ObserveFloat64(unpublished, late.Seconds())
		}
		leads, late := int64(0), 0.0
		if d.replica() {
			late = time.Since(d.log.Followed()).Seconds()
		} else if d.log.ReadOnly() == nil {
			leads = 1
		}
		o.ObserveInt64(writer, leads)
		o.ObserveFloat64(lag, late)
		if w := d.writer.Load(); w != nil {
			o.ObserveInt64(term, int64(w.Term))
		}
		return nil
	}, writer, term, lag, unpublished)
	return err
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
