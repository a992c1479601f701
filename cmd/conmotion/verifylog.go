package main

import (
	"context"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// current checks the entry against the log as it is now.
func (v *verification) current(ctx context.Context, out *scitt.Verification) error {
	if v.files == nil {
		v.found("log now", resultNotChecked, "whether the log still holds the entry; its files tell, with --log or --static")
		return nil
	}
	err := partyError(v.files.Damage)
	if err == nil {
		err = v.inLog(ctx, v.files.View, out)
	}
	switch {
	case err == nil:
		return nil
	case exitCode(err) == exitBad || isMissing(err):
		v.found("log now", resultBad, "%v", err)
		return nil
	}
	return err
}

// inLog proves the entry in the log's current tree, and that this tree
// extends the one that the receipt speaks of.
func (v *verification) inLog(ctx context.Context, view *tiles.View, out *scitt.Verification) error {
	cp := view.Checkpoint
	for _, r := range out.Receipts {
		if r.Err != nil || r.Receipt.Subject != cp.Origin || len(r.Receipt.Proofs) == 0 {
			continue
		}
		p, leaf := r.Receipt.Proofs[0], scitt.LeafHash(r.Leaf.Leaf(out.Statement))
		if p.Size > cp.Size {
			return bad(fmt.Errorf("the receipt is for a tree of %d entries and the checkpoint for %d: the copy is old, or entries were taken away", p.Size, cp.Size))
		}
		root, err := p.Root(leaf)
		if err != nil {
			return err
		}
		if err := view.Consistency(ctx, &scitt.Checkpoint{Origin: cp.Origin, Size: p.Size, Root: root}); err != nil {
			return err
		}
		return v.proven(ctx, view, p.Index, leaf)
	}
	// None of the receipts is this log's.
	if len(v.statics) == 0 { // to search a service's log may take long
		v.found("log now", resultNotChecked, "whether the log holds the statement without a receipt of it; --static searches all of it")
		return nil
	}
	index, found, err := v.findStatement(ctx, view, out.Statement)
	if err != nil {
		return err
	}
	if !found {
		return bad(fmt.Errorf("the log %s of %d entries does not hold the statement", cp.Origin, cp.Size))
	}
	return v.proven(ctx, view, index, scitt.LeafHash(out.Statement.Entry()))
}

func (v *verification) proven(ctx context.Context, view *tiles.View, index uint64, leaf []byte) error {
	if _, err := view.Inclusion(ctx, index, leaf); err != nil {
		return err
	}
	detail := fmt.Sprintf("entry %d of %d", index, view.Checkpoint.Size)
	if t := view.Checkpoint.Tree; t != nil {
		detail += ", checkpoint of " + timeOf(t.IssuedAt)
	}
	v.found("log now", resultOK, "%s", detail)
	return nil
}
