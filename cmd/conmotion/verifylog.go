package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// current checks the entry, in one file for each signature of it, against the log
// with these keys as it is now.
func (v *verification) current(ctx context.Context, keys witness.Keys, outs []*scitt.Verification) error {
	if v.files == nil {
		v.found("log now", witness.NotChecked, "whether the log holds the entry, and ever published the tree of a receipt, cannot be told offline; its files tell, with --log or --static")
		return nil
	}
	err := v.files.Damage
	if err == nil {
		err = v.inLog(ctx, v.files.View, keys, outs)
	}
	switch {
	case err == nil:
		return nil
	case isMissing(err):
		v.unsure = err
		v.found("log now", witness.NotChecked, "%v", err)
		return nil
	case cli.ExitCode(err) == cli.ExitBad:
		v.found("log now", witness.Failed, "%v", err)
		return nil
	}
	return err
}

// leafAt is where a receipt has a leaf in the log, and the tree that shows it.
type leafAt struct {
	index uint64
	leaf  string
	in    *tiles.View
}

// inLog proves the entry in the log's current tree, wherever receipts of the log
// have it, and that this tree extends the one of each of them.
func (v *verification) inLog(ctx context.Context, view *tiles.View, keys witness.Keys, outs []*scitt.Verification) error {
	cp := view.Checkpoint
	var places []leafAt
	for _, out := range outs {
		own := keys.For(out.Statement.Receipts)
		for _, r := range out.Receipts {
			compromised := errors.Is(r.Err, scitt.ErrCompromised)
			if r.Err != nil && !errors.Is(r.Err, scitt.ErrTime) && !compromised || r.Receipt.Subject != cp.Origin {
				continue
			}
			entry := r.Leaf.Leaf(out.Statement)
			if !compromised && own.VerifyReceipt(r.Receipt, entry) != nil {
				continue // another log's, which has put this log's name into it
			}
			for _, p := range r.Receipt.Proofs {
				leaf, in, err := scitt.LeafHash(entry), view, error(nil)
				if compromised { // it may name any tree, and only what this checkpoint holds counts
					if _, err := view.Inclusion(ctx, p.Index, leaf); p.Index >= cp.Size || errors.Is(err, scitt.ErrProof) {
						continue
					}
				} else if in, err = v.extends(ctx, view, p, leaf); err != nil {
					return err
				}
				if at := (leafAt{p.Index, string(leaf), in}); in != nil && !slices.Contains(places, at) {
					places = append(places, at)
				}
			}
		}
	}
	for _, p := range places {
		if err := v.proven(ctx, p.in, p.index, []byte(p.leaf)); err != nil {
			return err
		}
	}
	if len(places) > 0 || v.unsure != nil {
		return nil
	}
	// None of the receipts is this log's.
	if len(v.statics) == 0 { // to search a service's log may take long
		v.found("log now", witness.NotChecked, "whether the log holds the statement without a receipt of it; --static searches all of it")
		return nil
	}
	index, found, err := v.findStatement(ctx, view, outs[0].Statement)
	if err != nil {
		return err
	}
	if !found {
		return cli.Bad(fmt.Errorf("the log %s of %d entries does not hold the statement", cp.Origin, cp.Size))
	}
	return v.proven(ctx, view, index, scitt.LeafHash(outs[0].Statement.Entry()))
}

// extends checks that the log's current tree extends the one that a receipt's proof
// leads to, and returns the larger one. A log that shows fewer entries may have the
// files of the larger tree all the same; else the view is nil, and nothing can be
// told. When the trees are of two histories, nobody else can be shown that the log lied:
// its signature is on the root, and whoever handed the receipt on can have
// changed the size.
func (v *verification) extends(ctx context.Context, view *tiles.View, p scitt.InclusionProof, leaf []byte) (*tiles.View, error) {
	root, err := p.Root(leaf)
	if err != nil {
		return nil, err
	}
	cp, tree := view.Checkpoint, &scitt.Checkpoint{Origin: view.Checkpoint.Origin, Size: p.Size, Root: root}
	if tree.Size > cp.Size {
		if view, err = v.files.Files.At(ctx, tree); errors.Is(err, tiles.ErrCorrupt) || isMissing(err) {
			v.unsure = fmt.Errorf("the receipt is for a tree of %d entries, and the log shows %d here: the copy is old, or entries were taken away; try again, or leave the log out with --keys", tree.Size, cp.Size)
			v.found("log now", witness.NotChecked, "%v", v.unsure)
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		v.Notice("notice: the receipt is for a tree of %d entries, and the log shows %d here, an older state of it", tree.Size, cp.Size)
		tree = cp
	}
	if err = view.Consistency(ctx, tree); errors.Is(err, scitt.ErrProof) {
		err = fmt.Errorf("%w. Either the log signed a tree that it did not publish, or somebody changed the size in the receipt, which is not signed", err)
	}
	return view, err
}

func (v *verification) proven(ctx context.Context, view *tiles.View, index uint64, leaf []byte) error {
	if _, err := view.Inclusion(ctx, index, leaf); err != nil {
		return err
	}
	detail := fmt.Sprintf("entry %d of %d", index, view.Checkpoint.Size)
	if t := view.Checkpoint.Tree; t != nil {
		detail += ", checkpoint of " + printable.Time(t.IssuedAt)
	}
	v.held = true
	if v.files.Cosigned != nil {
		v.byNow[v.files.Cosigned.Origin] = v.files.Cosigned
	}
	v.found("log now", witness.OK, "%s", detail)
	return nil
}
