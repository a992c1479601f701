// Package storage is the log: it runs Tessera, which sequences entries and
// writes tiles and signed checkpoints, and says when an entry is published.
//
// A Log holds no state of its own beside Tessera's: every receipt is made
// from the published checkpoint and the tiles, as anybody else would.
package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Options configure a Log. The zero value of a number means its default.
type Options struct {
	// Signer signs checkpoints (Ed25519); its name is the log's origin.
	Signer note.Signer
	// Tree signs the root of each checkpoint for receipts.
	Tree *scitt.TreeSigner
	// Verifiers are the public sides of both.
	Verifiers scitt.CheckpointVerifiers
	// Antispam de-duplicates entries and follows the log.
	Antispam tessera.Antispam

	BatchMaxAge        time.Duration
	BatchMaxSize       uint
	CheckpointInterval time.Duration
	Pushback           uint

	Logger *slog.Logger
	// Published, when not nil, is told of each newly published checkpoint.
	Published func(*scitt.Checkpoint)
}

// Defaults, chosen by measurement: see docs/performance.md.
const (
	DefaultBatchMaxAge        = 20 * time.Millisecond
	DefaultBatchMaxSize       = 256
	DefaultCheckpointInterval = 100 * time.Millisecond
	DefaultPushback           = 4096

	pollInterval = 5 * time.Millisecond
	// inFlight entries are remembered in memory until the antispam index has
	// surely seen them.
	inFlight = 4 * DefaultPushback
)

var (
	// ErrPushback says that too many entries are in flight; try again later.
	ErrPushback = errors.New("the log is busy")
	// ErrUnavailable says that the entry was not stored, or that nobody can
	// say: it is safe to try again.
	ErrUnavailable = errors.New("the log cannot store entries now")
)

// Log is an append-only log. All methods are safe for concurrent use.
type Log struct {
	driver   posixDriver
	add      tessera.AddFn
	shutdown func(context.Context) error
	reader   tessera.LogReader
	cancel   context.CancelFunc
	pub      *publisher
	done     sync.WaitGroup
	// slots bounds the entries that are waiting for their index.
	slots chan struct{}
}

// Open opens the log in a directory, or makes a new one.
func Open(ctx context.Context, dir *Dir, o Options) (*Log, error) {
	driver := posixDriver{dir}
	pub, err := newPublisher(ctx, driver, o)
	if err != nil {
		return nil, err
	}
	o.Tree.Resume(pub.current().Checkpoint)
	td, err := driver.open(ctx)
	if err != nil {
		return nil, err
	}
	batchAge, batchSize := or(o.BatchMaxAge, DefaultBatchMaxAge), or(o.BatchMaxSize, DefaultBatchMaxSize)
	interval, pushback := or(o.CheckpointInterval, DefaultCheckpointInterval), or(o.Pushback, DefaultPushback)
	opts := tessera.NewAppendOptions().
		WithCheckpointSigner(o.Signer, o.Tree).
		WithBatching(batchSize, batchAge).
		WithCheckpointInterval(interval).
		WithCheckpointRepublishInterval(max(interval, tessera.DefaultCheckpointRepublishInterval)).
		WithPushback(pushback).
		WithAntispam(inFlight, o.Antispam)

	// Tessera's background work ends with run, not with the caller's context:
	// Close must be able to drain first.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	appender, shutdown, reader, err := tessera.NewAppender(run, td, opts)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{driver: driver, add: appender.Add, shutdown: shutdown, reader: reader, cancel: cancel, pub: pub,
		slots: make(chan struct{}, pushback)}
	l.done.Go(func() { pub.follow(run, pollInterval) })
	return l, nil
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Sequenced is the place of an entry in the log.
type Sequenced struct {
	Index     uint64
	Duplicate bool // the log had this entry before
}

// Append hands an entry to the log and waits until it is durably sequenced.
//
// A crash before it returns may leave the entry in the log or not; a crash
// after it returned never loses the entry, and it will be published. An error
// wraps ErrPushback or ErrUnavailable, or is the context's: then the entry
// may still be stored, so that the same entry should be appended again.
func (l *Log) Append(ctx context.Context, entry []byte) (Sequenced, error) {
	// The POSIX driver takes any number of entries; the bound is ours.
	select {
	case l.slots <- struct{}{}:
	default:
		return Sequenced{}, fmt.Errorf("%w: %d entries wait to be stored", ErrPushback, cap(l.slots))
	}
	if err := l.driver.writable(); err != nil {
		<-l.slots
		return Sequenced{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	future := l.add(ctx, tessera.NewEntry(entry))
	type outcome struct {
		index tessera.Index
		err   error
	}
	// The future ignores contexts, and somebody must ask it: the antispam
	// index learns of the entry when it resolves.
	resolved := make(chan outcome, 1)
	go func() {
		defer func() { <-l.slots }()
		index, err := future()
		resolved <- outcome{index, err}
	}()
	select {
	case r := <-resolved:
		switch {
		case errors.Is(r.err, tessera.ErrPushback):
			return Sequenced{}, fmt.Errorf("%w: %w", ErrPushback, r.err)
		case r.err != nil:
			return Sequenced{}, fmt.Errorf("%w: %w", ErrUnavailable, r.err)
		}
		return Sequenced{r.index.Index, r.index.IsDup}, nil
	case <-ctx.Done():
		return Sequenced{}, ctx.Err()
	}
}

// Await waits until the entry at an index is published: durable and covered
// by a checkpoint that everybody can read.
func (l *Log) Await(ctx context.Context, index uint64) (*tiles.View, error) {
	return l.pub.await(ctx, index)
}

// Published is the log as its published checkpoint commits to it.
func (l *Log) Published() *tiles.View { return l.pub.current() }

// PublishedAt is when the published checkpoint was last written.
func (l *Log) PublishedAt() time.Time { return l.pub.publishedAt() }

// IntegratedSize is the number of entries stored, published or not.
func (l *Log) IntegratedSize(ctx context.Context) (uint64, error) {
	size, err := l.reader.IntegratedSize(ctx)
	if err != nil {
		return 0, fmt.Errorf("integrated size: %w", err)
	}
	return size, nil
}

// Close drains the log: entries whose Append returned are published, and then
// background work stops. After it, Append fails.
func (l *Log) Close(ctx context.Context) error {
	err := l.shutdown(ctx)
	if err == nil {
		err = l.pub.poll(ctx)
	}
	l.cancel()
	l.done.Wait()
	if err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}
