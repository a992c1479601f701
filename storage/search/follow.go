package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

const (
	batchSize     = 32 * tiles.Width // entries in one transaction
	bundlesAhead  = 16               // are read and parsed while others are written
	retryInterval = time.Second
)

// ErrOtherLog says that the entries that were read do not lead to the root of
// the checkpoint: the index is of another log, or a bundle is damaged. The
// index has been emptied, unless [Options] say to keep it.
var ErrOtherLog = errors.New("search: the entries do not lead to the checkpoint's root")

// ErrOlder says that the checkpoint is older than what the index has read, as
// one from a cache may be. The index is as it was.
var ErrOlder = errors.New("search: the checkpoint is older than the index")

// errShared: one index has one indexer.
var errShared = errors.New("search: another process writes this index; open one for each")

// Log gives the entries of a log in order. [*tiles.View] does, verified;
// [Bundles] does from a running log. Nothing depends on which it is: the index
// believes entries when they lead to the root of the checkpoint.
type Log interface {
	// Entries gives the entries from index from up to, and not including,
	// index to. The first error ends it. It is called several times at once.
	Entries(ctx context.Context, from, to uint64) iter.Seq2[tiles.Entry, error]
}

// BundleReader is Tessera's LogReader, or any other way to entry bundles.
type BundleReader interface {
	// ReadEntryBundle reads a bundle; p is its width, 0 for a full one.
	ReadEntryBundle(ctx context.Context, index uint64, p uint8) ([]byte, error)
}

// Bundles is a Log of a given size that is read by entry bundles.
type Bundles struct {
	BundleReader
	Size uint64 // of the checkpoint, which decides on the width of the last bundle
}

// Entries implements [Log].
func (b Bundles) Entries(ctx context.Context, from, to uint64) iter.Seq2[tiles.Entry, error] {
	return func(yield func(tiles.Entry, error) bool) {
		to = min(to, b.Size)
		for n := from / tiles.Width; from < to; n++ {
			width := min(tiles.Width, b.Size-n*tiles.Width)
			data, err := b.ReadEntryBundle(ctx, n, uint8(width)) // 256 becomes 0
			var entries [][]byte
			if err == nil {
				entries, err = tiles.ParseBundle(data, int(width))
			}
			if err != nil {
				yield(tiles.Entry{}, fmt.Errorf("search: bundle %d: %w", n, err))
				return
			}
			for ; from < min(to, n*tiles.Width+width); from++ {
				if !yield(tiles.Entry{Index: from, Data: entries[from%tiles.Width]}, nil) {
					return
				}
			}
		}
	}
}

// Follow calls CatchUp with what latest gives, every so often, until the
// context ends; after a failure it waits a second at least. Larger intervals
// cost less: what is read together is sorted once.
func (x *Index) Follow(ctx context.Context, every time.Duration, latest func(context.Context) (*scitt.Checkpoint, Log, error)) {
	for {
		cp, log, err := latest(ctx)
		if err != nil {
			x.failed.Store(&err)
		} else {
			err = x.CatchUp(ctx, cp, log)
		}
		wait := every
		if err != nil && ctx.Err() == nil {
			x.Logger.WarnContext(ctx, "the search index does not get on", "next", x.Next(), "err", err)
			wait = max(every, retryInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// CatchUp reads every entry under a published checkpoint that the index has
// not read, in transactions of its own of bounded size. When it returns
// without an error the index answers up to this checkpoint; until then, up to
// the one before. A crash at any point leaves whole transactions, and the next
// call goes on behind them.
//
// Errors wrap ErrOtherLog, ErrOlder, ErrDamaged (the next call begins anew),
// or are those of the log, the artifacts or the database; [Index.Err] keeps
// them.
func (x *Index) CatchUp(ctx context.Context, cp *scitt.Checkpoint, log Log) error {
	x.work.Lock()
	defer x.work.Unlock()
	err := x.catchUp(ctx, cp, log)
	if err != nil {
		err = x.note(err)
		x.failed.Store(&err)
		return err
	}
	x.failed.Store(nil)
	return nil
}

func (x *Index) catchUp(ctx context.Context, cp *scitt.Checkpoint, log Log) error {
	another := x.state.Origin != "" && x.state.Origin != cp.Origin
	switch {
	case x.ReadOnly:
		return errReadOnly
	case x.Keep && x.damaged.Load():
		return ErrDamaged
	case x.Keep && another:
		return x.otherLog(ctx, cp)
	case x.damaged.Load() || another:
		if err := x.replace(ctx); err != nil {
			return err
		}
	}
	if cp.Size == x.state.Size {
		if slices.Equal(cp.Root, x.state.Root) && x.state.Origin == cp.Origin {
			return x.merge(ctx)
		}
		if cp.Size > 0 {
			return x.otherLog(ctx, cp)
		}
	}
	if cp.Size < x.state.Next {
		return fmt.Errorf("%w: %d entries, and %d are read", ErrOlder, cp.Size, x.state.Next)
	}
	if err := x.read(ctx, cp, log); err != nil {
		return err
	}
	return x.merge(ctx)
}

// otherLog empties the index, if it may, and says why.
func (x *Index) otherLog(ctx context.Context, cp *scitt.Checkpoint) error {
	err := fmt.Errorf("%w: %s at size %d", ErrOtherLog, cp.Origin, cp.Size)
	if x.Keep {
		return err
	}
	return errors.Join(err, x.replace(ctx))
}

// batch is consecutive entries on their way into the database.
type batch struct {
	docs     []*document
	leaves   [][]byte
	postings []posting // their entries are relative to the first
}

func (b *batch) add(more *batch) {
	offset := uint32(len(b.docs))
	b.docs = append(b.docs, more.docs...)
	b.leaves = append(b.leaves, more.leaves...)
	from := len(b.postings)
	b.postings = append(b.postings, more.postings...)
	for i := range b.postings[from:] {
		b.postings[from+i].entry += offset
	}
}

// read reads the log: bundles are parsed on all cores, and one goroutine, the
// caller's, writes.
func (x *Index) read(ctx context.Context, cp *scitt.Checkpoint, log Log) error {
	from := x.state.Next
	if from == cp.Size { // of an empty log, or all was read for an older checkpoint
		return x.store(ctx, cp, &batch{})
	}
	secret := newHashKey(x.state.Secret)
	parse := func(ctx context.Context, n uint64) (*batch, error) {
		out := &postings{secret: secret}
		if list, ok := x.spare.Get().(*[]posting); ok {
			out.list = (*list)[:0]
		}
		return parse(ctx, log, x.Artifacts, out, max(from, n*tiles.Width), min(cp.Size, (n+1)*tiles.Width))
	}
	var b batch
	for _, parsed := range parallel.Ordered(ctx, from/tiles.Width, (cp.Size-1)/tiles.Width+1, max(bundlesAhead, 2*runtime.GOMAXPROCS(0)), parse) {
		if parsed.Err != nil {
			return parsed.Err
		}
		b.add(parsed.Value)
		x.spare.Put(&parsed.Value.postings)
		if len(b.docs) < x.batch && b.docs[len(b.docs)-1].Index+1 < cp.Size {
			continue
		}
		if err := x.store(ctx, cp, &b); err != nil {
			return err
		}
		b = batch{docs: b.docs[:0], leaves: b.leaves[:0], postings: b.postings[:0]}
		if err := x.merge(ctx); err != nil {
			return err
		}
	}
	return nil
}

func parse(ctx context.Context, log Log, artifacts reader.Artifacts, out *postings, from, to uint64) (*batch, error) {
	b := &batch{}
	for e, err := range log.Entries(ctx, from, to) {
		if err != nil {
			return nil, err
		}
		if e.Index != from+uint64(len(b.docs)) {
			return nil, fmt.Errorf("search: the log gave entry %d in the place of %d", e.Index, from+uint64(len(b.docs)))
		}
		out.entry = uint32(len(b.docs))
		d, err := read(ctx, e.Index, e.Data, artifacts, out)
		if err != nil {
			return nil, err
		}
		b.docs = append(b.docs, d)
		b.leaves = append(b.leaves, scitt.LeafHash(e.Data))
	}
	if uint64(len(b.docs)) != to-from {
		return nil, fmt.Errorf("search: the log gave %d entries in the place of %d", len(b.docs), to-from)
	}
	b.postings = out.list
	return b, nil
}

var (
	hasher    = scitt.TreeHasher{Hasher: rfc6962.DefaultHasher}
	treeRange = compact.RangeFactory{Hash: hasher.HashChildren}
)

// grow appends leaves to the tree, and checks the root where the checkpoint
// has one.
func (st *state) grow(cp *scitt.Checkpoint, leaves [][]byte) error {
	tree, err := treeRange.NewRange(0, st.Next, slices.Clone(st.Tree))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for _, leaf := range leaves {
		if err := tree.Append(leaf, nil); err != nil {
			return err
		}
	}
	st.Tree, st.Next = tree.Hashes(), tree.End()
	if st.Next < cp.Size {
		return nil
	}
	root := hasher.EmptyRoot()
	if cp.Size > 0 {
		if root, err = tree.GetRootHash(nil); err != nil {
			return err
		}
	}
	if !slices.Equal(root, cp.Root) {
		return ErrOtherLog
	}
	st.Size, st.Root = cp.Size, cp.Root
	return nil
}

// store puts entries into the database in one transaction. A crash before the
// commit leaves the index as it was.
func (x *Index) store(ctx context.Context, cp *scitt.Checkpoint, b *batch) error {
	st := x.state
	st.Origin = cp.Origin
	first := st.Next
	if err := st.grow(cp, b.leaves); err != nil {
		if errors.Is(err, ErrOtherLog) {
			return x.otherLog(ctx, cp)
		}
		return err
	}
	stats := counts{}
	for _, d := range b.docs {
		d.Policy = st.Policy
		if d.isPolicy {
			st.Policy = d.Entry
		}
		stats.add(d)
	}
	b.postings, x.scratch = sortPostings(b.postings, x.scratch)
	err := x.transaction(ctx, func(tx *sql.Tx) error {
		if len(b.docs) > 0 {
			st.Last++
			st.Segments = append(slices.Clone(st.Segments), segmentInfo{st.Last, first, st.Next})
			if err := putSegment(ctx, tx, st.Last, b.postings); err != nil {
				return err
			}
			if err := putRows(ctx, tx, b.docs); err != nil {
				return err
			}
			if err := putTimes(ctx, tx, b.docs); err != nil {
				return err
			}
			if err := putPolicies(ctx, tx, b.docs); err != nil {
				return err
			}
		}
		if err := stats.put(ctx, tx, st.Size == st.Next); err != nil {
			return err
		}
		return writeState(ctx, tx, &st)
	})
	if err != nil {
		return err
	}
	x.state = st
	x.next.Store(st.Next)
	return nil
}

func putSegment(ctx context.Context, tx querier, id uint64, sorted []posting) error {
	w := newSegmentWriter(ctx, tx, id)
	var entries []uint32
	for i := range sorted {
		entries = append(entries, sorted[i].entry)
		if i+1 < len(sorted) && sorted[i+1].key == sorted[i].key {
			continue
		}
		if err := w.add(sorted[i].key, entries); err != nil {
			return err
		}
		entries = entries[:0]
	}
	return w.finish(ctx)
}

func putPolicies(ctx context.Context, tx querier, docs []*document) error {
	for _, d := range docs {
		if !d.isPolicy {
			continue
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO policy VALUES (?, ?)", int64(d.Index), d.id[:]); err != nil {
			return err
		}
	}
	return nil
}

// transaction runs f in a transaction. SQLite fails it when another process
// writes after it has read the state.
func (x *Index) transaction(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	defer tx.Rollback() // after a commit this does nothing
	st, err := readState(ctx, tx)
	if err != nil {
		return err
	}
	if st.Next != x.state.Next || st.Last != x.state.Last {
		return errShared
	}
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	return nil
}
