package personality

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// lock waits until nobody else registers this content, or statements of these
// chains. One lock for each id spans look-up, admission, sequencing and the
// index, so of two signatures of one content the second finds what came of the
// first. Whoever wants several takes them in one order, so that nobody who holds
// one waits for somebody who waits for it; and before a lock on the policy,
// whose holders wait for none of these.
func (s *Service) lock(ctx context.Context, all []*scitt.Statement) (unlock func(), err error) {
	names := make([]string, 0, 2*len(all))
	for _, st := range all {
		id := st.ID()
		names = append(names, "id "+string(id[:]))
		if st.Chain != nil {
			names = append(names, "chain "+st.Issuer+"\x00"+st.Chain.Name)
		}
		if st.Type != scitt.TypeHandover {
			continue
		}
		if h, err := st.Handover(); err == nil { // which is judged by the chains of both
			names = append(names, "chain "+h.Other(st.Issuer)+"\x00"+h.Chain)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for i, name := range names {
		if err := s.locks.lock(ctx, name); err != nil {
			s.locks.unlock(names[:i])
			return nil, fmt.Errorf("%w: the same content, or another statement of this chain, is being registered: %w", scitt.ErrBusy, err)
		}
	}
	return func() { s.locks.unlock(names) }, nil
}

// releaseSettled releases the locks where storing ended in an error: when the
// log has said what it holds. An entry whose storing failed may be in it after
// all; then it is known and the head of its chain, and nothing of its id is
// appended again. Nobody waits for this but the next with one of the locks: the
// client has its answer. A log that cannot say it is asked again, for as long as
// it takes.
func (s *Service) releaseSettled(ctx context.Context, release func(), waits []wait) {
	settled := context.WithoutCancel(ctx)
	go func() {
		for _, wait := range waits {
			_, _, _ = wait(settled) // resolved now, whatever to
		}
		for err := s.Index.Sync(settled); err != nil; err = s.Index.Sync(settled) {
			s.Logger.Error("statements whose storing failed cannot be registered, nor their chains continued, before the log says what it holds", "err", err)
			time.Sleep(settleRetry)
		}
		release()
	}()
}

// settleRetry is how long after an error the log is asked again.
const settleRetry = time.Second

// keyedLocks are locks by name; one that nobody holds or wants takes no room.
type keyedLocks struct {
	mu    sync.Mutex
	locks map[string]*keyedLock
}

type keyedLock struct {
	free  chan struct{} // has an element when somebody may take it over
	users int           // that hold it or wait
}

// lock waits for the lock with this name, or until the context ends.
func (k *keyedLocks) lock(ctx context.Context, name string) error {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*keyedLock{}
	}
	l := k.locks[name]
	if l == nil {
		k.locks[name] = &keyedLock{users: 1}
		k.mu.Unlock()
		return nil
	}
	if l.free == nil { // most locks are never waited for
		l.free = make(chan struct{}, 1)
	}
	l.users++
	k.mu.Unlock()
	select {
	case <-l.free:
		return nil
	case <-ctx.Done():
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-l.free: // just now, and nobody else takes it meanwhile
		return nil
	default:
	}
	l.users--
	return ctx.Err()
}

// unlock lets the next one have each of the locks.
func (k *keyedLocks) unlock(names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range names {
		l := k.locks[name]
		if l.users--; l.users == 0 {
			delete(k.locks, name)
		} else {
			l.free <- struct{}{}
		}
	}
}
