package bench

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// Overload is what becomes of a service that is sent more than it can register.
type Overload struct {
	// Peak is what it registered per second in a closed loop.
	Peak  float64 `json:"peak_per_second"`
	Steps []Step  `json:"steps"`
	// Recovery is when, in the last step, every statement was registered within a
	// second again, in seconds from its start.
	Recovery float64 `json:"recovery_seconds"`
}

// Step is an open loop at a multiple of the peak. Latencies, in milliseconds, are
// of what was registered.
type Step struct {
	Times    float64        `json:"times_peak"`
	Offered  float64        `json:"offered_per_second"`
	Goodput  float64        `json:"registered_per_second"`
	P50      float64        `json:"p50_ms"`
	P99      float64        `json:"p99_ms"`
	Refused  float64        `json:"refused_p99_ms"` // how long others waited for their answer
	Late     float64        `json:"sent_late_p99_ms"`
	Status   map[int]int    `json:"status"`
	Errors   map[string]int `json:"errors,omitempty"`
	lastSlow time.Duration
}

// overloads are the steps, as multiples of the peak. After the last of them comes
// the first again, which shows how long the service needs to recover.
var overloads = []float64{0.5, 1, 2, 4, 0.5}

// overload measures the steps. What is sent is signed before each of them.
func (b *bench) overload(ctx context.Context, peak float64) (*Overload, error) {
	o := &Overload{Peak: peak}
	for _, times := range overloads {
		step := *b
		step.Rate, step.registrations = times*peak, newRecorder()
		step.Statements = max(1, int(step.Rate*b.Overload.Seconds()))
		wave, err := step.sign(ctx, step.Statements, 0)
		if err != nil {
			return nil, err
		}
		if err := step.register(ctx, wave, 0); err != nil {
			return nil, err
		}
		s := step.registrations.step()
		s.Times, s.Offered = times, float64(step.Statements)/b.Overload.Seconds()
		o.Steps = append(o.Steps, s)
		o.Recovery = s.lastSlow.Seconds()
	}
	return o, nil
}

// outcome is what came of statements, which one request had.
type outcome struct {
	due        time.Time // when it was to be sent
	late, took time.Duration
	good       bool
	n          int
}

func registered(status int) bool { return status == http.StatusCreated || status == http.StatusOK }

func (r *recorder) step() Step {
	s := Step{Status: r.status, Errors: r.errors}
	var good, refused, late []time.Duration
	for _, o := range r.outcomes {
		late = append(late, slices.Repeat([]time.Duration{o.late}, o.n)...)
		took := slices.Repeat([]time.Duration{o.took}, o.n)
		if o.good {
			good = append(good, took...)
		} else {
			refused = append(refused, took...)
		}
		if !o.good || o.took > time.Second {
			s.lastSlow = max(s.lastSlow, o.due.Sub(r.began)+o.took)
		}
	}
	s.Goodput = float64(len(good)) / r.seconds
	s.P50, s.P99 = quantile(good, .5), quantile(good, .99)
	s.Refused, s.Late = quantile(refused, .99), quantile(late, .99)
	return s
}
