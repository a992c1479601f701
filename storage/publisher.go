package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// publisher takes each checkpoint that the log engine makes, checks that it extends
// the one before, signs it, makes it public, and wakes who waits for it. So a key
// signs each checkpoint once, and keys can change between two of them.
type publisher struct {
	driver    Driver
	witnesses Witnesses // nil for none
	open      bool      // publishes without their quorum too
	tree      *tiles.Tree
	logger    *slog.Logger

	expected chan struct{}

	polling sync.Mutex // one poll at a time
	taken   []byte     // the engine's note of the tree that is public; guarded by polling
	made    []byte     // the engine's note that was signed last; guarded by polling
	signed  []byte     // the same with the log's signatures; guarded by polling
	alone   bool       // the last checkpoint had no quorum of witnesses; guarded by polling

	mu      sync.RWMutex // guards the rest
	keys    Keys
	view    *tiles.View
	written time.Time
	looked  time.Time     // when the public checkpoint was last read or written
	next    chan struct{} // closed when view is replaced
	failed  error         // of the last poll
}

// newPublisher starts from the public checkpoint, or from an empty log.
func newPublisher(ctx context.Context, driver Driver, o Options) (*publisher, error) {
	p := &publisher{
		driver: driver, keys: o.Keys, witnesses: o.Witnesses, open: o.Unwitnessed, tree: tiles.NewTree(exact{driver}), logger: o.Logger,
		written: time.Now(), looked: time.Now(), next: make(chan struct{}), expected: make(chan struct{}, 1),
	}
	var err error
	if p.view, err = p.tree.At(ctx, scitt.EmptyCheckpoint(o.Signer.Name())); err == nil {
		err = p.reload(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return p, nil
}

// reload takes over what is public, whoever published it, if it extends what was
// public before.
func (p *publisher) reload(ctx context.Context) error {
	raw, err := p.driver.Get(ctx, tiles.CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) && p.current().Checkpoint.Raw == nil {
		return nil
	}
	if err != nil {
		return err
	}
	view, err := p.extends(ctx, raw)
	if err != nil {
		return fmt.Errorf("the public checkpoint: %w", err)
	}
	p.replace(view)
	return nil
}

// extends opens a note that extends what is public.
func (p *publisher) extends(ctx context.Context, raw []byte) (*tiles.View, error) {
	now := p.current()
	if bytes.Equal(raw, now.Checkpoint.Raw) {
		return now, nil
	}
	cp, err := p.signer().Verifiers.Open(raw)
	if err != nil {
		return nil, fmt.Errorf("it is not by this log's keys: %w", err)
	}
	view, err := p.tree.At(ctx, cp)
	if err != nil {
		return nil, err
	}
	return view, view.Consistency(ctx, now.Checkpoint)
}

// replace makes a view the public one, and wakes who waits.
func (p *publisher) replace(view *tiles.View) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looked = time.Now()
	if view == p.view {
		return
	}
	close(p.next)
	p.view, p.written, p.next = view, time.Now(), make(chan struct{})
}

// ErrFork says that what is stored is not what the public checkpoint commits
// to, or less.
var ErrFork = errors.New("the stored log does not extend the public checkpoint; restore the engine's state (private/tessera, or the database) as it was with these public files, or later")

// ErrMoved says that somebody else replaced the public checkpoint.
var ErrMoved = errors.New("another process has published")

// resumes holds what is stored to the public checkpoint. A log that goes on
// from less would write other entries into the files that the checkpoint
// commits to, and would be a fork of itself for everybody who saw it.
func (p *publisher) resumes(ctx context.Context) error {
	public := p.current().Checkpoint
	stored, err := p.driver.Tree(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		stored, err = scitt.EmptyCheckpoint(public.Origin), nil
	}
	if err != nil {
		return err
	}
	_, err = p.extending(ctx, stored, public)
	return err
}

// extending reads a tree that is stored, and refuses one that does not extend what is public.
func (p *publisher) extending(ctx context.Context, stored, public *scitt.Checkpoint) (*tiles.View, error) {
	if stored.Size < public.Size {
		return nil, fmt.Errorf("%w: %d entries are stored and %d are public", ErrFork, stored.Size, public.Size)
	}
	view, err := p.tree.At(ctx, stored)
	if err != nil {
		return nil, newest(err)
	}
	if err := view.Consistency(ctx, public); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFork, err)
	}
	return view, nil
}

func (p *publisher) current() *tiles.View {
	view, _, _ := p.state()
	return view
}

func (p *publisher) publishedAt() time.Time {
	_, written, _ := p.state()
	return written
}

// failure is why the last look published nothing; nil when nothing kept it.
func (p *publisher) failure() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.failed
}

func (p *publisher) lookedAt() time.Time {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.looked
}

func (p *publisher) state() (*tiles.View, time.Time, <-chan struct{}) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.view, p.written, p.next
}

// await waits for a published checkpoint that covers the index.
func (p *publisher) await(ctx context.Context, index uint64) (*tiles.View, error) {
	for {
		view, _, next := p.state()
		if view.Checkpoint.Size > index {
			return view, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

const (
	// A checkpoint that was just signed is looked for often, for a while.
	eagerInterval = 500 * time.Microsecond
	eagerFor      = time.Second
	// One that nobody announced, or that could not be published, less often.
	idleInterval = 250 * time.Millisecond
)

// expect tells the publisher that a checkpoint is about to be written.
func (p *publisher) expect() {
	select {
	case p.expected <- struct{}{}:
	default: // it is looking already
	}
}

// follow publishes, or reads what another process publishes, until the context
// ends. A failure (a full disk) is logged when it begins and when it ends, and
// tried again.
func (p *publisher) follow(ctx context.Context, idle time.Duration, poll func(context.Context) error) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	var more <-chan struct{}
	if p.witnesses != nil {
		more = p.witnesses.More()
	}
	var eagerUntil time.Time
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.expected:
			eagerUntil = time.Now().Add(eagerFor)
		case <-more:
		case <-timer.C:
		}
		before := p.current()
		err := poll(ctx)
		p.mu.Lock()
		p.failed = err
		p.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			p.logger.Error("the public checkpoint cannot advance; will keep trying", "err", err)
		case err == nil && failing:
			p.logger.Info("the public checkpoint advances again", "size", p.current().Checkpoint.Size)
		}
		failing = err != nil
		if failing || p.current() != before {
			eagerUntil = time.Time{}
		}
		if time.Now().Before(eagerUntil) {
			timer.Reset(eagerInterval)
		} else {
			timer.Reset(idle)
		}
	}
}

// poll publishes the newest checkpoint, if it is larger, or has signatures that
// the public one of the same tree has not.
//
// A crash before the public file is replaced leaves the older checkpoint
// public, which is still true; the next start publishes the newer one. No
// receipt from a checkpoint is given out before it is public.
func (p *publisher) poll(ctx context.Context) error {
	p.polling.Lock()
	defer p.polling.Unlock()
	now := p.current()
	raw, err := p.driver.Signed(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		if raw = now.Checkpoint.Raw; raw == nil {
			return nil
		}
	} else if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	view, own := now, raw
	if bytes.Equal(own, p.taken) {
		raw = now.Checkpoint.Raw
	} else {
		if raw, err = p.signature(raw); err == nil {
			view, err = p.extends(ctx, raw)
		}
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if public := now.Checkpoint; public.Raw != nil && public.Size == view.Checkpoint.Size {
			// What it has stays: a tree keeps its signature for Receipts.
			if raw, err = scitt.MergeNotes(raw, public.Raw); err != nil {
				return fmt.Errorf("publish: %w", err)
			}
		}
	}
	if raw, err = p.witnessed(ctx, raw, view, now); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := p.publish(ctx, view, raw, now); err != nil {
		return err
	}
	p.taken = own
	return nil
}

// publish replaces the public note by another one of a view, if it differs.
func (p *publisher) publish(ctx context.Context, view *tiles.View, raw []byte, now *tiles.View) (err error) {
	if bytes.Equal(raw, now.Checkpoint.Raw) {
		return nil
	}
	signed := *view
	if signed.Checkpoint, err = p.signer().Verifiers.Open(raw); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := p.driver.Publish(ctx, raw, now.Checkpoint.Raw); err != nil {
		p.taken = nil
		err = fmt.Errorf("publish: %w", err)
		if errors.Is(err, ErrMoved) {
			err = errors.Join(err, p.reload(ctx))
		}
		return err
	}
	p.replace(&signed)
	return nil
}
