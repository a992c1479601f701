package projection

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
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
	"github.com/conmotion/conmotion/tiles"
)

const (
	batchSize     = 16 * tiles.Width // entries in one transaction
	bundlesAhead  = 4                // of each processor, are read at a time, and at least as many as are written together
	retryInterval = time.Second
	restFactor    = 50 // rests are so much longer than steps while something else is busy
)

// Log gives the entries of a log in order. [*tiles.View] does, verified;
// [Bundles] does from a running log.
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
	Size uint64 // decides on the width of the last bundle
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
				yield(tiles.Entry{}, fmt.Errorf("bundle %d: %w", n, err))
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

// Reader follows a log: it turns entries into rows of its database.
type Reader[T any] struct {
	*DB
	// Parse makes the row of an entry. It is called by several goroutines at a time.
	Parse func(ctx context.Context, e tiles.Entry, leafHash []byte) (T, error)
	// Store puts the rows of consecutive entries into the database, in one
	// transaction with the state after them, in which it changes the digest alone.
	Store func(ctx context.Context, tx *sql.Tx, rows []T, after *State) error
	// Stored, when not nil, is told of the rows after the commit.
	Stored func(rows []T)
}

// Follow calls CatchUp with what latest gives, every so often, until the
// context ends; after a failure it waits a second at least. Larger intervals
// cost less: what is read together is stored together.
func (r *Reader[T]) Follow(ctx context.Context, every time.Duration, latest func(context.Context) (*scitt.Checkpoint, Log, error)) {
	for {
		cp, log, err := latest(ctx)
		if err != nil {
			r.failed.Store(&err)
		} else {
			err = r.CatchUp(ctx, cp, log)
		}
		wait := every
		if err != nil && ctx.Err() == nil {
			r.o.Logger.WarnContext(ctx, "the index cannot follow the log", "path", r.path, "next", r.Next(), "err", err)
			wait = max(every, retryInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// CatchUp reads every entry under a checkpoint that was not read yet, in
// transactions of its own of bounded size. When it returns without an error the
// database is complete up to this checkpoint. A crash at any point leaves whole
// transactions, and the next call continues after them. A checkpoint without a
// root is the word of a running log on how many entries it has.
//
// Errors wrap ErrOtherLog, ErrOlder, ErrDamaged (the next call begins anew),
// or are those of the log, the rows or the database; [DB.Err] keeps them.
func (r *Reader[T]) CatchUp(ctx context.Context, cp *scitt.Checkpoint, log Log) error {
	r.work.Lock()
	defer r.work.Unlock()
	err := r.note(r.catchUp(ctx, cp, log))
	if errors.Is(err, ErrOtherLog) && !r.o.Keep {
		err = errors.Join(err, r.replace(ctx, err))
	}
	if err != nil {
		r.failed.Store(&err)
		return err
	}
	r.failed.Store(nil)
	r.behind.Store(false)
	return nil
}

func (r *Reader[T]) catchUp(ctx context.Context, cp *scitt.Checkpoint, log Log) error {
	if err := r.usable(ctx); err != nil {
		return err
	}
	another := fmt.Errorf("%w: %s at size %d", ErrOtherLog, cp.Origin, cp.Size)
	if r.state.Origin != "" && r.state.Origin != cp.Origin {
		if r.o.Keep {
			return another
		}
		if err := r.replace(ctx, another); err != nil {
			return err
		}
	}
	if cp.Size < r.state.Next && cp.Root == nil && !r.fits.Load() {
		return another // a log that this process has not followed yet
	}
	if cp.Size < r.state.Next {
		return fmt.Errorf("%w: %d entries, and %d are read", ErrOlder, cp.Size, r.state.Next)
	}
	if ok, err := r.fitsLog(ctx, log); err != nil {
		return err
	} else if !ok {
		return another
	}
	if cp.Size == r.state.Size {
		same := bytes.Equal(cp.Root, r.state.Root) && cp.Origin == r.state.Origin
		switch {
		case same:
			return nil
		case cp.Size > 0:
			return another
		}
	}
	if err := r.read(ctx, cp, log); errors.Is(err, ErrOtherLog) {
		return another
	} else {
		return err
	}
}

// fitsLog reports whether the log has the last entry that was read where it was.
// It looks once.
func (r *Reader[T]) fitsLog(ctx context.Context, log Log) (bool, error) {
	if next := r.state.Next; !r.fits.Load() && next > 0 {
		for e, err := range log.Entries(ctx, next-1, next) {
			if err != nil {
				return false, err
			}
			if !bytes.Equal(scitt.LeafHash(e.Data), r.state.Last) {
				return false, nil
			}
		}
	}
	r.fits.Store(true)
	return true, nil
}

// parsed is one row, and the leaf hash of its entry.
type parsed[T any] struct {
	row  T
	leaf []byte
}

// parse reads the entries from index from up to, and not including, index to, and parses them when it is its turn.
func (r *Reader[T]) parse(ctx context.Context, log Log, from, to uint64, turns chan struct{}) ([]parsed[T], error) {
	entries := make([]tiles.Entry, 0, to-from)
	for e, err := range log.Entries(ctx, from, to) {
		if err != nil {
			return nil, err
		}
		if want := from + uint64(len(entries)); e.Index != want {
			return nil, fmt.Errorf("the log gave entry %d in the place of %d", e.Index, want)
		}
		entries = append(entries, e)
	}
	if uint64(len(entries)) != to-from {
		return nil, fmt.Errorf("the log gave %d entries in the place of %d", len(entries), to-from)
	}
	turns <- struct{}{}
	defer func() { <-turns }()
	rows := make([]parsed[T], 0, len(entries))
	for _, e := range entries {
		leaf := scitt.LeafHash(e.Data)
		row, err := r.Parse(ctx, e, leaf)
		if err != nil {
			return nil, err
		}
		rows = append(rows, parsed[T]{row, leaf})
	}
	return rows, nil
}

// read reads the log: while the caller's goroutine writes, on one processor, the bundles that it writes next are
// parsed on the others.
func (r *Reader[T]) read(ctx context.Context, cp *scitt.Checkpoint, log Log) error {
	from := r.state.Next
	if from == cp.Size { // an empty log, or all was read for an older checkpoint
		return r.store(ctx, cp, nil)
	}
	turns := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1))
	bundle := func(ctx context.Context, n uint64) ([]parsed[T], error) {
		return r.parse(ctx, log, max(from, n*tiles.Width), min(cp.Size, (n+1)*tiles.Width), turns)
	}
	ahead := max(bundlesAhead*parallel.CPUs(), batchSize/tiles.Width)
	if r.busy() {
		ahead = 1
	}
	var batch []parsed[T]
	for n, rows := range parallel.Ordered(ctx, from/tiles.Width, (cp.Size-1)/tiles.Width+1, ahead, bundle) {
		if rows.Err != nil {
			return rows.Err
		}
		batch = append(batch, rows.Value...)
		busy := r.busy()
		if len(batch) < batchSize && !busy && (n+1)*tiles.Width < cp.Size {
			continue
		}
		start := time.Now()
		if err := r.store(ctx, cp, batch); err != nil {
			return err
		}
		batch = batch[:0]
		if busy {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(restFactor * time.Since(start)):
			}
		}
	}
	return nil
}

// busy reports whether something more important needs the processors.
func (p *DB) busy() bool { return p.o.Busy != nil && p.o.Busy() }

var (
	hasher    = scitt.TreeHasher{Hasher: rfc6962.DefaultHasher}
	treeRange = compact.RangeFactory{Hash: hasher.HashChildren}
)

// root is that of the tree of all entries that were read.
func (st *State) root() ([]byte, error) {
	if st.Next == 0 {
		return hasher.EmptyRoot(), nil
	}
	tree, err := treeRange.NewRange(0, st.Next, st.Tree)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return tree.GetRootHash(nil)
}

// Fits reports whether the database is known to be of the log that it follows.
func (p *DB) Fits() bool { return p.fits.Load() }

// Position is the log as far as it was read: its name, the number of entries
// and their root. It waits for [Reader.CatchUp] to end.
func (p *DB) Position() (*scitt.Checkpoint, error) {
	p.work.Lock()
	defer p.work.Unlock()
	root, err := p.state.root()
	return &scitt.Checkpoint{Origin: p.state.Origin, Size: p.state.Next, Root: root}, err
}

// grown is the state after more entries. At the checkpoint's size its root must
// be that of the entries.
func (st State) grown(cp *scitt.Checkpoint, leaves iter.Seq[[]byte]) (State, error) {
	tree, err := treeRange.NewRange(0, st.Next, slices.Clone(st.Tree))
	if err != nil {
		return st, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for leaf := range leaves {
		if err := tree.Append(leaf, nil); err != nil {
			return st, err
		}
		st.Last = leaf
	}
	st.Origin, st.Tree, st.Next = cp.Origin, tree.Hashes(), tree.End()
	if st.Next < cp.Size {
		return st, nil
	}
	if root, err := st.root(); err != nil {
		return st, err
	} else if cp.Root != nil && !bytes.Equal(root, cp.Root) {
		return st, ErrOtherLog
	}
	st.Size, st.Root = cp.Size, cp.Root
	return st, nil
}

// store puts rows into the database in one transaction. A crash before the
// commit leaves the database as it was.
func (r *Reader[T]) store(ctx context.Context, cp *scitt.Checkpoint, batch []parsed[T]) error {
	rows := make([]T, len(batch))
	after, err := r.state.grown(cp, func(yield func([]byte) bool) {
		for i := range batch {
			if rows[i] = batch[i].row; !yield(batch[i].leaf) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	err = r.write(ctx, func(tx *sql.Tx) error {
		if err := r.Store(ctx, tx, rows, &after); err != nil {
			return err
		}
		data, err := json.Marshal(after)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE state SET data = ?", string(data))
		return err
	})
	if err != nil {
		return err
	}
	r.state = after
	r.next.Store(after.Next)
	if r.Stored != nil {
		r.Stored(rows)
	}
	return nil
}
