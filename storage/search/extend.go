package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Position is the log as far as the index has read it: its name, the number
// of entries and their root. It waits for [Index.CatchUp] to end.
func (x *Index) Position() (Checkpoint, error) {
	x.work.Lock()
	defer x.work.Unlock()
	tree, err := treeRange.NewRange(0, x.state.Next, x.state.Tree)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	root := hasher.EmptyRoot()
	if x.state.Next > 0 {
		if root, err = tree.GetRootHash(nil); err != nil {
			return Checkpoint{}, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return Checkpoint{x.state.Origin, x.state.Next, root}, nil
}

// Extends proves that the log in view extends what the index has read, before
// anything of it is indexed. Errors wrap ErrOtherLog when the log has another
// name, ErrOlder when the view is of an older state, [scitt.ErrProof] when the
// log has another history than the one that was read, or are those of the log.
func (x *Index) Extends(ctx context.Context, view *tiles.View) error {
	at, err := x.Position()
	if err != nil || at.Size == 0 {
		return err
	}
	cp := view.Checkpoint
	switch {
	case cp.Origin != at.Origin:
		return fmt.Errorf("%w: the index is of the log %q, and this one is %q", ErrOtherLog, at.Origin, cp.Origin)
	case cp.Size < at.Size:
		return fmt.Errorf("%w: it is of %d entries, and %d are read", ErrOlder, cp.Size, at.Size)
	}
	err = view.Consistency(ctx, &scitt.Checkpoint{Origin: at.Origin, Size: at.Size, Root: at.Root})
	if errors.Is(err, scitt.ErrProof) {
		return fmt.Errorf("the log has another history than the one that was indexed: %w", err)
	}
	return err
}

// SetService keeps Options.Service in the index, for who opens it without. A
// crash leaves the old one or the new one.
func (x *Index) SetService(ctx context.Context, service string) error {
	x.work.Lock()
	defer x.work.Unlock()
	if x.state.Service == service {
		return nil
	}
	st := x.state
	st.Service = service
	if err := x.transaction(ctx, func(tx *sql.Tx) error { return writeState(ctx, tx, &st) }); err != nil {
		return x.note(err)
	}
	x.state = st
	return nil
}
