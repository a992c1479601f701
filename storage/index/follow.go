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

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/internal/projection"
	"github.com/conmotion/conmotion/tiles"
)

const (
	pollInterval  = 50 * time.Millisecond
	rowsPerInsert = 64
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
	var group sync.WaitGroup
	defer group.Wait()
	filling := false
	f.x.Reader.Follow(ctx, pollInterval, func(ctx context.Context) (*scitt.Checkpoint, projection.Log, error) {
		if f.x.Fits() && f.x.Err() == nil && !filling && !f.x.filter.ready.Load() {
			filling = true
			// Without the filter lookups are slower, and right.
			group.Go(func() { _ = f.x.fillFilter(ctx) })
		}
		return f.x.latest(ctx, log)
	})
}

// latest is what a log holds now.
func (x *Index) latest(ctx context.Context, log Log) (*scitt.Checkpoint, projection.Log, error) {
	x.mu.Lock()
	x.log = log
	x.mu.Unlock()
	size, err := log.IntegratedSize(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("index: %w", err)
	}
	return &scitt.Checkpoint{Size: size}, projection.Bundles{BundleReader: log, Size: size}, nil
}

// CatchUp reads every entry that the log has and the index has not.
func (x *Index) CatchUp(ctx context.Context, log Log) error {
	cp, entries, err := x.latest(ctx, log)
	if err == nil {
		err = x.Reader.CatchUp(ctx, cp, entries)
	}
	return err
}

// Await waits until the index has read size entries of the log that it follows.
func (x *Index) Await(ctx context.Context, size uint64) error {
	for !x.Fits() || x.Rebuilding() || x.Next() < size {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), x.Err())
		case <-time.After(pollInterval / 10):
		}
	}
	return nil
}

// Sync waits until the index has read everything that is sequenced now.
func (x *Index) Sync(ctx context.Context) error {
	x.mu.RLock()
	log := x.log
	x.mu.RUnlock()
	if log == nil {
		return errors.New("index: it follows no log yet")
	}
	size, err := log.NextIndex(ctx)
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
	// NextIndex is where the log ends: entries before it are sequenced, and will be
	// there to be read.
	NextIndex(ctx context.Context) (uint64, error)
	projection.BundleReader
}

type row struct {
	id      scitt.EntryID // zero when the bytes are not an Entry
	place   tiles.Place
	special *special // nil for most
}

func parse(_ context.Context, e tiles.Entry, leafHash []byte) (row, error) {
	id, _ := scitt.EntryIDOf(e.Data)
	return row{id, tiles.NewPlace(e.Index, leafHash), specialOf(e.Data)}, nil
}

// store puts consecutive entries into the database.
func (x *Index) store(ctx context.Context, tx *sql.Tx, inOrder []row, after *projection.State) error {
	rows := slices.DeleteFunc(slices.Clone(inOrder), func(r row) bool { return r.id == scitt.EntryID{} })
	// In the order of the key, which keeps the pages of the tree together, and
	// of several entries with one id in the order of the log.
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.place.Index, b.place.Index))
	})
	d := digest(after.Digest)
	if err := x.insert(ctx, tx, rows, &d); err != nil {
		return err
	}
	if err := d.insertSpecial(ctx, tx, inOrder); err != nil {
		return err
	}
	after.Digest = uint64(d)
	return nil
}

// stored forgets what is now in the database.
func (x *Index) stored(rows []row) {
	x.filter.add(rows) // before the ids leave pending: a lookup finds them in one of the two
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forget(rows, x.Next())
}

func (x *Index) insert(ctx context.Context, tx *sql.Tx, rows []row, d *digest) error {
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
			d.entry(chunk[i].id, chunk[i].place)
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
			if err := x.collide(ctx, tx, r, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// collide decides which entry has the id of a row, when another one may have
// it: the first whose signature verifies. It verifies both now, since the one
// that is there was taken unverified when it was the only one.
func (x *Index) collide(ctx context.Context, tx *sql.Tx, r row, d *digest) error {
	var idx, leaf int64
	if err := tx.QueryRowContext(ctx, "SELECT idx, leaf FROM entry WHERE id = ?", r.id[:]).Scan(&idx, &leaf); err != nil {
		return err
	}
	if uint64(idx) == r.place.Index {
		return nil
	}
	there := tiles.Place{Index: uint64(idx), Leaf: uint64(leaf)}
	d.entry(r.id, r.place) // it was not inserted
	if there.Leaf != r.place.Leaf && x.verify != nil {
		first, err := x.valid(ctx, there.Index)
		if err != nil {
			return err
		}
		second, err := x.valid(ctx, r.place.Index)
		if err != nil {
			return err
		}
		if !first && second {
			d.entry(r.id, there)
			d.entry(r.id, r.place)
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
func (x *Index) valid(ctx context.Context, index uint64) (bool, error) {
	x.mu.RLock()
	log := x.log
	x.mu.RUnlock()
	_, entries, err := x.latest(ctx, log)
	if err != nil {
		return false, err
	}
	for e, err := range entries.Entries(ctx, index, index+1) {
		if err != nil {
			return false, err
		}
		err = x.verify(e.Data)
		return err == nil || errors.Is(err, scitt.ErrUnknownKey), nil
	}
	return false, fmt.Errorf("index: the log has no entry %d", index)
}

func insertStatement(n int) string {
	return "INSERT OR IGNORE INTO entry VALUES (?,?,?)" + strings.Repeat(",(?,?,?)", n-1)
}
