package personality

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// Registration is a statement on its way to its Receipt.
type Registration struct {
	ID        scitt.EntryID
	Index     uint64
	Duplicate bool
	Receipt   []byte // nil when the entry is durable but not published in time
}

// Register registers a statement and waits for its Receipt, at most until the context
// ends. When it returns without an error the entry is durable. A statement whose content
// the log has is not judged again: with the same bytes it is a duplicate, and another
// signature of its issuer is a [scitt.Problem] that wraps scitt.ErrRegistered.
func (s *Service) Register(ctx context.Context, st *scitt.Statement) (*Registration, error) {
	done, err := s.register(ctx, []*scitt.Statement{st}, nil)
	if err != nil {
		return nil, err
	}
	return done[0], nil
}

// RegisterKeys registers a keys statement, which no client can do, and waits for its
// Receipt.
func (s *Service) RegisterKeys(ctx context.Context, st *scitt.Statement, c Change) (*Registration, error) {
	done, err := s.register(ctx, []*scitt.Statement{st}, &c)
	if err != nil {
		return nil, err
	}
	return done[0], nil
}

// register registers statements in their order and waits for their
// Receipts, all of one checkpoint, at most until the context ends: then none
// of them has one. Each is judged as if those before it were in the log, so
// that it can be the next in a chain of theirs.
//
// It stops at the first statement that is not registered, and returns what came
// before it, all durable, and an error about it. No statement is in the log
// without those before it, but for the ones that were there already.
//
// keys is the change that a keys statement makes, which comes alone; nil for others.
func (s *Service) register(ctx context.Context, all []*scitt.Statement, keys *Change) ([]*Registration, error) {
	start := time.Now()
	done, failure := s.sequence(ctx, all, keys)
	if failure != nil {
		s.Metrics.registered(resultOf(failure))
	}
	if len(done) == 0 {
		return nil, failure
	}
	last := uint64(0)
	for _, r := range done {
		s.Metrics.reached(stageSequenced, start)
		last = max(last, r.Index)
	}
	view, err := s.Log.Await(ctx, last)
	if err != nil {
		for range done {
			s.Metrics.registered(resultLate)
		}
		return done, failure // only the context ends the waiting
	}
	// The waiting is over, perhaps just in time, or there was none to do.
	ctx = context.WithoutCancel(ctx)
	for i, r := range done {
		s.Metrics.reached(stagePublished, start)
		if r.Receipt, err = view.Receipt(ctx, r.Index, scitt.LeafHash(all[i].Entry())); err != nil {
			s.Metrics.registered(resultError)
			return nil, fmt.Errorf("receipt of entry %d: %w", r.Index, err)
		}
		s.Metrics.reached(stageReceipt, start)
		result := resultNew
		if r.Duplicate {
			result = resultDuplicate
		}
		s.Metrics.registered(result)
	}
	return done, failure
}

// sequence gives statements their indices. It ends in its own time: a client
// that does not wait, or is gone, is no reason to leave a statement half way.
// A crash leaves a beginning of them in the log.
func (s *Service) sequence(ctx context.Context, all []*scitt.Statement, keys *Change) ([]*Registration, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Wait+storeGrace)
	defer cancel()
	unlock, err := s.lock(ctx, all)
	if err != nil {
		return nil, err
	}
	q := &request{Service: s, rekey: keys, add: s.Log.Run(), first: make(map[scitt.EntryID]int, len(all)), heads: Heads{}}
	if q.turn, err = s.gate.enter(len(all)); err != nil {
		unlock()
		return nil, err
	}
	var refusal error
	for _, st := range all {
		if refusal = q.next(ctx, st); refusal != nil {
			break
		}
	}
	q.turn.leave()
	release := func() { q.ended(); unlock() }
	if err := q.store(ctx); err != nil {
		s.releaseSettled(ctx, release, q.waits)
		return q.done, err
	}
	release()
	return q.done, refusal
}

// wait returns the place of an entry once it is durable.
type wait = func(context.Context) (index uint64, duplicate bool, err error)

// request is a request on its way, whose ids and chains are locked: statements
// that are appended, and of these the first, which are durable.
type request struct {
	*Service
	rekey    *Change // by a keys statement, the only one of the request; nil for others
	add      func(context.Context, []byte) (wait, error)
	turn     *turn
	appended []*scitt.Statement // or in the log already
	waits    []wait             // one for each
	done     []*Registration
	first    map[scitt.EntryID]int // of what is appended
	heads    Heads                 // that the index does not have
	running  []scitt.EntryID       // that this request gives to the log
}

// next finds the next statement in the log, or judges it, with no change of
// policy until it is appended; policies change between two of them as at any
// other time.
func (q *request) next(ctx context.Context, st *scitt.Statement) error {
	wait, err := q.known(ctx, st)
	switch {
	case wait != nil || err != nil:
	case q.rekey != nil:
		wait, err = q.change(ctx, st, *q.rekey)
	case st.Type == scitt.TypePolicy:
		wait, err = q.change(ctx, st, q.changePolicy(ctx, st))
	default:
		wait, err = q.admit(ctx, st)
		if errors.Is(err, ErrPending) {
			if err := q.storeFirst(ctx); err != nil {
				return err
			}
			wait, err = q.admit(ctx, st)
		}
	}
	if err != nil {
		return err
	}
	if _, again := q.first[st.ID()]; !again {
		q.first[st.ID()] = len(q.appended)
	}
	q.appended, q.waits = append(q.appended, st), append(q.waits, wait)
	return nil
}

// known finds the content of a statement in the log, or before it in this
// request; nil when it is new. It was admitted when it came, so it is neither
// judged, whatever the policy is now, nor a predecessor in a chain again.
func (q *request) known(ctx context.Context, st *scitt.Statement) (wait, error) {
	if i, ok := q.first[st.ID()]; ok {
		if bytes.Equal(q.appended[i].Entry(), st.Entry()) {
			return func(ctx context.Context) (uint64, bool, error) {
				index, _, err := q.waits[i](ctx)
				return index, true, err
			}, nil
		}
		if err := q.storeFirst(ctx); err != nil { // the outcome of the first decides
			return nil, err
		}
	}
	place, ok, err := q.Index.Lookup(ctx, st.ID())
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", scitt.ErrUnavailable, err)
	case !ok:
		return nil, nil
	case place.Matches(scitt.LeafHash(st.Entry())):
		return func(context.Context) (uint64, bool, error) { return place.Index, true, nil }, nil
	}
	if err := q.InForce().Policy.VerifySignature(st); err != nil {
		return nil, fmt.Errorf("the content is registered with another signature than this one: %w", err)
	}
	return nil, scitt.AlreadyRegistered(q.location(st.ID()))
}

// admit judges the statement by the policy in force and appends it, with no
// change of policy in between.
func (q *request) admit(ctx context.Context, st *scitt.Statement) (wait, error) {
	q.changing.RLock()
	defer q.changing.RUnlock()
	if q.unknown {
		return nil, errChangeUnknown
	}
	if err := q.policy.Load().Policy.Admit(ctx, st, q.heads); err != nil {
		return nil, err
	}
	wait, err := q.append(ctx, st)
	if err == nil && st.Chain != nil {
		head := scitt.NewHead(st, 0)
		head.Pending = true
		q.heads[Chain{st.Issuer, st.Chain.Name}] = head
	}
	return wait, err
}

// append gives an admitted statement to the log. From here on its registration
// runs for whoever asks: a statement that is refused decides nothing of that.
func (q *request) append(ctx context.Context, st *scitt.Statement) (wait, error) {
	q.running = append(q.running, st.ID())
	q.mu.Lock()
	q.Service.running[st.ID()] = true
	q.mu.Unlock()
	return q.add(ctx, st.Entry())
}

// ended says that the registrations of this request do not run any more.
func (q *request) ended() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range q.running {
		delete(q.Service.running, id)
	}
}

// storeFirst stores what is appended before the next one is judged, and lets
// others be judged meanwhile.
func (q *request) storeFirst(ctx context.Context) error {
	q.turn.pause()
	defer q.turn.resume()
	return q.store(ctx)
}

// store waits until everything that is appended is durable. The index has the
// heads of its chains then.
func (q *request) store(ctx context.Context) error {
	for i := len(q.done); i < len(q.appended); i++ {
		r := &Registration{ID: q.appended[i].ID()}
		if err := q.stored(ctx, q.appended[i], r, q.waits[i]); err != nil {
			return err
		}
		q.done = append(q.done, r)
	}
	clear(q.heads)
	return nil
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
