package search

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"

	"github.com/conmotion/conmotion/storage/artifact/reader"
)

const schema = `
CREATE TABLE IF NOT EXISTS state (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	data BLOB NOT NULL         -- sealed JSON: type state
);
CREATE TABLE IF NOT EXISTS row (
	n    INTEGER PRIMARY KEY,  -- of the entries from n*64
	data BLOB NOT NULL         -- rows.go
);
CREATE TABLE IF NOT EXISTS time (
	n    INTEGER PRIMARY KEY,  -- of the entries from n*4096
	data BLOB NOT NULL         -- rows.go
);
CREATE TABLE IF NOT EXISTS segment (
	id   INTEGER PRIMARY KEY,
	dir  BLOB NOT NULL         -- segment.go
);
CREATE TABLE IF NOT EXISTS block (
	id   INTEGER PRIMARY KEY,  -- segment << 24 + number in it
	data BLOB NOT NULL         -- block.go
);
CREATE TABLE IF NOT EXISTS garbage (
	id   INTEGER PRIMARY KEY   -- segments whose blocks are to be deleted
);
CREATE TABLE IF NOT EXISTS policy (
	idx  INTEGER PRIMARY KEY,  -- entries that are a Registration Policy
	id   BLOB NOT NULL         -- entry id
);
CREATE INDEX IF NOT EXISTS policy_id ON policy (id);
CREATE TABLE IF NOT EXISTS stat (
	kind    TEXT NOT NULL,
	key     TEXT NOT NULL,
	n       INTEGER NOT NULL,  -- up to the checkpoint of state
	pending INTEGER NOT NULL,  -- beyond it
	PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stat_n ON stat (kind, n);
CREATE INDEX IF NOT EXISTS stat_pending ON stat (pending) WHERE pending > 0;
PRAGMA user_version = 2;
`

// schemaVersion is user_version above: 1 had other entry ids.
const schemaVersion = 2

// state is where the index stands; it changes with each transaction of the
// indexer.
type state struct {
	Secret   []byte        `json:"secret"` // of the hashes of terms
	Origin   string        `json:"origin"`
	Size     uint64        `json:"size"` // of the checkpoint up to which the index answers
	Root     []byte        `json:"root"`
	Next     uint64        `json:"next"`   // the first entry that is not in the index
	Tree     [][]byte      `json:"tree"`   // compact range of the entries before next
	Policy   string        `json:"policy"` // entry id of the last policy before next
	Segments []segmentInfo `json:"segments"`
	Last     uint64        `json:"last"` // segment that was made
	Service  string        `json:"service,omitempty"`
}

// Options configure an Index. The zero value is good.
type Options struct {
	// Artifacts gives the content of hash envelopes; nil when there is none.
	Artifacts reader.Artifacts
	// Service is the URL of the log's Transparency Service; hits have the URL
	// of their Receipt from it. Without it the one that SetService left counts.
	Service string
	// MaxWork bounds what one query reads of the index, in bytes; DefaultMaxWork if zero.
	MaxWork int64
	// Keep has a file that is damaged, is no search index or is of another log
	// stay as it is: Open and CatchUp return the error where they else begin anew.
	Keep bool
	// ReadOnly opens an index that is there, which another process may write.
	// It implies Keep.
	ReadOnly bool
	Logger   *slog.Logger // nil for nothing
}

// DefaultMaxWork lets a query look at every number of one field in some
// millions of entries, which takes about a second.
const DefaultMaxWork = 128 << 20

// Index is safe for concurrent use.
type Index struct {
	Options
	path string

	// open is held for reading while the database is used, and for writing
	// while a damaged one is replaced.
	open sync.RWMutex
	db   *sql.DB
	dirs sync.Map // segment id (uint64) to its []key

	work    sync.Mutex // held by the one indexer
	state   state      // its own
	scratch []posting
	spare   sync.Pool // of *[]posting
	batch   int       // entries in one transaction
	step    uint64    // blocks in one transaction of a merge

	next    atomic.Uint64
	damaged atomic.Bool
	failed  atomic.Pointer[error]
}

// errReadOnly: CatchUp was called of an index that is opened for reading.
var errReadOnly = errors.New("search: the index is opened for reading only")

// Open opens the index in a file, or makes an empty one. A file that is no
// usable index is thrown away and built anew from the log; with Options.Keep
// the error wraps ErrDamaged instead.
func Open(ctx context.Context, path string, o Options) (*Index, error) {
	o.Keep = o.Keep || o.ReadOnly
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxWork == 0 {
		o.MaxWork = DefaultMaxWork
	}
	x := &Index{Options: o, path: path, batch: batchSize, step: blocksAStep}
	err := x.load(ctx)
	if errors.Is(err, ErrDamaged) && !o.Keep {
		o.Logger.Warn("the search index cannot be read; building it anew from the log", "path", path, "err", err)
		err = x.replace(ctx)
	}
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Close closes the file. The indexer must have stopped.
func (x *Index) Close() error {
	x.open.Lock()
	defer x.open.Unlock()
	return x.db.Close()
}

// Next is the number of entries that the index has read from the log. It
// answers up to the last published checkpoint that it has read completely.
func (x *Index) Next() uint64 { return x.next.Load() }

// Err is why the last [Index.CatchUp] failed, or nil.
func (x *Index) Err() error {
	if err := x.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// load opens the database and reads where it stands.
func (x *Index) load(ctx context.Context) (err error) {
	// Durability is the log's business: after a loss of power the index may
	// lack its last transactions, and follows the log again from where it is.
	pragmas := []string{"page_size(8192)", "journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(10000)",
		"cache_size(-8192)", "wal_autocheckpoint(2048)", "journal_size_limit(67108864)"}
	if x.ReadOnly {
		pragmas = []string{"query_only(1)", "busy_timeout(10000)", "cache_size(-8192)"}
	}
	if x.Keep {
		if err := x.isOurs(ctx); err != nil {
			return fmt.Errorf("search: %s: %w", x.path, damage(err))
		}
	}
	if x.db, err = openDB(x.path, pragmas...); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	readers := 2 + 2*runtime.GOMAXPROCS(0) // each with its cache
	x.db.SetMaxOpenConns(readers)
	x.db.SetMaxIdleConns(readers)
	defer func() {
		if err != nil {
			x.db.Close()
			err = fmt.Errorf("search: %s: %w", x.path, damage(err))
		}
	}()
	var version int
	if err := x.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version > schemaVersion:
		return fmt.Errorf("%w: it was made by a newer version (%d)", ErrDamaged, version)
	case version > 0 && version < schemaVersion:
		return fmt.Errorf("%w: it was made by an older version (%d), which had other entry ids", ErrDamaged, version)
	}
	if !x.ReadOnly {
		if _, err := x.db.ExecContext(ctx, schema); err != nil {
			return err
		}
	}
	x.state, err = readState(ctx, x.db)
	if errors.Is(err, sql.ErrNoRows) && x.ReadOnly {
		return fmt.Errorf("%w: it is empty", ErrDamaged)
	}
	if errors.Is(err, sql.ErrNoRows) {
		x.state = state{Secret: make([]byte, 16), Root: hasher.EmptyRoot()}
		_, _ = rand.Read(x.state.Secret) // it never fails
		err = writeState(ctx, x.db, &x.state)
	}
	if err != nil {
		return err
	}
	x.next.Store(x.state.Next)
	return nil
}

func openDB(path string, pragmas ...string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+url.Values{"_pragma": pragmas}.Encode())
}

// isOurs tells a file of somebody else, without a change to it. One that is
// not there, or empty, is fine when it may be written.
func (x *Index) isOurs(ctx context.Context) error {
	info, err := os.Stat(x.path)
	if !x.ReadOnly && (errors.Is(err, fs.ErrNotExist) || (err == nil && info.Size() == 0)) {
		return nil
	}
	if err != nil {
		return err
	}
	db, err := openDB(x.path, "query_only(1)", "busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	var tables, others int
	err = db.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE name NOT IN
		('state', 'row', 'time', 'segment', 'block', 'garbage', 'policy', 'stat')) FROM sqlite_master WHERE type = 'table'`).Scan(&tables, &others)
	if err == nil && (others > 0 || (tables == 0 && x.ReadOnly)) {
		err = fmt.Errorf("%w: it is not a search index", ErrDamaged)
	}
	return err
}

// replace throws the file away. A crash in between leaves no file or an empty
// database: both are an empty index.
func (x *Index) replace(ctx context.Context) error {
	x.open.Lock()
	defer x.open.Unlock()
	x.damaged.Store(true) // until it is done
	x.db.Close()          // of a damaged file there is nothing to save
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(x.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("search: %w", err)
		}
	}
	x.dirs.Clear()
	if err := x.load(ctx); err != nil {
		return err
	}
	x.damaged.Store(false)
	return nil
}

// note remembers that the file is damaged when an error says so.
func (x *Index) note(err error) error {
	if err = damage(err); errors.Is(err, ErrDamaged) {
		x.damaged.Store(true)
	}
	return err
}

// Codes of SQLite (https://sqlite.org/rescode.html) that say that a file is
// not what it should be: other tables, damaged pages, no database, too short.
// A file that is in use, or cannot be read or written, is not thrown away.
var damageCodes = []int{1, 11, 26, 522}

// damage recognises errors that say that the file is damaged.
func damage(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok && (slices.Contains(damageCodes, e.Code()) || slices.Contains(damageCodes[1:3], e.Code()&0xff)) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// querier is a database, or one transaction of it.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readState(ctx context.Context, db querier) (s state, err error) {
	var data []byte
	if err := db.QueryRowContext(ctx, "SELECT data FROM state").Scan(&data); err != nil {
		return s, err
	}
	if data, err = unseal(data); err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil || len(s.Secret) != 16 {
		return s, ErrDamaged
	}
	return s, nil
}

func writeState(ctx context.Context, db querier, s *state) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "INSERT OR REPLACE INTO state VALUES (1, ?)", seal(append(make([]byte, 4), data...)))
	return err
}

// blob reads the column data of one row by its key.
func blob(ctx context.Context, db querier, query string, key uint64) ([]byte, error) {
	var data []byte
	err := db.QueryRowContext(ctx, query, int64(key)).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrDamaged
	}
	return data, err
}
