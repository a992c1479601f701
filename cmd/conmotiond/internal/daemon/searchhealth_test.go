package daemon

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

func TestSearchHealth(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		name string
		then state // what a second look sees
		wait time.Duration
		want string // part of the error; "" for ready
		says string
	}{
		{"all is well", state{published: 5, next: 5}, time.Hour, "", "5 of 5 entries"},
		{"nothing is read yet", state{}, time.Second, "no entry", "0 of 0"},
		{"a bit behind", state{published: 20_000, next: 12_000}, time.Hour, "", "12000 of 20000 entries"},
		{"far behind", state{published: 20_000, next: 9_000}, time.Second, "lags 11000 entries behind", "9000 of 20000 entries"},
		{"ahead of the last look", state{published: 5, next: 9}, time.Second, "", "9 of 9 entries"},
		{"failed a moment ago", state{published: 5, next: 5, err: errors.New("no route")}, time.Second, "", "5 of 5"},
		{"fails for long", state{published: 5, next: 5, err: errors.New("no route")}, 2 * time.Minute, "no route", "5 of 5"},
		{"forked", state{published: 5, next: 5, err: fmt.Errorf("the log forked: %w", scitt.ErrProof)}, time.Second, "forked", "5 of 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &state{published: 5, next: 5}
			h := &SearchHealth{index: s, published: s.PublishedSize}
			if err := h.Check(now); err != nil {
				t.Fatalf("at first: %v", err)
			}
			s.published, s.next, s.err = c.then.published, c.then.next, c.then.err
			err := h.Check(now.Add(c.wait))
			if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want an error about %q", err, c.want)
			}
			if !strings.HasPrefix(h.String(), c.says) {
				t.Errorf("it says %q", h)
			}
		})
	}
}
