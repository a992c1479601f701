package personality

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
)

// wait tells the place of an entry once it is durable.
type wait = func(context.Context) (index uint64, duplicate bool, err error)

// sequenceChained judges the next statement of a chain when this one is in
// the log, or surely is not.
func (s *Service) sequenceChained(ctx context.Context, st *scitt.Statement, r *Registration) error {
	unlock, err := s.lockChains(ctx, st)
	if err != nil {
		return err
	}
	wait, err := s.admit(ctx, st, s.Log.Append, nil)
	if err != nil {
		unlock()
		return err
	}
	if err = s.stored(ctx, st, r, wait); err != nil {
		s.unlockSettled(ctx, unlock, wait)
		return err
	}
	unlock()
	return nil
}

// lockChains waits until nobody else registers statements of these chains.
// Whoever wants several takes them in one order, so that nobody who holds one
// waits for somebody who waits for it.
func (s *Service) lockChains(ctx context.Context, all ...*scitt.Statement) (unlock func(), err error) {
	var names []string
	for _, st := range all {
		if st.Chain != nil {
			names = append(names, st.Issuer+"\x00"+st.Chain.Name)
		}
	}
	slices.Sort(names)
	var unlocks []func()
	unlock = func() {
		for _, f := range unlocks {
			f()
		}
	}
	for _, name := range slices.Compact(names) {
		f, err := s.chains.lock(ctx, name)
		if err != nil {
			unlock()
			return nil, fmt.Errorf("%w: another statement of this chain is being registered: %w", scitt.ErrBusy, err)
		}
		unlocks = append(unlocks, f)
	}
	return unlock, nil
}

// unlockSettled lets chains go on where storing ended in an error: when the
// log has said what it holds. An entry whose storing failed may be in it after
// all, and is the head then. Nobody waits for this but the chains: the client
// has its answer. When the log never says it, they do not go on.
func (s *Service) unlockSettled(ctx context.Context, unlock func(), waits ...wait) {
	settled := context.WithoutCancel(ctx)
	go func() {
		for _, wait := range waits {
			_, _, _ = wait(settled) // resolved now, whatever to
		}
		if err := s.Index.Sync(settled); err != nil {
			s.Logger.Error("a chain does not go on before a restart", "err", err)
			return
		}
		unlock()
	}()
}

// stored waits until the entry is durable.
func (s *Service) stored(ctx context.Context, st *scitt.Statement, r *Registration, wait wait) (err error) {
	r.Index, r.Duplicate, err = wait(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: not stored after %v; the same statement can be sent again", scitt.ErrUnavailable, s.Wait+storeGrace)
	}
	if err == nil && !r.Duplicate {
		s.Index.Extend(st, r.Index)
	}
	return err
}

// admit judges the statement by the policy in force and appends it, with no
// change of policy in between. The function add is the log's Append, or that of
// a run with these pending heads.
func (s *Service) admit(ctx context.Context, st *scitt.Statement, add func(context.Context, []byte) (wait, error), pending Heads) (wait, error) {
	s.change.RLock()
	defer s.change.RUnlock()
	if s.unknown {
		return nil, errPolicyUnknown
	}
	inForce := s.policy.Load()
	if refusal := inForce.Policy.Admit(ctx, st, pending); refusal != nil {
		// A statement that is in the log was admitted when it came; sending it
		// again is no error, whatever the policy is now.
		place, ok, err := s.Index.Lookup(ctx, st.ID())
		if err != nil || !ok {
			return nil, refusal
		}
		return func(context.Context) (uint64, bool, error) { return place.Index, true, nil }, nil
	}
	return add(ctx, st.Entry())
}
