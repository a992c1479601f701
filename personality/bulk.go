package personality

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// RegisterAll registers statements in their order and waits for their
// Receipts, all of one checkpoint, at most until the context ends: then none
// of them has one. Each is judged as if those before it were in the log, so
// that it can be the next in a chain of theirs.
//
// It stops at the first statement that is not registered, and gives what came
// before it, all durable, and an error about it. No statement is in the log
// without those before it, but for the ones that were there already.
func (s *Service) RegisterAll(ctx context.Context, all []*scitt.Statement) ([]*Registration, error) {
	start := time.Now()
	done, failure := s.sequenceAll(ctx, all)
	if failure != nil {
		s.failed.Add(all[len(done)].ID(), failure)
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
	ctx = context.WithoutCancel(ctx) // the waiting is over, perhaps just in time
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

// sequenceAll gives statements their indices, in its own time. A crash leaves
// a beginning of them in the log.
func (s *Service) sequenceAll(ctx context.Context, all []*scitt.Statement) ([]*Registration, error) {
	for _, st := range all {
		s.run(st.ID(), 1)
		defer s.run(st.ID(), -1)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Wait+storeGrace)
	defer cancel()
	unlock, err := s.lockChains(ctx, all...)
	if err != nil {
		return nil, err
	}
	b := &bulk{Service: s, add: s.Log.Run(), heads: Heads{}, first: map[scitt.EntryID]wait{}}
	var refusal error
	for _, st := range all {
		if refusal = b.admitNext(ctx, st); refusal != nil {
			break
		}
	}
	if err := b.storeAll(ctx); err != nil {
		s.unlockSettled(ctx, unlock, b.waits...)
		return b.done, err
	}
	unlock()
	return b.done, refusal
}

// bulk is a request on its way: statements that are appended, and of these
// the first, which are durable.
type bulk struct {
	*Service
	add      func(context.Context, []byte) (wait, error)
	appended []*scitt.Statement
	waits    []wait // one for each
	done     []*Registration

	first map[scitt.EntryID]wait // of what is appended
	heads Heads                  // that the index does not have
}

var errPolicyInBulk = &scitt.Problem{Status: http.StatusBadRequest, Title: "Rejected",
	Detail: "a Registration Policy is not registered together with other statements: send it by itself"}

// admitNext judges the next statement, with no change of policy until it is
// appended; policies change between two of them as at any other time.
func (b *bulk) admitNext(ctx context.Context, st *scitt.Statement) error {
	if st.Type == scitt.TypePolicy {
		return errPolicyInBulk
	}
	wait, err := b.known(ctx, st)
	if wait == nil && err == nil {
		wait, err = b.admit(ctx, st, b.add, b.heads)
		if errors.Is(err, ErrPending) {
			if err := b.storeAll(ctx); err != nil {
				return err
			}
			wait, err = b.admit(ctx, st, b.add, b.heads)
		}
		if err == nil && st.Chain != nil {
			// It is new: a statement of this chain that is in the log is known,
			// while the chain is locked.
			b.heads[Chain{st.Issuer, st.Chain.Name}] = tiles.Head{ID: st.ID(), Seq: st.Chain.Seq}
		}
	}
	if err != nil {
		return err
	}
	b.appended, b.waits = append(b.appended, st), append(b.waits, wait)
	b.first[st.ID()] = wait
	return nil
}

// known finds a statement that this request or the log has already. It was
// admitted when it came, so it is not judged, and is nobody's predecessor anew.
func (b *bulk) known(ctx context.Context, st *scitt.Statement) (wait, error) {
	if first, ok := b.first[st.ID()]; ok {
		return func(ctx context.Context) (uint64, bool, error) {
			index, _, err := first(ctx)
			return index, true, err
		}, nil
	}
	place, ok, err := b.Index.Lookup(ctx, st.ID())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", scitt.ErrUnavailable, err)
	}
	if !ok {
		return nil, nil
	}
	return func(context.Context) (uint64, bool, error) { return place.Index, true, nil }, nil
}

// storeAll waits until everything that is appended is durable. The index has
// the heads of its chains then.
func (b *bulk) storeAll(ctx context.Context) error {
	for i := len(b.done); i < len(b.appended); i++ {
		r := &Registration{ID: b.appended[i].ID()}
		if err := b.stored(ctx, b.appended[i], r, b.waits[i]); err != nil {
			return err
		}
		b.done = append(b.done, r)
	}
	clear(b.heads)
	return nil
}
