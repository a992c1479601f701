package serving

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Signatures counts what a program's keys sign, and remembers which of them do not.
type Signatures struct {
	made, failed metric.Int64Counter
	took         metric.Float64Histogram

	mu  sync.Mutex
	why map[string]error // by key
}

// NewSignatures makes the metrics.
func NewSignatures(m metric.Meter) (*Signatures, error) {
	s := &Signatures{why: map[string]error{}}
	var err1, err2, err3 error
	s.made, err1 = m.Int64Counter("conmotion.signatures",
		metric.WithDescription("Signatures made by a key: those of a service sign each checkpoint once"))
	s.failed, err2 = m.Int64Counter("conmotion.signature.errors",
		metric.WithDescription("Signatures that a key was asked for and did not make"))
	s.took, err3 = m.Float64Histogram("conmotion.signature.duration", metric.WithUnit("s"),
		metric.WithDescription("Time that a key took to sign, or to fail"),
		metric.WithExplicitBucketBoundaries(.0001, .001, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return s, nil
}

// Of is what a key tells of its signatures.
func (s *Signatures) Of(key string) func(took time.Duration, err error) {
	attributes := metric.WithAttributeSet(attribute.NewSet(attribute.String("key", key)))
	return func(took time.Duration, err error) {
		counter := s.made
		if err != nil {
			counter = s.failed
		}
		counter.Add(context.Background(), 1, attributes)
		s.took.Record(context.Background(), took.Seconds(), attributes)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.why[key] = err
	}
}

// Failing says which keys did not sign when they were asked last, or is nil.
func (s *Signatures) Failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for key, err := range s.why {
		if err != nil {
			errs = append(errs, fmt.Errorf("the %s key does not sign: %w", key, err))
		}
	}
	return errors.Join(errs...)
}
