package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/conmotion/conmotion/internal/firsts"
	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// replay is the log up to one entry, as the first ordered stage knows it. In
// a pass it is ahead of the Auditor's state.
type replay struct {
	a        *Auditor
	src      tiles.Source
	size     uint64 // of the checkpoint
	tree     *tiles.Rebuild
	treeErr  error       // a file that was out of reach
	problems []Violation // of the tree, not yet told
	missing  []string    // tiles of it that are not there, not yet told
	// ids are those that entries took, and those of entries whose signatures
	// were not verified before another one came with the same id.
	ids *firsts.Table

	register register
	// expected are the last entries of all chains, admitted or not: what the
	// service takes for their heads.
	expected heads
}

// newReplay is the log up to where the state is.
func newReplay(ctx context.Context, a *Auditor, view *tiles.View) (*replay, error) {
	ids, err := firsts.Load(a.state.Once, a.state.Next)
	if err != nil {
		return nil, fmt.Errorf("the state of the audit: %w", err)
	}
	r := &replay{a: a, src: a.log.Source, ids: ids, expected: maps.Clone(a.heads)}
	maps.Copy(r.expected, a.refused)
	r.register = register{origin: a.state.Origin, vkeys: a.o.VKeys, options: a.o.Policy, schema: a.o.Schema}
	r.tree = tiles.NewRebuild(r.src, 1, r.treeProblem)
	if a.state.Next == 0 {
		return r, nil
	}
	r.size = view.Checkpoint.Size
	if err := r.reload(ctx, a.state.Next); err != nil {
		return nil, err
	}
	for _, registered := range a.state.Keys {
		st, err := reread(ctx, view, registered)
		if err != nil {
			return nil, err
		}
		keys, err := scitt.KeysFrom(st, a.state.Origin)
		if err != nil {
			return nil, err
		}
		r.register.keysInForce(registered.Index, keys)
	}
	if n := len(a.state.Policies); n > 0 {
		st, err := reread(ctx, view, a.state.Policies[n-1])
		if err != nil {
			return nil, err
		}
		r.register.entry = st.ID()
		if r.register.policy, err = policy.FromStatement(st, a.o.Policy...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// reread reads a statement that came into force.
func reread(ctx context.Context, view *tiles.View, registered Registered) (*scitt.Statement, error) {
	entry, err := view.Entry(ctx, registered.Index)
	if err != nil {
		return nil, err
	}
	st, err := scitt.ParseStatement(entry)
	if err != nil || st.ID().String() != registered.EntryID {
		return nil, fmt.Errorf("the state says that entry %d is %s, and the log has another one there", registered.Index, registered.EntryID)
	}
	return st, nil
}

// reload builds the tree from the lowest tiles. The root in the end reports whether
// they were right.
func (r *replay) reload(ctx context.Context, size uint64) error {
	read := func(ctx context.Context, n uint64) ([]byte, error) {
		return tiles.ReadTile(ctx, r.src, 0, n, int(min(tiles.Width, size-n*tiles.Width)))
	}
	for n, tile := range parallel.Ordered(ctx, 0, (size+tiles.Width-1)/tiles.Width, workers(), read) {
		if tile.Err != nil {
			return tile.Err
		}
		index := n * tiles.Width
		for leaf := range slices.Chunk(tile.Value, leafSize) {
			if err := r.add(ctx, leaf); err != nil {
				return err
			}
			index++
		}
		r.a.o.Progress(index, r.size)
	}
	r.problems = nil // they were told when these entries were new
	return nil
}

// treeProblem is told what is wrong with the tiles above the lowest ones.
func (r *replay) treeProblem(err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.missing = append(r.missing, err.Error())
		return
	case !damaged(err):
		r.treeErr = err
		return
	}
	r.problems = append(r.problems, Violation{Check: CheckTile, Message: err.Error()})
}

func (r *replay) add(ctx context.Context, leaf []byte) error {
	if err := r.tree.Add(ctx, leaf); err != nil {
		return err
	}
	return r.treeErr
}

// run takes the log from where the state is to the checkpoint's size.
func (r *replay) run(ctx context.Context, cp *scitt.Checkpoint, view *tiles.View) error {
	r.size = cp.Size
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	queue := make(chan chan *bundle, workers())
	g.Go(func() error {
		defer close(queue)
		in := &bundleReader{src: r.src, view: view, from: r.a.state.Next, size: cp.Size}
		for _, b := range parallel.Ordered(gctx, in.from/tiles.Width, (cp.Size+tiles.Width-1)/tiles.Width, workers(), in.read) {
			if b.Err != nil {
				return b.Err
			}
			if err := r.enter(gctx, b.Value); err != nil {
				return err
			}
			slot := make(chan *bundle, 1)
			select {
			case queue <- slot:
			case <-gctx.Done():
				return gctx.Err()
			}
			g.Go(func() error {
				for i := range b.Value.items {
					it := &b.Value.items[i]
					if it.err = it.judge(ctx, r.a.o.Artifacts); it.err != nil {
						break // the pass ends here
					}
				}
				slot <- b.Value
				return nil
			})
			if b.Value.broken != nil {
				return nil
			}
		}
		return nil
	})
	var err error
	for slot := range queue {
		// After an error the rest of the queue is only emptied.
		if b := <-slot; err == nil {
			if err = r.a.settle(ctx, b); err != nil {
				cancel()
			}
		}
	}
	if werr := g.Wait(); err == nil {
		err = werr
	}
	if err != nil || len(r.a.stopped) > 0 {
		return err
	}
	return r.close(ctx, cp)
}

// enter is the first ordered stage.
func (r *replay) enter(ctx context.Context, b *bundle) error {
	for i := range b.items {
		it := &b.items[i]
		if err := r.add(ctx, it.leaf); err != nil {
			return err
		}
		if len(it.found) > 0 {
			continue
		}
		if err := r.count(ctx, it); err != nil {
			return fmt.Errorf("entry %d: %w", it.index, err)
		}
		if len(it.found) > 0 {
			continue
		}
		if err := r.register.add(it); err != nil {
			return err
		}
		if it.index < r.a.state.Since {
			it.under = nil
		}
		if len(it.found) == 0 {
			it.before = r.expected.of(it.st)
			r.expected.add(it.st, it.index)
		}
	}
	b.files, b.missing = append(b.files, r.problems...), append(b.missing, r.missing...)
	r.problems, r.missing = nil, nil
	return nil
}

// close checks the root when all entries are done.
func (r *replay) close(ctx context.Context, cp *scitt.Checkpoint) error {
	root, err := r.tree.Root(ctx)
	if err == nil {
		err = r.treeErr
	}
	if err != nil {
		return err
	}
	for _, v := range r.problems {
		r.a.found(v)
	}
	r.a.missing = append(r.a.missing, r.missing...)
	r.problems, r.missing = nil, nil
	// Without keys entry 0 is a violation already.
	if k := r.register.keys; k != nil {
		if err := r.register.trusted(); err != nil {
			// The log is not closed, so that the next audit looks again.
			r.a.stop(Violation{Index: &r.register.keysIndex, EntryID: k.ID.String(), Check: CheckKeys, Message: err.Error()})
			return nil
		}
	}
	if !bytes.Equal(root, cp.Root) {
		r.a.found(Violation{Check: CheckRoot, Message: fmt.Sprintf("the entries lead to root %x and the checkpoint of size %d signs %x", root, cp.Size, cp.Root)})
	}
	r.a.state.Closed = len(r.a.missing) == 0 // else the next audit looks again
	return nil
}
