package storage

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/scitt"
)

// batcher hands entries to Tessera in batches, one at a time.
//
// Storing a batch costs several writes to stable storage, however small it
// is. Tessera's own queue closes a batch when it is old enough, also while
// the one before is still being stored; under load that makes many small
// batches, and the disk becomes the limit. Here a batch is everything that
// came while the one before was being stored, so batches grow with the load.
type batcher struct {
	add     tessera.AddFn
	whole   *whole // for batches with runs
	in      chan *pending
	maxAge  time.Duration // how long the first entry of a batch waits for others
	maxSize int
	// resolved is called for each entry that is no longer on its way.
	resolved func()
	// ready says why the engine could not store a batch now, so that it is not
	// given one.
	ready func(context.Context) error
	// sound says why nothing may be built on what is stored. It takes milliseconds
	// under load, so it runs while a batch is gathered.
	sound   func(context.Context) error
	outcome *outcome
	took    atomic.Int64 // nanoseconds to store a batch, a moving average
}

// handOver is the age at which Tessera's queue closes a batch. It is longer
// than handing over a whole batch takes, which would be split otherwise.
const handOver = 3 * time.Millisecond

// pending is an entry on its way into the log.
type pending struct {
	entry *tessera.Entry
	came  time.Time
	done  chan struct{} // closed when place and err are set
	ended chan struct{} // closed when nobody will do that
	place tessera.Index
	err   error
	// after is the entry before it in its run; nil when it has none, and when
	// it is resolved.
	after *pending
}

// run stores batches until the context ends.
func (b *batcher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-b.in:
			sound := make(chan error, 1)
			go func() { sound <- b.sound(ctx) }()
			batch := b.gather(ctx, first)
			began := time.Now()
			b.store(ctx, batch, <-sound)
			b.took.Store((3*b.took.Load() + int64(time.Since(began))) / 4)
		}
	}
}

// gather waits for more entries until the first is old enough; what is there
// already comes along in any case.
func (b *batcher) gather(ctx context.Context, first *pending) []*pending {
	batch := []*pending{first}
	timer := time.NewTimer(time.Until(first.came.Add(b.maxAge)))
	defer timer.Stop()
	due := timer.C
	for len(batch) < b.maxSize {
		select {
		case p := <-b.in:
			batch = append(batch, p)
			continue
		default:
		}
		if due == nil {
			return batch
		}
		select {
		case p := <-b.in:
			batch = append(batch, p)
		case <-due:
			due = nil
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// store hands a batch over in order and waits until all of it is durable, or
// is not. Tessera's futures ignore contexts, and must be asked even if nobody
// waits: the antispam index learns of an entry when its future resolves.
// It hands over nothing for the reason refused, if there is one.
func (b *batcher) store(ctx context.Context, batch []*pending, refused error) {
	var futures []tessera.IndexFuture
	err := errors.Join(refused, b.ready(ctx))
	if err != nil {
		futures = slices.Repeat([]tessera.IndexFuture{failed(err)}, len(batch))
	} else if slices.ContainsFunc(batch, func(p *pending) bool { return p.after != nil }) {
		futures = b.whole.store(ctx, batch)
	} else {
		add := once(b.add)
		for _, p := range batch {
			futures = append(futures, add(ctx, p.entry))
		}
	}
	for i, p := range batch {
		p.place, p.err = futures[i]()
		p.after = nil
		if p.err != nil && !errors.Is(p.err, scitt.ErrRegistered) {
			err = p.err
		}
		close(p.done)
		b.resolved()
	}
	b.outcome.note(err)
}
