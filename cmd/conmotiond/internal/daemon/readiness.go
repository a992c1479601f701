package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// staleAfter is how long entries may be stored without being published.
	staleAfter = 10 * time.Second
	// mostLag is how many published entries the index may not have read.
	mostLag = 10_000
)

// readiness reports whether the service can do its work.
type readiness struct {
	mu        sync.Mutex
	log       servedLog
	index     laggingIndex
	unsigned  func() error // why a key does not sign, or nil
	unhealthy time.Time    // since when stored entries are not published
	size      uint64       // what was published then
	checked   time.Time    // when the log was asked how it is
	failure   error        // what it said
}

type servedLog interface {
	// SequencedSize counts what is durable, also what is not in the tiles yet.
	SequencedSize(context.Context) (uint64, error)
	PublishedSize() uint64
	// Check says why entries cannot be stored, or which files are damaged.
	Check(context.Context) error
}

type laggingIndex interface {
	Next() uint64
	Err() error
}

// watch begins when the service is open.
func (r *readiness) watch(log servedLog, idx laggingIndex, unsigned func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log, r.index, r.unsigned = log, idx, unsigned
}

// Stop makes the service unready while it drains.
func (r *readiness) Stop() { r.watch(nil, nil, nil) }

// Check says why the service is not ready, or nil.
func (r *readiness) Check(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	published, waiting, late, err := r.late(ctx, now)
	if err != nil {
		return err
	}
	if late > staleAfter {
		stale := fmt.Errorf("the checkpoint is stale: %d entries are stored and not published since %v", waiting, late.Round(time.Second))
		if why := r.unsigned(); why != nil {
			stale = fmt.Errorf("%w: %w", stale, why)
		}
		return stale
	}
	if now.Sub(r.checked) >= time.Second { // it costs the disk something
		failure := r.log.Check(ctx)
		if err := ctx.Err(); err != nil {
			return err // whoever asked went away, which says nothing to others
		}
		r.checked, r.failure = now, failure
	}
	if r.failure != nil {
		return r.failure
	}
	if err := r.index.Err(); err != nil {
		return fmt.Errorf("the index does not advance: %w", err)
	}
	if next := r.index.Next(); next+mostLag < published {
		return fmt.Errorf("the index lags %d entries behind", published-next)
	}
	return nil
}

// Late is how long entries have been stored while nothing was published; 0 when
// there are none.
func (r *readiness) Late(ctx context.Context, now time.Time) (time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _, late, err := r.late(ctx, now)
	return late, err
}

// late also says how many entries are published, and how many are not.
func (r *readiness) late(ctx context.Context, now time.Time) (published, waiting uint64, late time.Duration, err error) {
	if r.log == nil {
		return 0, 0, 0, errors.New("not serving")
	}
	stored, err := r.log.SequencedSize(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	published = r.log.PublishedSize()
	switch {
	case stored <= published:
		r.unhealthy = time.Time{}
		return published, 0, 0, nil
	case r.unhealthy.IsZero() || published > r.size:
		r.unhealthy, r.size = now, published
	}
	return published, stored - published, now.Sub(r.unhealthy), nil
}
