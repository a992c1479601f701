package index

import (
	"context"
	"database/sql"

	"github.com/conmotion/conmotion/storage/internal/projection"
)

// Filled reports whether every id of the database is in the filter.
func (x *Index) Filled() bool { return x.filter.ready.Load() }

// Digests are that of all rows as they are, and as it was kept while they were stored.
func (x *Index) Digests(ctx context.Context) (rows, kept uint64, err error) {
	err = x.Use(ctx, func(db *sql.DB) (err error) {
		rows, err = digestOf(ctx, db)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	err = x.Read(ctx, func(tx *sql.Tx) error {
		state, err := projection.ReadState(ctx, tx)
		kept = state.Digest
		return err
	})
	return rows, kept, err
}

// BeforeStored has f called when rows are in the database and what was remembered of them is still there.
func (x *Index) BeforeStored(f func()) {
	x.Stored = func(rows []row) {
		f()
		x.stored(rows)
	}
}
