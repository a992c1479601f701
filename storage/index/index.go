// Package index finds entries by their id. It maps the id of each entry to
// its place in the log, which also tells duplicates, and remembers where
// Registration Policies are.
//
// An id names content, and a log that its operator wrote may hold it with
// several signatures. The first entry whose signature verifies has the id, as
// docs/formats.md says. Only then are signatures verified: an id that is in the
// log once costs nothing.
//
// The index is disposable: it holds nothing that the log's tiles do not. When
// its file is missing, damaged, of another version or ahead of the log, it is
// made anew; meanwhile new statements are registered as before.
package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	_ "modernc.org/sqlite" // the driver of SQLite

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/internal/projection"
	"github.com/conmotion/conmotion/tiles"
)

const schema = `
CREATE TABLE entry (
	id   BLOB PRIMARY KEY,     -- SHA-256 of what was signed
	idx  INTEGER NOT NULL,     -- where the log has it first with a valid signature
	leaf INTEGER NOT NULL      -- first 8 bytes of its leaf hash, big-endian
) WITHOUT ROWID;
CREATE TABLE policy (
	idx INTEGER PRIMARY KEY    -- entries of the type of a Registration Policy
);
CREATE TABLE keys (
	idx INTEGER PRIMARY KEY    -- entries of the type of a keys statement
);
CREATE TABLE chain (
	issuer TEXT NOT NULL,
	name   TEXT NOT NULL,
	idx    INTEGER NOT NULL,   -- of its last entry
	id     BLOB NOT NULL,
	seq    INTEGER NOT NULL,   -- in the chain
	given  BLOB NOT NULL,      -- the handover with which the chain ends; empty while it goes on
	PRIMARY KEY (issuer, name)
) WITHOUT ROWID;
`

// Of the file: version 1 had other entry ids, version 2 another state, version 3 no keys, version 4 no handovers,
// version 5 no digest.
const (
	kind    = 0x636d6978 // "cmix"
	version = 6
)

// Verify verifies the issuer's signature of an entry. Its error wraps
// scitt.ErrUnknownKey when the key is not known; any other means that the
// entry has no id.
type Verify func(entry []byte) error

// Index is safe for concurrent use. While its file is checked or made anew,
// what only the file knows is answered with an error that wraps
// scitt.ErrUnavailable.
type Index struct {
	projection.Reader[row]
	verify Verify
	byID   *sql.Stmt // replaced with the database
	filter filter

	mu sync.RWMutex
	// Sequenced and not in the database yet.
	pending map[scitt.EntryID]tiles.Place
	heads   map[chainKey]scitt.Head
	log     Log // that is followed
}

// Open opens the index in a file, or makes an empty one. A file that is not a
// usable index is thrown away, and logger, which may be nil, is told why. Without
// verify the first entry with an id has it.
func Open(ctx context.Context, path string, verify Verify, logger *slog.Logger) (*Index, error) {
	x, err := open(ctx, path, projection.Options{Logger: logger})
	if err == nil {
		x.verify = verify
	}
	return x, err
}

func open(ctx context.Context, path string, o projection.Options) (*Index, error) {
	x := &Index{pending: map[scitt.EntryID]tiles.Place{}, heads: map[chainKey]scitt.Head{}}
	o.Name, o.Kind, o.Version, o.Schema, o.Cache, o.Readers, o.Opened, o.Digest = "index of entry ids", kind, version, schema, 6000, 4, x.opened, digestOf
	db, err := projection.Open(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	x.Reader = projection.Reader[row]{DB: db, Parse: parse, Store: x.store, Stored: x.stored}
	// Of a database that is made anew the filter is filled when that is complete.
	x.filter.ready.Store(db.Next() == 0 && !db.Rebuilding())
	return x, nil
}

// Adopt moves an index with this SHA-256 from one file to another where there is none,
// when check finds it good.
func Adopt(ctx context.Context, from, to string, sum []byte, check func(*Index) error) error {
	return projection.Adopt(ctx, from, to, sum, func(path string) error {
		x, err := open(ctx, path, projection.Options{Keep: true})
		if err != nil {
			return err
		}
		return errors.Join(check(x), x.Close())
	})
}

// Remove removes an index that nobody uses.
func Remove(path string) error { return projection.Remove(path) }

func (x *Index) opened(ctx context.Context, db *sql.DB) (err error) {
	x.byID, err = db.PrepareContext(ctx, "SELECT idx, leaf FROM entry WHERE id = ?")
	return err
}

// unavailable says what an error of the database means for the caller.
func unavailable(err error) error {
	if errors.Is(err, projection.ErrDamaged) || errors.Is(err, projection.ErrRebuilding) {
		return fmt.Errorf("index: %w: %w", scitt.ErrUnavailable, err)
	}
	return fmt.Errorf("index: %w", err)
}

// Lookup finds an entry that is sequenced: it need not be published yet.
func (x *Index) Lookup(ctx context.Context, id scitt.EntryID) (tiles.Place, bool, error) {
	x.mu.RLock()
	place, ok := x.pending[id]
	x.mu.RUnlock()
	if ok {
		return place, true, nil
	}
	if x.filter.absent(id) {
		return tiles.Place{}, false, nil
	}
	var idx, leaf int64
	err := x.Use(ctx, func(*sql.DB) error { return x.byID.QueryRowContext(ctx, id[:]).Scan(&idx, &leaf) })
	if errors.Is(err, sql.ErrNoRows) {
		return tiles.Place{}, false, nil
	}
	if err != nil {
		return tiles.Place{}, false, unavailable(err)
	}
	return tiles.Place{Index: uint64(idx), Leaf: uint64(leaf)}, true, nil
}

// remember makes a sequenced entry known before the follower has read it back.
func (x *Index) remember(id scitt.EntryID, index uint64, leafHash []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if old, ok := x.pending[id]; !ok || index < old.Index {
		x.pending[id] = tiles.NewPlace(index, leafHash)
	}
}

// Policies are the places of all statements of the type of a Registration
// Policy, in order.
func (x *Index) Policies(ctx context.Context) ([]uint64, error) { return x.places(ctx, tablePolicy) }

// Keys are the places of all statements of the type of a keys statement, in order.
func (x *Index) Keys(ctx context.Context) ([]uint64, error) { return x.places(ctx, tableKeys) }

func (x *Index) places(ctx context.Context, table string) ([]uint64, error) {
	var places []uint64
	err := x.Use(ctx, func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SELECT idx FROM "+table+" ORDER BY idx")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var idx int64
			if err := rows.Scan(&idx); err != nil {
				return err
			}
			places = append(places, uint64(idx))
		}
		return rows.Err()
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return places, nil
}
