package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// current checks the entry, in one file for each signature of it, against the log
// with these keys as it is now.
func (v *verification) current(ctx context.Context, keys witness.Keys, outs []*scitt.Verification) error {
	if v.files == nil {
		v.found("log now", resultNotChecked, "whether the log holds the entry, and ever published the tree of a receipt, cannot be told offline; its files tell, with --log or --static")
		return nil
	}
	err := partyError(v.files.Damage)
	if err == nil {
		err = v.inLog(ctx, v.files.View, keys, outs)
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

// leafAt is where a receipt has a leaf in the log.
type leafAt struct {
	index uint64
	leaf  string
}

// inLog proves the entry in the log's current tree, wherever receipts of the log
// have it, and that this tree extends the one of each of them.
func (v *verification) inLog(ctx context.Context, view *tiles.View, keys witness.Keys, outs []*scitt.Verification) error {
	cp := view.Checkpoint
	var places []leafAt
	for _, out := range outs {
		own := keys.For(out.Statement.Receipts)
		for _, r := range out.Receipts {
			if r.Err != nil && !errors.Is(r.Err, scitt.ErrTime) || r.Receipt.Subject != cp.Origin {
				continue
			}
			entry := r.Leaf.Leaf(out.Statement)
			if own.VerifyReceipt(r.Receipt, entry) != nil {
				continue // another log's, which has put this log's name into it
			}
			for _, p := range r.Receipt.Proofs {
				leaf := scitt.LeafHash(entry)
				if err := extends(ctx, view, p, leaf); err != nil {
					return err
				}
				if at := (leafAt{p.Index, string(leaf)}); !slices.Contains(places, at) {
					places = append(places, at)
				}
			}
		}
	}
	for _, p := range places {
		if err := v.proven(ctx, view, p.index, []byte(p.leaf)); err != nil {
			return err
		}
	}
	if len(places) > 0 {
		return nil
	}
	// None of the receipts is this log's.
	if len(v.statics) == 0 { // to search a service's log may take long
		v.found("log now", resultNotChecked, "whether the log holds the statement without a receipt of it; --static searches all of it")
		return nil
	}
	index, found, err := v.findStatement(ctx, view, outs[0].Statement)
	if err != nil {
		return err
	}
	if !found {
		return bad(fmt.Errorf("the log %s of %d entries does not hold the statement", cp.Origin, cp.Size))
	}
	return v.proven(ctx, view, index, scitt.LeafHash(outs[0].Statement.Entry()))
}

// extends reports whether the log's current tree extends the one that a receipt's
// proof leads to. When it does not, nobody else can be shown that the log lied:
// its signature is on the root, and whoever handed the receipt on can have
// changed the size.
func extends(ctx context.Context, view *tiles.View, p scitt.InclusionProof, leaf []byte) error {
	cp := view.Checkpoint
	if p.Size > cp.Size {
		return usage(fmt.Errorf("cannot be checked: the receipt is for a tree of %d entries and the checkpoint for %d: the copy is old, or entries were taken away", p.Size, cp.Size))
	}
	root, err := p.Root(leaf)
	if err != nil {
		return err
	}
	if err = view.Consistency(ctx, &scitt.Checkpoint{Origin: cp.Origin, Size: p.Size, Root: root}); errors.Is(err, scitt.ErrProof) {
		err = fmt.Errorf("%w. Either the log signed a tree that it did not publish, or somebody changed the size in the receipt, which is not signed", err)
	}
	return err
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
