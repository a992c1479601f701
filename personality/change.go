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

// errPolicyUnknown: the log may hold a newer policy than this service knows.
var errPolicyUnknown = fmt.Errorf("%w: a change of the Registration Policy ended in an error, and the log could not say whether it holds the new policy; restart the service", scitt.ErrUnavailable)

// changePolicy registers a policy statement and puts it in force.
//
// RFC 9943 section 5.1.1: the policy that was committed last is the one that
// is applied. So nothing else is admitted while the new policy is on its way:
// what was admitted before it is before it in the log, and what is judged by
// it is behind it. A crash at any point leaves a log that either has the new
// policy or has not, and the next start finds out.
func (q *request) changePolicy(ctx context.Context, st *scitt.Statement) (wait, error) {
	s := q.Service
	s.change.Lock()
	defer s.change.Unlock()
	if s.unknown {
		return nil, errPolicyUnknown
	}
	inForce := s.policy.Load()
	next, err := inForce.Policy.Replace(st, inForce.ID)
	if err != nil {
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
			return nil, errors.Join(errPolicyUnknown, err)
		}
		if !r.Duplicate {
			return nil, err
		}
	}
	s.policy.Store(&InForce{next, r.Index, r.ID})
	s.Logger.InfoContext(ctx, "the Registration Policy changed", "entry", r.Index, "id", r.ID.String(), "by", st.Issuer)
	if s.Changed != nil {
		if err := s.Changed(s.Configuration()); err != nil {
			// The log has the policy; the file is written again at the next start.
			s.Logger.ErrorContext(ctx, "cannot publish the new policy as a file", "err", err)
		}
	}
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
