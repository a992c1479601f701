package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// current checks the entry, in one statement for each signature of it, against the log
// with these keys as it is now; log is nil when it has no files here.
func (r *run) current(ctx context.Context, log *party.Log, keys witness.Keys, outs []*scitt.Verification) error {
	if log == nil {
		r.found("log now", witness.NotChecked, "whether the log holds the entry, and ever published the tree of a receipt, cannot be told offline; its files tell, with --log or --static")
		return nil
	}
	err := log.Damage
	if err == nil {
		err = r.inLog(ctx, log, keys, outs)
	}
	switch {
	case err == nil:
		return nil
	case isMissing(err):
		r.Unsure = err
		r.found("log now", witness.NotChecked, "%v", err)
		return nil
	case party.Refutes(err):
		r.found("log now", witness.Failed, "%v", err)
		return nil
	}
	return err
}

// leafAt is where a Receipt has a leaf in the log, and the tree that shows it.
type leafAt struct {
	index uint64
	leaf  string
	in    *tiles.View
}

// inLog proves the entry in the log's current tree, wherever Receipts of the log
// have it, and that this tree extends the one of each of them.
func (r *run) inLog(ctx context.Context, log *party.Log, keys witness.Keys, outs []*scitt.Verification) error {
	var places []leafAt
	for _, out := range outs {
		more, err := r.places(ctx, log, keys.For(out.Statement.Receipts), out)
		if err != nil {
			return err
		}
		places = append(places, more...)
	}
	seen := map[leafAt]bool{}
	for _, p := range places {
		if seen[p] {
			continue
		}
		seen[p] = true
		if err := r.proven(ctx, log, p.in, p.index, []byte(p.leaf)); err != nil {
			return err
		}
	}
	if len(places) > 0 || r.Unsure != nil {
		return nil
	}
	// None of the Receipts is this log's.
	if !r.Search { // to search a service's log may take long
		r.found("log now", witness.NotChecked, "whether the log holds the statement without a receipt of it; --static searches all of it")
		return nil
	}
	cp, leaf := log.View.Checkpoint, scitt.LeafHash(outs[0].Statement.Entry())
	index, found, err := log.View.Find(ctx, leaf, r.Searched)
	if err != nil {
		return err
	}
	if !found {
		r.found("log now", witness.Failed, "the log %s of %d entries does not hold the statement", cp.Origin, cp.Size)
		return nil
	}
	return r.proven(ctx, log, log.View, index, leaf)
}

// places returns where the Receipts of the log, with these keys, have the statement.
func (r *run) places(ctx context.Context, log *party.Log, keys scitt.KeySet, out *scitt.Verification) (places []leafAt, err error) {
	view, cp := log.View, log.View.Checkpoint
	for _, v := range out.Receipts {
		compromised := errors.Is(v.Err, scitt.ErrCompromised)
		if v.Err != nil && !errors.Is(v.Err, scitt.ErrTime) && !compromised || v.Receipt.Subject != cp.Origin {
			continue
		}
		entry := v.Leaf.Leaf(out.Statement)
		if !compromised && keys.VerifyReceipt(v.Receipt, entry) != nil {
			continue // another log's, which has put this log's name into it
		}
		for _, p := range v.Receipt.Proofs {
			leaf, in := scitt.LeafHash(entry), view
			if compromised { // it may name any tree, and only what this checkpoint holds counts
				if _, err := view.Inclusion(ctx, p.Index, leaf); p.Index >= cp.Size || errors.Is(err, scitt.ErrProof) {
					continue
				}
			} else if in, err = r.extends(ctx, log, p, leaf); err != nil {
				return nil, err
			}
			if in != nil {
				places = append(places, leafAt{p.Index, string(leaf), in})
			}
		}
	}
	return places, nil
}

// extends checks that the log's current tree extends the one that a Receipt's proof
// leads to, and returns the larger one. A log that shows fewer entries may have the
// files of the larger tree all the same; else the view is nil, and nothing can be
// told. When the trees are of two histories, nobody else can be shown that the log lied:
// its signature is on the root, and whoever handed the Receipt on can have
// changed the size.
func (r *run) extends(ctx context.Context, log *party.Log, p scitt.InclusionProof, leaf []byte) (*tiles.View, error) {
	root, err := p.Root(leaf)
	if err != nil {
		return nil, err
	}
	view := log.View
	cp, tree := view.Checkpoint, &scitt.Checkpoint{Origin: view.Checkpoint.Origin, Size: p.Size, Root: root}
	if tree.Size > cp.Size {
		if view, err = log.Files.At(ctx, tree); errors.Is(err, tiles.ErrCorrupt) || isMissing(err) {
			r.Unsure = fmt.Errorf("the receipt is for a tree of %d entries, and the log shows %d here: the copy is old, or entries were taken away; try again, or leave the log out with --keys", tree.Size, cp.Size)
			r.found("log now", witness.NotChecked, "%v", r.Unsure)
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		r.notice("notice: the receipt is for a tree of %d entries, and the log shows %d here, an older state of it", tree.Size, cp.Size)
		tree = cp
	}
	if err = view.Consistency(ctx, tree); errors.Is(err, scitt.ErrProof) {
		err = fmt.Errorf("%w. Either the log signed a tree that it did not publish, or somebody changed the size in the receipt, which is not signed", err)
	}
	return view, err
}

func (r *run) proven(ctx context.Context, log *party.Log, view *tiles.View, index uint64, leaf []byte) error {
	if _, err := view.Inclusion(ctx, index, leaf); err != nil {
		return err
	}
	detail := fmt.Sprintf("entry %d of %d", index, view.Checkpoint.Size)
	if t := view.Checkpoint.Tree; t != nil {
		detail += ", checkpoint of " + printable.Time(t.IssuedAt)
	}
	r.held = true
	if log.Cosigned != nil {
		r.byNow[log.Cosigned.Origin] = log.Cosigned
	}
	r.found("log now", witness.OK, "%s", detail)
	return nil
}
