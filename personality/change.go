package personality

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
func (s *Service) changePolicy(ctx context.Context, st *scitt.Statement, r *Registration) error {
	s.change.Lock()
	defer s.change.Unlock()
	if s.unknown {
		return errPolicyUnknown
	}
	inForce := s.policy.Load()
	if place, ok, err := s.Index.Lookup(ctx, r.ID); err != nil {
		return fmt.Errorf("%w: %w", scitt.ErrUnavailable, err)
	} else if ok {
		r.Index, r.Duplicate = place.Index, true
		return nil
	}
	next, err := inForce.Policy.Replace(st, inForce.ID)
	if err != nil {
		return err
	}
	if err := s.Log.Drain(ctx); err != nil {
		return fmt.Errorf("%w: %w", scitt.ErrBusy, err)
	}
	wait, err := s.Log.Append(ctx, st.Entry())
	if err != nil {
		return err
	}
	if err := s.stored(ctx, st, r, wait); err != nil {
		if !s.settle(ctx, r) {
			s.unknown = true
			return errors.Join(errPolicyUnknown, err)
		}
		if !r.Duplicate {
			return err
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
	return nil
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

// keyedLocks are locks by name; one that nobody holds or wants takes no room.
type keyedLocks struct {
	mu    sync.Mutex
	locks map[string]*keyedLock
}

type keyedLock struct {
	free  chan struct{} // has an element when the lock is free
	users int
}

// lock waits for the lock with this name, or until the context ends.
func (k *keyedLocks) lock(ctx context.Context, name string) (unlock func(), err error) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*keyedLock{}
	}
	l := k.locks[name]
	if l == nil {
		l = &keyedLock{free: make(chan struct{}, 1)}
		l.free <- struct{}{}
		k.locks[name] = l
	}
	l.users++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.locks, name)
		}
	}
	select {
	case <-l.free:
		return func() { l.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
