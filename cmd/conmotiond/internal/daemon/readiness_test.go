package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// state is a log and an index of which the test says how they are.
type state struct {
	stored, published, next uint64
	err, check, unsigned    error
}

func (s *state) SequencedSize(context.Context) (uint64, error) { return s.stored, nil }
func (s *state) PublishedSize() uint64                         { return s.published }
func (s *state) Check(ctx context.Context) error               { return errors.Join(ctx.Err(), s.check) }
func (s *state) Next() uint64                                  { return s.next }
func (s *state) Err() error                                    { return s.err }

func TestReadiness(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		name string
		then state         // what a second look sees
		wait time.Duration // between the two
		want string        // part of the error; "" for ready
	}{
		{"all is well", state{stored: 5, published: 5, next: 5}, time.Hour, ""},
		{"idle for long", state{stored: 5, published: 5, next: 5}, 1000 * time.Hour, ""},
		{"stored a moment ago", state{stored: 6, published: 5, next: 5}, time.Second, ""},
		{"not published", state{stored: 6, published: 5, next: 5}, 11 * time.Second, "the checkpoint is stale: 1 entries"},
		{"behind but moving", state{stored: 9, published: 6, next: 6}, 11 * time.Second, ""},
		{"a key does not sign", state{stored: 9, published: 5, next: 5, unsigned: errors.New("the receipt key does not sign: throttled")}, 11 * time.Second, "since 11s: the receipt key does not sign: throttled"},
		{"index far behind", state{stored: 20_000, published: 20_000, next: 9_000}, time.Second, "the index lags 11000 entries"},
		{"index a bit behind", state{stored: 20_000, published: 20_000, next: 12_000}, time.Second, ""},
		{"the disk is full", state{stored: 5, published: 5, next: 5, check: errors.New("no space left")}, time.Second, "no space left"},
		{"the disk is full, asked just now", state{stored: 5, published: 5, next: 5, check: errors.New("no space left")}, time.Millisecond, ""},
		{"index broken", state{stored: 5, published: 5, next: 5, err: errors.New("disk I/O error")}, time.Second, "disk I/O error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &state{stored: 6, published: 5, next: 5}
			r := &readiness{}
			r.watch(s, s, func() error { return s.unsigned })
			if err := r.Check(t.Context(), now); err != nil {
				t.Fatalf("at first: %v", err)
			}
			*s = c.then
			err := r.Check(t.Context(), now.Add(c.wait))
			if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want an error about %q", err, c.want)
			}
			late, lateErr := r.Late(t.Context(), now.Add(c.wait))
			if want := c.then.stored > c.then.published && c.then.published == 5; lateErr != nil || want != (late == c.wait) || !want && late != 0 {
				t.Errorf("late by %v %v", late, lateErr)
			}
			r.Stop()
			if r.Check(t.Context(), now) == nil {
				t.Error("a stopped service is ready")
			}
		})
	}
}

// TestReadinessGone: that one who asked went away is not told to the next one.
func TestReadinessGone(t *testing.T) {
	s := &state{stored: 5, published: 5, next: 5}
	r, now := &readiness{}, time.Now()
	r.watch(s, s, nil)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := r.Check(gone, now); !errors.Is(err, context.Canceled) {
		t.Errorf("who went away: %v", err)
	}
	if err := r.Check(t.Context(), now.Add(time.Millisecond)); err != nil {
		t.Errorf("who asks next: %v", err)
	}
}
