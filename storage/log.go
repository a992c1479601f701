// Package storage is the log: it runs Tessera, which sequences entries and
// writes tiles and signed checkpoints, and says when an entry is published.
//
// A Log holds no state of its own beside Tessera's: every receipt is made
// from the published checkpoint and the tiles, as anybody else would.
package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Options configure a Log. The zero value of a number means its default.
type Options struct {
	Keys
	// Witnesses, when not nil, cosign each checkpoint: it is public, and Receipts are
	// made from it, when it has their quorum. With Unwitnessed it is public without it too.
	Witnesses   Witnesses
	Unwitnessed bool
	// Antispam de-duplicates entries and follows the log.
	Antispam tessera.Antispam

	BatchMaxAge        time.Duration
	BatchMaxSize       uint
	CheckpointInterval time.Duration
	Pushback           uint
	Logger             *slog.Logger
}

// Defaults, chosen by measurement: see docs/performance.md.
const (
	DefaultBatchMaxAge        = 10 * time.Millisecond
	DefaultBatchMaxSize       = 1024
	DefaultCheckpointInterval = 100 * time.Millisecond
	DefaultPushback           = 4096
)

// Log is an append-only log. All methods are safe for concurrent use, but for
// Write and Close.
type Log struct {
	driver Driver
	o      Options
	pub    *publisher
	role   atomic.Pointer[role]
	// slots bounds the entries that are waiting for their index.
	slots   chan struct{}
	waiting atomic.Int64
	outcome outcome
}

// role is what this process does with the log: it reads it, or it is the writer.
type role struct {
	reader   tessera.LogReader
	readOnly error // why nothing is appended
	batches  *batcher
	whole    *whole
	shutdown func(context.Context) error // of the engine
	cancel   context.CancelFunc          // of what runs
	done     sync.WaitGroup
	ended    chan struct{} // closed when the process is not the writer any more
	end      sync.Once
}

func (r *role) stop() {
	r.cancel()
	r.done.Wait()
}

// Open opens the log as its writer, or makes a new one. A log that is there and
// cannot be written is opened to be read: see [Log.ReadOnly]. Errors wrap ErrFork
// when what is stored does not extend what is public.
func Open(ctx context.Context, driver Driver, o Options) (*Log, error) {
	l, err := newLog(ctx, driver, o)
	if err != nil {
		return nil, err
	}
	err = l.Write(ctx)
	if errors.Is(err, ErrUnwritable) && l.PublishedSize() > 0 && ctx.Err() == nil {
		l.read(ctx, err)
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func newLog(ctx context.Context, driver Driver, o Options) (*Log, error) {
	pub, err := newPublisher(ctx, driver, o)
	if err != nil {
		return nil, err
	}
	return &Log{driver: driver, o: o, pub: pub, slots: make(chan struct{}, cmp.Or(o.Pushback, DefaultPushback))}, nil
}

// Write makes this process the writer of a log that it follows. Where the driver
// refuses that, as with an error that wraps ErrLocked, it follows the log as before.
// After any other error the log can only be closed: then ReadOnly is the error.
func (l *Log) Write(ctx context.Context) error {
	td, err := l.driver.Open(ctx, l.Published().Checkpoint)
	if err != nil {
		return err
	}
	if r := l.role.Load(); r != nil {
		r.stop()
	}
	r, err := l.writing(ctx, td)
	if err != nil {
		err = fmt.Errorf("open log: %w", err)
		r = &role{reader: publicReader{l.pub}, readOnly: fmt.Errorf("%w: %w", scitt.ErrUnavailable, err), cancel: func() {}}
	}
	l.role.Store(r)
	return err
}

// writing starts the engine.
func (l *Log) writing(ctx context.Context, td tessera.Driver) (*role, error) {
	pub, o := l.pub, l.o
	// Another writer may have published until this one was the writer.
	if err := errors.Join(pub.reload(ctx), pub.resumes(ctx), pub.sound(ctx)); err != nil {
		return nil, err
	}
	// Tessera's background work ends with run, not with the caller's context:
	// Close must be able to drain first.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &role{cancel: cancel, ended: make(chan struct{})}
	if o.Witnesses != nil {
		r.done.Go(func() { o.Witnesses.Run(run) })
	}
	if err := pub.cosigned(ctx); err != nil {
		cancel()
		return nil, err
	}
	pub.signer().resume(pub.current().Checkpoint)
	batchAge, batchSize := cmp.Or(o.BatchMaxAge, DefaultBatchMaxAge), cmp.Or(o.BatchMaxSize, DefaultBatchMaxSize)
	interval := cmp.Or(o.CheckpointInterval, DefaultCheckpointInterval)
	opts := tessera.NewAppendOptions().
		WithCheckpointSigner(announcer{o.Signer.Name(), pub.expect}).
		WithBatching(batchSize, handOver).
		WithCheckpointInterval(interval).
		WithCheckpointRepublishInterval(max(interval, tessera.DefaultCheckpointRepublishInterval)).
		WithPushback(uint(cap(l.slots))).
		WithAntispam(1, o.Antispam) // its cache, by SHA-256 of the entry, has nothing to do: see once

	appender, shutdown, reader, err := newAppender(run, td, opts)
	if err != nil {
		cancel()
		return nil, err
	}
	r.reader, r.shutdown = reader, shutdown
	r.whole = &whole{antispam: o.Antispam, appender: l.driver.Whole}
	var checked scitt.Checkpoint // by the batcher, for one batch at a time
	r.batches = &batcher{add: appender.Add, whole: r.whole, in: make(chan *pending, cap(l.slots)), maxAge: batchAge, maxSize: int(batchSize),
		resolved: func() { l.waiting.Add(-1); <-l.slots }, outcome: &l.outcome,
		ready: l.driver.Ready, sound: func(ctx context.Context) error { return pub.soundFor(ctx, &checked, reader.NextIndex) }}
	r.done.Go(func() { pub.follow(run, idleInterval, pub.poll) })
	r.done.Go(func() { r.batches.run(run) })
	return r, nil
}

// newAppender opens the engine, which panics where its disk fails.
func newAppender(ctx context.Context, td tessera.Driver, o *tessera.AppendOptions) (a *tessera.Appender, shutdown func(context.Context) error, r tessera.LogReader, err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("the log engine gave up: %v", why)
		}
	}()
	return tessera.NewAppender(ctx, td, o)
}

// Append hands an entry to the log. Entries appear in the log in the order in
// which their Appends returned. The function wait tells, once the entry is
// durably sequenced, its index and whether the log had it before.
//
// A crash before wait returned may leave the entry in the log or not; a crash
// after it never loses the entry, and it will be published. Errors wrap
// [scitt.ErrBusy] or [scitt.ErrUnavailable], or are the context's: then the
// entry may still be stored, and the same entry can be appended again; or wrap
// [scitt.ErrRegistered], when the log has the content with another signature.
func (l *Log) Append(ctx context.Context, entry []byte) (wait func(context.Context) (index uint64, duplicate bool, err error), err error) {
	p, err := l.append(entry, nil)
	if err != nil {
		return nil, err
	}
	return p.wait, nil
}

// Run begins a run: its Append is that of the log, but an entry of a run is in
// the log only if all that were appended to the run before it are, and behind
// them, whatever fails or crashes. It is not for concurrent use.
func (l *Log) Run() (add func(ctx context.Context, entry []byte) (wait func(context.Context) (index uint64, duplicate bool, err error), err error)) {
	var last *pending
	return func(_ context.Context, entry []byte) (func(context.Context) (uint64, bool, error), error) {
		p, err := l.append(entry, last)
		if err != nil {
			return nil, err
		}
		last = p
		return p.wait, nil
	}
}

func (l *Log) append(entry []byte, after *pending) (*pending, error) {
	r := l.role.Load()
	if r.readOnly != nil {
		return nil, r.readOnly
	}
	// Tessera takes any number of entries into its queue; the bound is ours.
	select {
	case l.slots <- struct{}{}:
	default:
		return nil, fmt.Errorf("%w: %d entries wait to be stored", scitt.ErrBusy, cap(l.slots))
	}
	l.waiting.Add(1)
	p := &pending{entry: tessera.NewEntry(entry), came: time.Now(), done: make(chan struct{}), ended: r.ended, after: after}
	r.batches.in <- p // there is room for everybody who has a slot
	return p, nil
}

// wait waits until the entry is durable, or is known not to be stored.
func (p *pending) wait(ctx context.Context) (index uint64, duplicate bool, err error) {
	select {
	case <-p.done:
	case <-p.ended:
		return 0, false, fmt.Errorf("%w: this instance is not the writer any more, and the entry may be stored or not", scitt.ErrUnavailable)
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
	switch {
	case errors.Is(p.err, tessera.ErrPushback):
		return 0, false, fmt.Errorf("%w: %w", scitt.ErrBusy, p.err)
	case errors.Is(p.err, scitt.ErrRegistered):
		return 0, false, p.err
	case p.err != nil:
		return 0, false, fmt.Errorf("%w: %w", scitt.ErrUnavailable, p.err)
	}
	return p.place.Index, p.place.IsDup, nil
}

// Drain waits until no entry is on its way into the log. The caller sees to
// it that no new one is appended meanwhile.
func (l *Log) Drain(ctx context.Context) error {
	taken := 0
	defer func() {
		for range taken {
			<-l.slots
		}
	}()
	for ; taken < cap(l.slots); taken++ {
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("drain the log: %w", ctx.Err())
		}
	}
	return nil
}

// Await waits until the entry at an index is published: durable and covered
// by a checkpoint that everybody can read.
func (l *Log) Await(ctx context.Context, index uint64) (*tiles.View, error) {
	return l.pub.await(ctx, index)
}

// Settle waits like Await, but not for witnesses: it also ends when all that keeps
// the entry from being published is that their quorum does not come.
func (l *Log) Settle(ctx context.Context, index uint64) error {
	for {
		wait, cancel := context.WithTimeout(ctx, idleInterval)
		_, err := l.Await(wait, index)
		cancel()
		if err == nil {
			return nil
		}
		if err := l.pub.failure(); errors.Is(err, ErrUnwitnessed) {
			return unwitnessed(err, l.pub.logger)
		}
		if ctx.Err() != nil {
			return err
		}
	}
}

// Published is the log as its published checkpoint commits to it.
func (l *Log) Published() *tiles.View { return l.pub.current() }

// PublishedSize is the number of entries under the published checkpoint.
func (l *Log) PublishedSize() uint64 { return l.Published().Checkpoint.Size }

// Waiting is the number of entries that wait to be stored.
func (l *Log) Waiting() int { return int(l.waiting.Load()) }

// Backlog is how long an entry that is appended now is expected to wait before
// it is being stored: for the full batches that are ahead of it.
func (l *Log) Backlog() time.Duration {
	r := l.role.Load()
	if r.readOnly != nil {
		return 0
	}
	return time.Duration(l.waiting.Load() / int64(r.batches.maxSize) * r.batches.took.Load())
}

// PublishedAt is when the published checkpoint was last written.
func (l *Log) PublishedAt() time.Time { return l.pub.publishedAt() }

// IntegratedSize is the number of entries stored in the tiles, published or not.
func (l *Log) IntegratedSize(ctx context.Context) (uint64, error) {
	size, err := l.role.Load().reader.IntegratedSize(ctx)
	if err != nil {
		return 0, fmt.Errorf("integrated size: %w", err)
	}
	return size, nil
}

// SequencedSize is where the log ends: each entry before has its index and is
// durable, and some may not be in the tiles yet.
func (l *Log) SequencedSize(ctx context.Context) (uint64, error) {
	size, err := l.role.Load().reader.NextIndex(ctx)
	if err != nil {
		return 0, fmt.Errorf("sequenced size: %w", err)
	}
	return size, nil
}

// Abandon stops the engine of a writer that lost the log to another process, without
// waiting for anything: it would keep locks that the other one needs. What is on its
// way ends with an error. The log can only be closed then.
func (l *Log) Abandon() {
	r := l.role.Load()
	r.end.Do(func() {
		r.cancel()
		if r.ended != nil { // only a writer has one
			close(r.ended)
		}
	})
}

// Close drains the log: entries whose Append returned are published, and then
// background work stops. After it, Append fails. What has no quorum of witnesses
// yet is published after the next Open.
func (l *Log) Close(ctx context.Context) error {
	r := l.role.Load()
	if r.readOnly != nil {
		r.stop()
		return nil
	}
	select {
	case <-r.ended: // the engine does not say when it ends
		return nil
	default:
	}
	err := l.Drain(ctx)
	if size := r.whole.size.Load(); err == nil && size > 0 {
		err = l.Settle(ctx, size-1) // Tessera's shutdown waits for what it was given itself
	}
	if err == nil {
		err = r.shutdown(ctx)
	}
	if err == nil {
		err = unwitnessed(l.pub.poll(ctx), l.pub.logger)
	}
	r.stop()
	if err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}
