package personality

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// settleTimeout is how long a change of policy whose outcome is unknown keeps
// everything waiting until the log says what it holds.
const settleTimeout = 30 * time.Second

// errChangeUnknown: the log may hold a newer policy, or newer keys, than this service knows.
var errChangeUnknown = fmt.Errorf("%w: a change of the Registration Policy or of the log's keys ended in an error, and the log could not say whether it holds the change; restart the service", scitt.ErrUnavailable)

// Change is a change of what the service goes by. Nothing is admitted between the two
// functions, of which none is called after an error of the one before.
type Change struct {
	// Judge reports whether a statement may make the change.
	Judge func() error
	// Done makes the change when the statement is durable.
	Done func(*Registration)
}

// changePolicy is the change that a policy statement makes.
func (q *request) changePolicy(ctx context.Context, st *scitt.Statement) Change {
	s := q.Service
	var next Policy
	return Change{
		Judge: func() (err error) {
			inForce := s.policy.Load()
			next, err = inForce.Policy.Replace(st, inForce.ID)
			return err
		},
		Done: func(r *Registration) {
			s.policy.Store(&InForce{next, r.Index, r.ID})
			s.Logger.InfoContext(ctx, "the Registration Policy changed", "entry", r.Index, "id", r.ID.String(), "by", st.Issuer)
			if s.Changed == nil {
				return
			}
			if err := s.Changed(); err != nil {
				// The log has the policy; the file is written again at the next start.
				s.Logger.ErrorContext(ctx, "cannot publish the new policy as a file", "err", err)
			}
		},
	}
}

// change registers a statement that makes a change, and puts it in force.
//
// RFC 9943 section 5.1.1: the policy that was committed last is the one that
// is applied. So nothing else is admitted while the new policy is on its way:
// what was admitted before it is before it in the log, and what is judged by
// it is behind it; keys likewise. A crash at any point leaves a log that either has
// the change or has not, and the next start finds out.
func (q *request) change(ctx context.Context, st *scitt.Statement, c Change) (wait, error) {
	s := q.Service
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.unknown {
		return nil, errChangeUnknown
	}
	if err := c.Judge(); err != nil {
		return nil, err
	}
	if err := s.Log.Drain(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", scitt.ErrBusy, err)
	}
	wait, err := q.append(ctx, st)
	if err != nil {
		return nil, err
	}
	r := &Registration{ID: st.ID()}
	if err := s.stored(ctx, st, r, wait); err != nil {
		if !s.settle(ctx, r) {
			s.unknown = true
			return nil, errors.Join(errChangeUnknown, err)
		}
		if !r.Duplicate {
			return nil, err
		}
	}
	c.Done(r)
	return func(context.Context) (uint64, bool, error) { return r.Index, r.Duplicate, nil }, nil
}

// settle finds out whether an entry whose storing failed is in the log after
// all, and notes its place; ok is false when nobody can tell.
func (s *Service) settle(ctx context.Context, r *Registration) (ok bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if s.Log.Drain(ctx) != nil || s.Index.Sync(ctx) != nil {
		return false
	}
	place, found, err := s.Index.Lookup(ctx, r.ID)
	if err != nil {
		return false
	}
	r.Index, r.Duplicate = place.Index, found
	return true
}
