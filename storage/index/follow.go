package index

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
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
// added again, and neither is another signature of its content. That one is
// not a duplicate, since a Receipt of the entry does not fit it: the error
// wraps scitt.ErrRegistered. The identity of a [tessera.Entry] is that of its
// bytes and cannot be set, so the id comes from the data.
func (x *Index) Decorator() func(tessera.AddFn) tessera.AddFn {
	return func(add tessera.AddFn) tessera.AddFn {
		return func(ctx context.Context, e *tessera.Entry) tessera.IndexFuture {
			id, named := scitt.EntryIDOf(e.Data())
			place, ok, err := x.Lookup(ctx, id)
			leaf := e.LeafHash() // before add: the entry is the log's from there on
			switch {
			case err != nil:
				return func() (tessera.Index, error) { return tessera.Index{}, err }
			case ok && place.Matches(leaf):
				return func() (tessera.Index, error) { return tessera.Index{Index: place.Index, IsDup: true}, nil }
			case ok:
				err := fmt.Errorf("%w: entry %d", scitt.ErrRegistered, place.Index)
				return func() (tessera.Index, error) { return tessera.Index{}, err }
			}
			future := add(ctx, e)
			return func() (tessera.Index, error) {
				index, err := future()
				if err == nil && named {
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
			if err := x.store(ctx, log, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return x.store(ctx, log, batch)
}

type row struct {
	id      scitt.EntryID // zero when the bytes are not an Entry
	place   tiles.Place
	special *special // nil for most
}

func readBundle(ctx context.Context, log Log, n, size uint64) ([]row, error) {
	entries, err := readEntries(ctx, log, n, size)
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(entries))
	for i, e := range entries {
		id, _ := scitt.EntryIDOf(e)
		rows[i] = row{id, tiles.NewPlace(n*tiles.Width+uint64(i), scitt.LeafHash(e)), specialOf(e)}
	}
	return rows, nil
}

func readEntries(ctx context.Context, log Log, n, size uint64) ([][]byte, error) {
	width := min(tiles.Width, size-n*tiles.Width)
	data, err := log.ReadEntryBundle(ctx, n, uint8(width)) // 256 becomes 0: a full bundle
	if err != nil {
		return nil, fmt.Errorf("index: bundle %d: %w", n, err)
	}
	entries, err := tiles.ParseBundle(data, int(width))
	if err != nil {
		return nil, fmt.Errorf("index: bundle %d: %w", n, err)
	}
	return entries, nil
}

// store puts consecutive entries into the database in one transaction. A
// crash before the commit leaves the index as it was.
func (x *Index) store(ctx context.Context, log Log, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	last := rows[len(rows)-1]
	inOrder := slices.Clone(rows)
	rows = slices.DeleteFunc(rows, func(r row) bool { return r.id == scitt.EntryID{} })
	// In the order of the key, which keeps the pages of the tree together, and
	// of several entries with one id in the order of the log.
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.place.Index, b.place.Index))
	})
	if err := x.insert(ctx, log, rows, inOrder); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	x.lastLeaf = last.place.Leaf
	x.next.Store(last.place.Index + 1)
	x.filter.add(rows) // before the ids leave pending: a lookup finds them in one of the two
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forget(inOrder, last.place.Index+1)
	return nil
}

func (x *Index) insert(ctx context.Context, log Log, rows, inOrder []row) error {
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
		var done sql.Result
		if len(chunk) == rowsPerInsert {
			done, err = full.ExecContext(ctx, args...)
		} else {
			done, err = tx.ExecContext(ctx, insertStatement(len(chunk)), args...)
		}
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil {
			return err
		} else if n == int64(len(chunk)) {
			continue
		}
		for _, r := range chunk {
			if err := x.collide(ctx, tx, log, r); err != nil {
				return err
			}
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

// collide decides which entry has the id of a row, when another one may have
// it: the first whose signature verifies. It verifies both now, since the one
// that is there was taken unverified when it was the only one.
func (x *Index) collide(ctx context.Context, tx *sql.Tx, log Log, r row) error {
	var idx, leaf int64
	if err := tx.QueryRowContext(ctx, "SELECT idx, leaf FROM entry WHERE id = ?", r.id[:]).Scan(&idx, &leaf); err != nil {
		return err
	}
	if uint64(idx) == r.place.Index {
		return nil
	}
	if uint64(leaf) != r.place.Leaf && x.verify != nil {
		first, err := x.valid(ctx, log, uint64(idx))
		if err != nil {
			return err
		}
		second, err := x.valid(ctx, log, r.place.Index)
		if err != nil {
			return err
		}
		if !first && second {
			_, err := tx.ExecContext(ctx, "UPDATE entry SET idx = ?, leaf = ? WHERE id = ?", int64(r.place.Index), int64(r.place.Leaf), r.id[:])
			return err
		}
	}
	if r.special != nil {
		*r.special = special{} // it counts once, at its first place
	}
	return nil
}

// valid verifies an entry's signature. One whose key is not known is as good
// as a valid one: the first with its id counts then.
func (x *Index) valid(ctx context.Context, log Log, index uint64) (bool, error) {
	size, err := log.IntegratedSize(ctx)
	if err != nil {
		return false, err
	}
	entries, err := readEntries(ctx, log, index/tiles.Width, size)
	if err != nil {
		return false, err
	}
	err = x.verify(entries[index%tiles.Width])
	return err == nil || errors.Is(err, scitt.ErrUnknownKey), nil
}

func insertStatement(n int) string {
	return "INSERT OR IGNORE INTO entry VALUES (?,?,?)" + strings.Repeat(",(?,?,?)", n-1)
}
