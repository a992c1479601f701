package personality

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/conmotion/conmotion/scitt"
)

// What came of a registration, as the metric conmotion.registrations counts it.
const (
	resultNew         = "registered"
	resultDuplicate   = "duplicate"
	resultLate        = "accepted" // durable, the Receipt comes later
	resultRefused     = "refused"
	resultBusy        = "busy"
	resultUnavailable = "unavailable"
	resultError       = "error"
)

func resultOf(err error) string {
	switch {
	case errors.Is(err, scitt.ErrBusy):
		return resultBusy
	case errors.Is(err, scitt.ErrUnavailable):
		return resultUnavailable
	}
	if p := scitt.ProblemOf(err); p != nil && p.Status < 500 {
		return resultRefused
	}
	return resultError
}

// Metrics are the service's own; Tessera adds its own to the same provider.
type Metrics struct {
	registrations metric.Int64Counter
	latency       metric.Float64Histogram
	corrupted     metric.Int64Counter

	// Attributes are made once: they are on the path of every registration.
	results map[string]metric.MeasurementOption
	stages  map[string]metric.MeasurementOption
}

// NewMetrics makes the instruments.
func NewMetrics(m metric.Meter) (*Metrics, error) {
	var errs [3]error
	x := &Metrics{results: map[string]metric.MeasurementOption{}, stages: map[string]metric.MeasurementOption{}}
	x.registrations, errs[0] = m.Int64Counter("conmotion.registrations",
		metric.WithDescription("Registrations by what came of them"))
	x.latency, errs[1] = m.Float64Histogram("conmotion.registration.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from the request to each stage of a registration"),
		metric.WithExplicitBucketBoundaries(.005, .01, .02, .03, .04, .05, .06, .075, .1, .125, .15, .2, .3, .5, 1, 2, 5, 10))
	x.corrupted, errs[2] = m.Int64Counter("conmotion.artifacts.corrupted",
		metric.WithDescription("Times that a stored artifact was not what its name says: an alarm"))
	for _, r := range []string{resultNew, resultDuplicate, resultLate, resultRefused, resultBusy, resultUnavailable, resultError} {
		x.results[r] = metric.WithAttributeSet(attribute.NewSet(attribute.String("result", r)))
	}
	for _, st := range []string{stageSequenced, stagePublished, stageReceipt} {
		x.stages[st] = metric.WithAttributeSet(attribute.NewSet(attribute.String("stage", st)))
	}
	return x, errors.Join(errs[:]...)
}

// Observe adds the gauges of a running service.
func (x *Metrics) Observe(m metric.Meter, published func() (size uint64, at time.Time), indexed func() uint64) error {
	size, err1 := m.Int64ObservableGauge("conmotion.checkpoint.size", metric.WithDescription("Entries under the public checkpoint"))
	age, err2 := m.Float64ObservableGauge("conmotion.checkpoint.age", metric.WithUnit("s"), metric.WithDescription("Time since a new checkpoint was made public"))
	lag, err3 := m.Int64ObservableGauge("conmotion.index.lag", metric.WithDescription("Published entries that the index has not read"))
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	_, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		n, at := published()
		o.ObserveInt64(size, int64(n))
		o.ObserveFloat64(age, time.Since(at).Seconds())
		o.ObserveInt64(lag, max(0, int64(n)-int64(indexed())))
		return nil
	}, size, age, lag)
	return err
}

// Corrupted counts a stored artifact that is damaged.
func (x *Metrics) Corrupted() { x.corrupted.Add(context.Background(), 1) }

func (x *Metrics) registered(result string) {
	x.registrations.Add(context.Background(), 1, x.results[result])
}

// The stages of a registration.
const (
	stageSequenced = "sequenced" // durable, with an index
	stagePublished = "published" // under a public checkpoint
	stageReceipt   = "receipt"   // the Receipt is made and checked
)

func (x *Metrics) reached(stage string, start time.Time) {
	x.latency.Record(context.Background(), time.Since(start).Seconds(), x.stages[stage])
}
