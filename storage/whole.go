package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/scitt"
)

// whole stores batches with runs: all of a batch or nothing of it.
//
// Why a run cannot have a gap in the log. Batches are stored one at a time and
// in order, each when all of the one before is resolved. So an entry whose
// predecessor was in an earlier batch that failed is known, and is not handed
// over. Within a batch the queue of Tessera's appender would be a risk: it
// keeps the order, but closes a batch that is handed over too slowly in two
// parts, and of these the first may fail and the second be stored (a disk
// with little room takes a small batch where it did not take a large one).
// So such a batch is stored by the driver's Whole.
type whole struct {
	antispam tessera.Antispam
	appender func(ctx context.Context, n uint) (tessera.AddFn, error)
	size     atomic.Uint64 // of the log when it stored last
}

var errPredecessor = errors.New("the entry before it in its run was not stored")

// store gives the outcome of each entry of a batch.
func (w *whole) store(ctx context.Context, batch []*pending) []tessera.IndexFuture {
	var fresh []*handed
	add := once(w.antispam.Decorator()(func(_ context.Context, e *tessera.Entry) tessera.IndexFuture {
		h := &handed{entry: e}
		fresh = append(fresh, h)
		return func() (tessera.Index, error) { return h.future() }
	}))
	futures := make([]tessera.IndexFuture, len(batch))
	for i, p := range batch {
		if p.after != nil && p.after.err != nil {
			p.err = errPredecessor // for the one behind it in this batch
			futures[i] = failed(errPredecessor)
			continue
		}
		futures[i] = add(ctx, p.entry)
	}
	w.hand(ctx, fresh)
	return futures
}

// handed is an entry that the log does not have, and what comes of it.
type handed struct {
	entry  *tessera.Entry
	future tessera.IndexFuture
}

// hand stores entries in one piece; when it returns each has its future, and
// none of them waits any more.
func (w *whole) hand(ctx context.Context, fresh []*handed) {
	if len(fresh) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // everything is resolved: the appender's goroutines may end
	add, err := w.appender(ctx, uint(len(fresh)))
	if err != nil {
		for _, h := range fresh {
			h.future = failed(fmt.Errorf("store a batch: %w", err))
		}
		return
	}
	for _, h := range fresh {
		h.future = add(ctx, h.entry)
	}
	for _, h := range fresh {
		if index, err := h.future(); err == nil {
			w.size.Store(index.Index + 1)
		}
	}
}

func failed(err error) tessera.IndexFuture {
	return func() (tessera.Index, error) { return tessera.Index{}, err }
}

// once adds an entry that comes twice in a batch once, and of several
// signatures of one content the first. Batches are stored one at a time, so
// the index knows all that came in others.
func once(add tessera.AddFn) tessera.AddFn {
	type first struct {
		data   []byte
		future tessera.IndexFuture
	}
	seen := map[scitt.EntryID]first{}
	return func(ctx context.Context, e *tessera.Entry) tessera.IndexFuture {
		id, ok := scitt.EntryIDOf(e.Data())
		if !ok {
			id = scitt.EntryID(e.Identity()) // bytes that are not an Entry are themselves
		}
		f, ok := seen[id]
		if !ok {
			f = first{e.Data(), add(ctx, e)}
			seen[id] = f
			return f.future
		}
		return func() (tessera.Index, error) {
			index, err := f.future()
			if index.IsDup = true; err == nil && !bytes.Equal(e.Data(), f.data) {
				return tessera.Index{}, fmt.Errorf("%w: entry %d", scitt.ErrRegistered, index.Index)
			}
			return index, err
		}
	}
}
