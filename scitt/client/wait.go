package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	firstWait = 100 * time.Millisecond
	mostWait  = 10 * time.Second // without a Retry-After
	// mostRetryAfter is the longest Retry-After that is waited for. A service
	// that is closed for longer is the caller's business.
	mostRetryAfter = 10 * time.Minute
)

// pause waits before the next attempt: what the service asked for, or twice
// as long each time. Jitter keeps clients that were refused together from
// coming back together. The error has the reason for the wait in it.
func (c *Client) pause(ctx context.Context, attempt int, asked time.Duration, why error) error {
	wait := firstWait << min(attempt, 10)
	wait = min(wait, mostWait)
	wait = wait/2 + rand.N(wait/2)
	if asked > 0 {
		wait = asked + rand.N(asked/10+1)
	}
	if asked > mostRetryAfter {
		return fmt.Errorf("the service asks to come back in %v: %w", asked, why)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return fmt.Errorf("%w before the next attempt: %w", context.DeadlineExceeded, why)
	}
	c.waiting(wait, why)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", context.Cause(ctx), why)
	}
}

// retryAfter reads the Retry-After header; 0 when it has none that makes sense.
//
// RFC 9110 section 10.2.3: "Retry-After = HTTP-date / delay-seconds". A date
// is compared with the service's own clock where it tells.
func (a *answer) retryAfter() time.Duration {
	value := a.header.Get("Retry-After")
	if n, err := strconv.ParseUint(value, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(n) * time.Second // of more than 31 bits n is the largest one
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(0, at.Sub(now))
}
