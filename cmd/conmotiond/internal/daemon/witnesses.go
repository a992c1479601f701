package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/ask"
)

// witnessedInterval is the default interval of checkpoints with witnesses: each of
// them stores every checkpoint that it cosigns.
const witnessedInterval = time.Second

// openWitnesses reads --witness-policy. It is nil without one.
func (d *Daemon) openWitnesses(ctx context.Context, c *Config, vkey string, t *Telemetry) (storage.Witnesses, error) {
	if c.WitnessPolicy == "" {
		return nil, nil
	}
	if c.CheckpointInterval == 0 {
		c.CheckpointInterval = witnessedInterval
	}
	text, err := plain.ReadInput(ctx, c.WitnessPolicy, mostInput)
	if err != nil {
		return nil, fmt.Errorf("--witness-policy: %w", err)
	}
	p, err := witness.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("--witness-policy %s: %w", c.WitnessPolicy, err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	w, err := ask.New(p, vkey, ask.Options{Timeout: c.WitnessTimeout, HTTP: &http.Client{Transport: transport}, Logger: c.Logger})
	if err != nil {
		return nil, fmt.Errorf("--witness-policy %s: %w", c.WitnessPolicy, err)
	}
	if err := t.observeWitnesses(w, p, d.published); err != nil {
		return nil, err
	}
	return w, nil
}

// published is the public checkpoint; nil before there is one.
func (d *Daemon) published() []byte {
	if d.log == nil {
		return nil
	}
	return d.log.Published().Checkpoint.Raw
}

// observeWitnesses adds the gauges of witnesses.
func (t *Telemetry) observeWitnesses(w *ask.Witnesses, p *witness.Policy, published func() []byte) error {
	quorum, err1 := t.Meter.Int64ObservableGauge("conmotion.witness.quorum", metric.WithDescription("1 when the public checkpoint has the quorum of witnesses, else 0: an alarm"))
	up, err2 := t.Meter.Int64ObservableGauge("conmotion.witness.up", metric.WithDescription("1 when the witness cosigned when it was last asked, else 0"))
	last, err3 := t.Meter.Float64ObservableGauge("conmotion.witness.age", metric.WithUnit("s"), metric.WithDescription("Time since the witness cosigned last"))
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	_, err := t.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		met := int64(0)
		if c, err := p.Open(published()); err == nil && c.Quorum() == nil {
			met = 1
		}
		o.ObserveInt64(quorum, met)
		for _, s := range w.States() {
			name := metric.WithAttributes(attribute.String("witness", strings.Join(s.Names, ",")))
			good := int64(0)
			if s.Err == nil && !s.At.IsZero() {
				good = 1
			}
			o.ObserveInt64(up, good, name)
			if !s.At.IsZero() {
				o.ObserveFloat64(last, time.Since(s.At).Seconds(), name)
			}
		}
		return nil
	}, quorum, up, last)
	return err
}
