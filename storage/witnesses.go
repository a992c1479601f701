package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/conmotion/conmotion/tiles"
)

// Witnesses cosign the checkpoints of a log before they are public.
type Witnesses interface {
	// Run asks them until the context ends.
	Run(ctx context.Context)
	// Cosign has them asked for a view's checkpoint from now on, and for no other one.
	// The function waits for a quorum of them, and ends with an error when it does not come.
	Cosign(view *tiles.View) (wait func(context.Context) error)
	// Add adds to a note of the tree that was asked for last the cosignatures that came.
	Add(note []byte) ([]byte, error)
	// More gets a value when there are more of them, or newer ones.
	More() <-chan struct{}
}

// ErrUnwitnessed says that a checkpoint is not public because too few witnesses
// cosigned it.
var ErrUnwitnessed = errors.New("too few witnesses cosigned the checkpoint, so it is not published")

// witnessed adds the cosignatures of witnesses to a note of a view. One that is
// larger than the public one waits for their quorum; those that come later are added
// to the same tree. A crash while it waits leaves the older checkpoint public.
func (p *publisher) witnessed(ctx context.Context, note []byte, view, now *tiles.View) ([]byte, error) {
	if p.witnesses == nil {
		return note, nil
	}
	wait := p.witnesses.Cosign(view)
	if view.Checkpoint.Size > now.Checkpoint.Size || now.Checkpoint.Raw == nil {
		err := wait(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && !p.open:
			return nil, fmt.Errorf("%w: %w", ErrUnwitnessed, err)
		case err != nil && !p.alone:
			p.logger.Error("checkpoints are published without the quorum of witnesses, which are asked again", "err", err)
		case err == nil && p.alone:
			p.logger.Info("the quorum of witnesses cosigns again")
		}
		p.alone = err != nil
	}
	return p.witnesses.Add(note)
}

// cosigned waits until the checkpoint that is public has the quorum of witnesses: one
// from before they were demanded has not, and Receipts would be made from it. A crash
// while it waits leaves that one.
func (p *publisher) cosigned(ctx context.Context) error {
	view := p.current()
	if p.witnesses == nil || p.open || view.Checkpoint.Raw == nil {
		return nil
	}
	wait, failing := p.witnesses.Cosign(view), false
	for {
		err := wait(ctx)
		if err == nil {
			break
		}
		if !failing && ctx.Err() == nil {
			p.logger.Error("the public checkpoint is without the quorum of witnesses, and the service does not start before they cosign it; --witness-mode open starts without them; will keep trying", "err", err)
		}
		failing = true
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnwitnessed, err)
		case <-time.After(idleInterval):
		}
	}
	p.polling.Lock()
	defer p.polling.Unlock()
	raw, err := p.witnesses.Add(view.Checkpoint.Raw)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return p.publish(ctx, view, raw, view)
}

// unwitnessed takes an ErrUnwitnessed for a warning.
func unwitnessed(err error, logger *slog.Logger) error {
	if errors.Is(err, ErrUnwitnessed) {
		logger.Warn("not all that is stored is public yet", "err", err)
		return nil
	}
	return err
}
