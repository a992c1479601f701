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
// its file is missing, damaged, of an older version or ahead of the log, it is
// built anew.
package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"
	"sync/atomic"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

const schema = `
CREATE TABLE IF NOT EXISTS entry (
	id   BLOB PRIMARY KEY,     -- SHA-256 of what was signed
	idx  INTEGER NOT NULL,     -- where the log has it first with a valid signature
	leaf INTEGER NOT NULL      -- first 8 bytes of its leaf hash, big-endian
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS policy (
	idx INTEGER PRIMARY KEY    -- entries of the type of a Registration Policy
);
CREATE TABLE IF NOT EXISTS chain (
	issuer TEXT NOT NULL,
	name   TEXT NOT NULL,
	idx    INTEGER NOT NULL,   -- of its last entry
	id     BLOB NOT NULL,
	seq    INTEGER NOT NULL,   -- in the chain
	PRIMARY KEY (issuer, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	next INTEGER NOT NULL,     -- the first entry that is not in the index
	leaf INTEGER NOT NULL      -- of the entry before it
);
INSERT OR IGNORE INTO state VALUES (1, 0, 0);
PRAGMA user_version = 2;
`

// version is that of the schema. In version 1 an id was SHA-256 of the entry.
const version = 2

// Verify verifies the issuer's signature of an entry. Its error wraps
// scitt.ErrUnknownKey when the key is not known; any other means that the
// entry has no id.
type Verify func(entry []byte) error

// Index is safe for concurrent use.
type Index struct {
	db       *sql.DB
	verify   Verify
	byID     *sql.Stmt
	next     atomic.Uint64 // entries in the database
	lastLeaf uint64        // only the follower reads and writes it

	filter filter

	mu sync.RWMutex
	// Sequenced and not in the database yet.
	pending map[scitt.EntryID]tiles.Place
	heads   map[chainKey]tiles.Head
	log     Log // that is followed

	fits   atomic.Bool           // the database is known to be of this log
	failed atomic.Pointer[error] // why the follower does not get on
}

// Open opens the index in a file, or makes an empty one. A file that is not a
// usable index is thrown away, and rebuilt is the reason. Without verify the
// first entry with an id has it.
func Open(ctx context.Context, path string, verify Verify) (x *Index, rebuilt, err error) {
	x, err = open(ctx, path, verify)
	if err == nil {
		return x, nil, nil
	}
	rebuilt = err
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if rerr := os.Remove(path + suffix); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("index: %w", errors.Join(err, rerr))
		}
	}
	x, err = open(ctx, path, verify)
	return x, rebuilt, err
}

func open(ctx context.Context, path string, verify Verify) (*Index, error) {
	// Durability is the log's business: after a crash the index may lack its
	// last transactions, and follows the log again from where it is.
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(10000)", "cache_size(-6000)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	x := &Index{db: db, verify: verify, pending: map[scitt.EntryID]tiles.Place{}, heads: map[chainKey]tiles.Head{}}
	if err := x.load(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("index %s: %w", path, err)
	}
	return x, nil
}

func (x *Index) load(ctx context.Context) error {
	var found int
	if err := x.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&found); err != nil {
		return err
	}
	switch {
	case found > version:
		return fmt.Errorf("made by a newer version (%d, and this is %d)", found, version)
	case found != 0 && found < version:
		return fmt.Errorf("made by an older version (%d, and this is %d), in which entry ids were others", found, version)
	}
	if _, err := x.db.ExecContext(ctx, schema); err != nil {
		return err
	}
	var next, leaf int64
	if err := x.db.QueryRowContext(ctx, "SELECT next, leaf FROM state").Scan(&next, &leaf); err != nil {
		return err
	}
	x.next.Store(uint64(next))
	x.lastLeaf = uint64(leaf)
	x.filter.ready.Store(next == 0)
	var err error
	x.byID, err = x.db.PrepareContext(ctx, "SELECT idx, leaf FROM entry WHERE id = ?")
	return err
}

// Close closes the file.
func (x *Index) Close() error {
	return errors.Join(x.byID.Close(), x.db.Close())
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
	err := x.byID.QueryRowContext(ctx, id[:]).Scan(&idx, &leaf)
	if errors.Is(err, sql.ErrNoRows) {
		return tiles.Place{}, false, nil
	}
	if err != nil {
		return tiles.Place{}, false, fmt.Errorf("index: %w", err)
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

// Next is the number of entries that the index has read from the log.
func (x *Index) Next() uint64 { return x.next.Load() }

// Err is why the index does not get on, or nil.
func (x *Index) Err() error {
	if err := x.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Policies are the places of all statements of the type of a Registration
// Policy, in order.
func (x *Index) Policies(ctx context.Context) ([]uint64, error) {
	rows, err := x.db.QueryContext(ctx, "SELECT idx FROM policy ORDER BY idx")
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	defer rows.Close()
	var places []uint64
	for rows.Next() {
		var idx int64
		if err := rows.Scan(&idx); err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		places = append(places, uint64(idx))
	}
	return places, rows.Err()
}
