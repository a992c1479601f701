package index

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

const (
	pollInterval  = 50 * time.Millisecond
	retryInterval = time.Second
	rowsPerInsert = 64
	bundlesAtOnce = 16 // in one transaction, when there is much to catch up with
)

// Decorator implements [tessera.Antispam]: an entry that the log has is not
// added again.
func (x *Index) Decorator() func(tessera.AddFn) tessera.AddFn {
	return func(add tessera.AddFn) tessera.AddFn {
		return func(ctx context.Context, e *tessera.Entry) tessera.IndexFuture {
			id := scitt.EntryID(e.Identity())
			place, ok, err := x.Lookup(ctx, id)
			if err != nil {
				return func() (tessera.Index, error) { return tessera.Index{}, err }
			}
			if ok {
				return func() (tessera.Index, error) { return tessera.Index{Index: place.Index, IsDup: true}, nil }
			}
			leaf := e.LeafHash() // the entry is the log's from here on
			future := add(ctx, e)
			return func() (tessera.Index, error) {
				index, err := future()
				if err == nil {
					x.remember(id, index.Index, leaf)
				}
				return index, err
			}
		}
	}
}

// Follower implements [tessera.Antispam]: it reads the log into the index.
func (x *Index) Follower(func([]byte) ([][]byte, error)) tessera.Follower { return follower{x} }

type follower struct{ x *Index }

// Name names the follower in Tessera's metrics.
func (follower) Name() string { return "index" }

// EntriesProcessed is the number of entries in the index.
func (f follower) EntriesProcessed(context.Context) (uint64, error) { return f.x.Next(), nil }

// Follow reads new entries until the context ends. A failure is kept for
// [Index.Err] and tried again.
func (f follower) Follow(ctx context.Context, log tessera.LogReader) {
	f.x.mu.Lock()
	f.x.log = log
	f.x.mu.Unlock()
	var group sync.WaitGroup
	defer group.Wait()
	step := f.x.fitsLog
	for wait := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := step(ctx, log); err != nil {
			f.x.failed.Store(&err)
			wait = retryInterval
			continue
		}
		f.x.failed.Store(nil)
		if f.x.fits.CompareAndSwap(false, true) && !f.x.filter.ready.Load() {
			group.Go(func() {
				// Without the filter lookups are slower, and right.
				_ = f.x.fillFilter(ctx)
			})
		}
		step, wait = f.x.CatchUp, pollInterval
	}
}

// Await waits until the index has read size entries of the log that it follows.
func (x *Index) Await(ctx context.Context, size uint64) error {
	for !x.fits.Load() || x.Next() < size {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), x.Err())
		case <-time.After(pollInterval / 10):
		}
	}
	return nil
}

// Sync waits until the index has read everything that the log holds now.
func (x *Index) Sync(ctx context.Context) error {
	x.mu.RLock()
	log := x.log
	x.mu.RUnlock()
	if log == nil {
		return errors.New("index: it follows no log yet")
	}
	size, err := log.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return x.Await(ctx, size)
}

// Log is what the index reads: Tessera's LogReader, or any other way to the
// entry bundles of a log.
type Log interface {
	// IntegratedSize is the number of entries that can be read.
	IntegratedSize(ctx context.Context) (uint64, error)
	// ReadEntryBundle reads a bundle; p is its width, 0 for a full one.
	ReadEntryBundle(ctx context.Context, index uint64, p uint8) ([]byte, error)
}

// fitsLog empties an index that is not of this log: it knows more entries
// than there are, or another last one.
func (x *Index) fitsLog(ctx context.Context, log Log) error {
	next := x.Next()
	if next == 0 {
		return nil
	}
	size, err := log.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if next <= size {
		rows, err := readBundle(ctx, log, (next-1)/tiles.Width, size)
		if err != nil {
			return err
		}
		if rows[(next-1)%tiles.Width].place.Leaf == x.lastLeaf {
			return nil
		}
	}
	if _, err := x.db.ExecContext(ctx, "DELETE FROM entry; DELETE FROM policy; DELETE FROM chain; UPDATE state SET next = 0, leaf = 0"); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	x.next.Store(0)
	x.lastLeaf = 0
	return nil
}

// CatchUp reads every entry that the log has and the index has not.
func (x *Index) CatchUp(ctx context.Context, log Log) error {
	size, err := log.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	from := x.Next()
	if from >= size {
		return nil
	}
	read := func(ctx context.Context, n uint64) ([]row, error) { return readBundle(ctx, log, n, size) }
	var batch []row
	for n, bundle := range parallel.Ordered(ctx, from/tiles.Width, (size-1)/tiles.Width+1, parallel.CPUs(), read) {
		if bundle.Err != nil {
			return bundle.Err
		}
		rows := bundle.Value
		if n == from/tiles.Width {
			rows = rows[from%tiles.Width:]
		}
		batch = append(batch, rows...)
		if len(batch) >= bundlesAtOnce*tiles.Width {
			if err := x.store(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return x.store(ctx, batch)
}

type row struct {
	id      scitt.EntryID
	place   tiles.Place
	special *special // nil for most
}

func readBundle(ctx context.Context, log Log, n, size uint64) ([]row, error) {
	width := min(tiles.Width, size-n*tiles.Width)
	data, err := log.ReadEntryBundle(ctx, n, uint8(width)) // 256 becomes 0: a full bundle
	if err != nil {
		return nil, fmt.Errorf("index: bundle %d: %w", n, err)
	}
	entries, err := tiles.ParseBundle(data, int(width))
	if err != nil {
		return nil, fmt.Errorf("index: bundle %d: %w", n, err)
	}
	rows := make([]row, len(entries))
	for i, e := range entries {
		rows[i] = row{scitt.NewEntryID(e), tiles.NewPlace(n*tiles.Width+uint64(i), scitt.LeafHash(e)), specialOf(e)}
	}
	return rows, nil
}

// store puts consecutive entries into the database in one transaction. A
// crash before the commit leaves the index as it was.
func (x *Index) store(ctx context.Context, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	last := rows[len(rows)-1]
	inOrder := slices.Clone(rows)
	// In the order of the key, which keeps the pages of the tree together.
	// The first of several equal entries is the one that counts.
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.place.Index, b.place.Index))
	})
	if err := x.insert(ctx, rows, inOrder); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	x.lastLeaf = last.place.Leaf
	x.next.Store(last.place.Index + 1)
	x.filter.add(rows) // before the ids leave pending: a lookup finds them in one of the two
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forget(rows, last.place.Index+1)
	return nil
}

func (x *Index) insert(ctx context.Context, rows, inOrder []row) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit this does nothing
	full, err := tx.PrepareContext(ctx, insertStatement(rowsPerInsert))
	if err != nil {
		return err
	}
	defer full.Close()
	args := make([]any, 0, 3*rowsPerInsert)
	for chunk := range slices.Chunk(rows, rowsPerInsert) {
		args = args[:0]
		for i := range chunk {
			args = append(args, chunk[i].id[:], int64(chunk[i].place.Index), int64(chunk[i].place.Leaf))
		}
		if len(chunk) == rowsPerInsert {
			_, err = full.ExecContext(ctx, args...)
		} else {
			_, err = tx.ExecContext(ctx, insertStatement(len(chunk)), args...)
		}
		if err != nil {
			return err
		}
	}
	if err := insertSpecial(ctx, tx, inOrder); err != nil {
		return err
	}
	last := inOrder[len(inOrder)-1]
	if _, err := tx.ExecContext(ctx, "UPDATE state SET next = ?, leaf = ?", int64(last.place.Index+1), int64(last.place.Leaf)); err != nil {
		return err
	}
	return tx.Commit()
}

func insertStatement(n int) string {
	return "INSERT OR IGNORE INTO entry VALUES (?,?,?)" + strings.Repeat(",(?,?,?)", n-1)
}
