// Package projection keeps SQLite databases that are made from the entries of
// a log and from nothing else: storage/index and storage/search.
//
// Such a database is disposable. One that is missing, damaged, of another
// version or of another log is thrown away and made anew from the log; until it
// is complete again its readers get [ErrRebuilding]. Durability is the log's
// business: after a loss of power the database may lack its last transactions,
// and follows the log again from where it is.
//
// Damage is found in two ways. While the database is used SQLite says that a
// page is malformed. While it is not used its file has a SHA-256 beside it,
// which [DB.Close] writes and the first use of the next process compares; after
// a crash there is none, and SQLite's own check of all pages takes its place, with
// the digest of the rows where a database has one.
//
// SQLite itself is the driver "sqlite" of database/sql, modernc.org/sqlite. It is not
// imported here, so that a program that only verifies the answers of a search is
// without it.
package projection

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"sync/atomic"

	"github.com/conmotion/conmotion/internal/durable"
)

var (
	// ErrDamaged says that the database cannot be used as it is: it is damaged,
	// of another version or not of this kind.
	ErrDamaged = errors.New("the index cannot be used")
	// ErrRebuilding says that the database is being checked or made anew.
	ErrRebuilding = errors.New("the index is being rebuilt")
	// ErrOtherLog says that the entries that were read do not lead to the root of
	// the checkpoint: the database is of another log, or a bundle is damaged. The
	// database has been emptied, unless [Options.Keep] forbids it.
	ErrOtherLog = errors.New("the entries do not lead to the checkpoint's root")
	// ErrOlder says that the log has fewer entries than were read, as a checkpoint
	// from a cache may have. The database is as it was.
	ErrOlder = errors.New("the checkpoint is older than the index")

	errShared   = errors.New("another process writes this index; open one for each")
	errReadOnly = errors.New("the index is opened for reading only")
	errClosed   = errors.New("the index is closed")
)

const schema = `
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE state (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	data TEXT NOT NULL  -- JSON: type State
);
INSERT INTO state VALUES (1, '{}');
%s
PRAGMA application_id = %d;
PRAGMA user_version = %d;
COMMIT;
`

// State is how far a database is. It changes with each transaction of the
// indexer.
type State struct {
	Origin string   `json:"origin"`
	Size   uint64   `json:"size"`             // of the checkpoint up to which the database is complete
	Root   []byte   `json:"root"`             // nil where the log was followed without checkpoints
	Next   uint64   `json:"next"`             // the first entry that was not read
	Tree   [][]byte `json:"tree"`             // compact range of the entries before next
	Last   []byte   `json:"last"`             // leaf hash of the entry before next
	Digest uint64   `json:"digest,omitempty"` // of the rows, when Options have one
}

// Options say what a database is.
type Options struct {
	Name    string // for people
	Kind    int32  // SQLite's application_id, which tells it from other files
	Version int    // of the schema; a file of another version is made anew
	Schema  string // of its own tables
	Cache   int    // KiB, of each connection
	Readers int    // connections
	// Opened is told of a database that was opened or made anew, before it is used.
	Opened func(context.Context, *sql.DB) error
	// Digest, when not nil, is that of all rows, which Store keeps in the state.
	Digest func(context.Context, *sql.DB) (uint64, error)
	// Keep leaves a file as it is that is damaged, of another kind or of another
	// log: the error is returned instead.
	Keep bool
	// ReadOnly opens a file that is there, which another process may write. It
	// implies Keep, and does not check the file first.
	ReadOnly bool
	// Busy reports whether something more important needs the processors: the
	// indexer then takes small steps with long rests.
	Busy   func() bool
	Logger *slog.Logger // nil for nothing
}

// DB is safe for concurrent use.
type DB struct {
	o    Options
	path string

	// open is held for reading while the database is used, and for writing
	// while a damaged one is replaced.
	open sync.RWMutex
	db   *sql.DB

	work   sync.Mutex // held by the one indexer
	state  State      // its own
	closed bool

	fits    atomic.Bool // the log was seen to have the last entry that was read
	next    atomic.Uint64
	checked atomic.Bool // the file was found to be whole
	damaged atomic.Bool
	behind  atomic.Bool // it was made anew and is not complete yet
	failed  atomic.Pointer[error]
}

// Open opens the database in a file, or makes an empty one.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	o.Keep = o.Keep || o.ReadOnly
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &DB{o: o, path: path}
	err := p.load(ctx)
	if errors.Is(err, ErrDamaged) && !o.Keep {
		err = p.replace(ctx, err)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Next is the number of entries that were read from the log.
func (p *DB) Next() uint64 { return p.next.Load() }

// Rebuilding reports whether the database was made anew and is not complete yet.
func (p *DB) Rebuilding() bool { return p.behind.Load() }

// Err is why the last attempt to follow the log failed, or nil.
func (p *DB) Err() error {
	if err := p.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Close closes the file, when the indexer has ended what it does. A crash leaves
// the database without its sum.
func (p *DB) Close() error {
	p.work.Lock()
	defer p.work.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.open.Lock()
	defer p.open.Unlock()
	whole := p.checked.Load() && !p.damaged.Load() && !p.o.ReadOnly
	if whole {
		// What another process reads stays in the write-ahead log, and there is no sum.
		var busy, logged, moved int
		err := p.db.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &logged, &moved)
		whole = err == nil && busy == 0
	}
	if err := p.db.Close(); err != nil || !whole {
		return err
	}
	sum, err := sumOf(context.Background(), p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody removed it, to have it made anew
	}
	if err != nil {
		return err
	}
	return durable.WriteFile(p.path+sumSuffix, sum, 0o600)
}

// load opens the database and reads where it stands. It changes nothing in one
// that is there. A crash while one is made leaves an empty file, which counts as
// none.
func (p *DB) load(ctx context.Context) (err error) {
	pragmas := []string{"busy_timeout(10000)", "synchronous(NORMAL)", "journal_size_limit(67108864)", fmt.Sprintf("cache_size(-%d)", p.o.Cache)}
	there, err := os.Stat(p.path)
	switch {
	case err == nil && !there.Mode().IsRegular(): // SQLite would only say that it cannot open it
		return fmt.Errorf("%s is there and no file", p.path)
	case err != nil && p.o.ReadOnly:
		return err
	}
	if p.o.ReadOnly {
		pragmas = append(pragmas, "query_only(1)")
	}
	address := "file:" + (&url.URL{Path: p.path}).EscapedPath() + "?" + url.Values{"_pragma": pragmas}.Encode()
	if p.db, err = sql.Open("sqlite", address); err != nil {
		return err
	}
	p.db.SetMaxOpenConns(p.o.Readers)
	p.db.SetMaxIdleConns(p.o.Readers)
	defer func() {
		if err != nil {
			p.db.Close()
			err = fmt.Errorf("%s: %w", p.path, damage(err))
		}
	}()
	isNew, err := p.identify(ctx)
	if err == nil && isNew {
		_, err = p.db.ExecContext(ctx, fmt.Sprintf(schema, p.o.Schema, p.o.Kind, p.o.Version))
	}
	if err != nil {
		return err
	}
	if p.state, err = ReadState(ctx, p.db); err != nil {
		return err
	}
	p.fits.Store(false)
	p.next.Store(p.state.Next)
	p.checked.Store(isNew || p.o.ReadOnly)
	if p.o.Opened == nil {
		return nil
	}
	return p.o.Opened(ctx, p.db)
}

// identify reports whether the database is empty, or refuses one that is of
// somebody else or of another version.
func (p *DB) identify(ctx context.Context) (isNew bool, err error) {
	var tables, kind, version int
	err = p.db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM sqlite_master), application_id, user_version FROM pragma_application_id, pragma_user_version").Scan(&tables, &kind, &version)
	age := "older"
	if version > p.o.Version {
		age = "newer"
	}
	switch {
	case err != nil:
		return false, err
	case tables == 0 && !p.o.ReadOnly:
		return true, nil
	case kind != int(p.o.Kind):
		return false, fmt.Errorf("%w: it is not a %s, or was made by an older version", ErrDamaged, p.o.Name)
	case version != p.o.Version:
		return false, fmt.Errorf("%w: it was made by an %s version (%d, and this is %d)", ErrDamaged, age, version, p.o.Version)
	}
	return false, nil
}

// replace throws the file away, for a reason. A crash in between leaves no file
// or an empty database. The caller holds work, or is the only one.
func (p *DB) replace(ctx context.Context, why error) error {
	p.o.Logger.WarnContext(ctx, "the index is made anew from the log", "path", p.path, "why", why)
	p.open.Lock()
	defer p.open.Unlock()
	p.damaged.Store(true) // until it is done
	p.db.Close()          // of a damaged file there is nothing to save
	if err := Remove(p.path); err != nil {
		return err
	}
	if err := p.load(ctx); err != nil {
		return err
	}
	p.behind.Store(true)
	p.damaged.Store(false)
	return nil
}

// Remove removes a database that nobody uses, with the files beside it. A crash
// in between leaves the database without its sum, or a write-ahead log without a
// database, which SQLite ignores.
func Remove(path string) error {
	for _, suffix := range []string{sumSuffix, "", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Read runs f in a transaction that sees one state of the database. Errors wrap
// ErrDamaged or ErrRebuilding, or are those of f.
func (p *DB) Read(ctx context.Context, f func(*sql.Tx) error) error {
	return p.Use(ctx, func(db *sql.DB) error {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer tx.Rollback() // nothing was written
		return f(tx)
	})
}

// Use is Read without a transaction, for a single query.
func (p *DB) Use(ctx context.Context, f func(*sql.DB) error) error {
	if err := p.ready(ctx); err != nil {
		return err
	}
	p.open.RLock()
	defer p.open.RUnlock()
	if p.damaged.Load() || p.behind.Load() { // another reader found it out meanwhile
		return ErrRebuilding
	}
	err := p.note(f(p.db))
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err) // SQLite calls it an interrupt
	}
	return err
}

// querier is a database, or one transaction of it.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// ReadState reads the state that a transaction, or the database, has.
func ReadState(ctx context.Context, db querier) (s State, err error) {
	var data []byte
	err = db.QueryRowContext(ctx, "SELECT data FROM state").Scan(&data)
	if errors.Is(err, sql.ErrNoRows) || err == nil && json.Unmarshal(data, &s) != nil {
		err = fmt.Errorf("%w: its state cannot be read", ErrDamaged)
	}
	return s, err
}

// usable makes a damaged database anew, if it may. The caller holds work.
func (p *DB) usable(ctx context.Context) error {
	switch {
	case p.o.ReadOnly:
		return errReadOnly
	case p.closed:
		return errClosed
	}
	err := ErrDamaged
	if !p.damaged.Load() {
		err = p.check(ctx)
	}
	if errors.Is(err, ErrDamaged) && !p.o.Keep {
		return p.replace(ctx, err)
	}
	return err
}

// Write runs f in a transaction of the indexer. It fails when another process
// writes the database too.
func (p *DB) Write(ctx context.Context, f func(*sql.Tx) error) error {
	p.work.Lock()
	defer p.work.Unlock()
	if err := p.usable(ctx); err != nil {
		return err
	}
	return p.note(p.write(ctx, f))
}

func (p *DB) write(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit this does nothing
	st, err := ReadState(ctx, tx)
	if err != nil {
		return err
	}
	if st.Next != p.state.Next {
		return errShared
	}
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
