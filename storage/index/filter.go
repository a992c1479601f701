package index

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"

	"github.com/bits-and-blooms/bloom/v3"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/internal/projection"
)

// filter knows for most ids that they are not in the database, without
// asking it: nearly every registration looks for an id that is new.
//
// It is a row of Bloom filters, one for each million of entries, 1.2 MB each;
// a wrong "perhaps" (1 in 100) costs one question to the database.
type filter struct {
	ready atomic.Bool // every id of the database is in it

	mu   sync.RWMutex
	row  []*bloom.BloomFilter
	left int // that the last one has room for
}

const filterSize = 1 << 20

func (f *filter) add(rows []row) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range rows {
		if rows[i].id != (scitt.EntryID{}) {
			f.insert(rows[i].id)
		}
	}
}

func (f *filter) insert(id scitt.EntryID) {
	if f.left == 0 {
		f.row = append(f.row, bloom.NewWithEstimates(filterSize, 0.01))
		f.left = filterSize
	}
	f.row[len(f.row)-1].Add(id[:])
	f.left--
}

// absent says that the id is surely not in the database.
func (f *filter) absent(id scitt.EntryID) bool {
	if !f.ready.Load() {
		return false
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, b := range f.row {
		if b.Test(id[:]) {
			return false
		}
	}
	return true
}

// fillFilter reads what the database holds into the filter. What is stored
// meanwhile is added by the follower; an id may be in it twice.
func (x *Index) fillFilter(ctx context.Context) error {
	return x.Use(ctx, func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SELECT id FROM entry")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id []byte
			if err := rows.Scan(&id); err != nil {
				return err
			}
			if len(id) != len(scitt.EntryID{}) {
				return projection.ErrDamaged
			}
			x.filter.mu.Lock()
			x.filter.insert(scitt.EntryID(id))
			x.filter.mu.Unlock()
		}
		if err := rows.Err(); err != nil {
			return err
		}
		x.filter.ready.Store(true)
		return nil
	})
}
