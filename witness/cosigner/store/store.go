// Package store keeps what a witness remembers of its logs, in an SQLite database
// with a guard: a file that says how often the database was changed, so that a
// database that was put back from a backup is not used.
//
// The caller links the driver of SQLite, modernc.org/sqlite.
package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// ErrRolledBack says that the database is older than what was done with the keys.
// Whoever goes on with it may cosign what contradicts an earlier cosignature.
var ErrRolledBack = errors.New("the database is older than its guard: it was restored from a backup, or lost. " +
	"These keys must not sign again: make new ones, under a new name (docs/witness.md)")

var errDamaged = errors.New("the database is damaged. Without it these keys must not sign again: make new ones, under a new name (docs/witness.md)")

const (
	applicationID = 0x636d7763 // "cmwc"
	schemaVersion = 1
	// maxBatch is how many changes become durable together.
	maxBatch = 256
)

const schema = `
PRAGMA application_id = %d;
PRAGMA user_version = %d;
CREATE TABLE checkpoints (
	origin    TEXT PRIMARY KEY,
	size      INTEGER NOT NULL, -- of 64 bits, as a signed number of the same bits
	root      BLOB NOT NULL,
	at        INTEGER NOT NULL,
	body      BLOB NOT NULL,
	log_lines BLOB NOT NULL,
	lines     BLOB NOT NULL
);
CREATE TABLE witness (
	id         INTEGER PRIMARY KEY CHECK (id = 1),
	generation INTEGER NOT NULL, -- how many transactions there were
	halted     TEXT NOT NULL     -- why nothing may be signed any more
);
INSERT INTO witness VALUES (1, 0, '');
`

// Store is a [cosigner.Store].
type Store struct {
	path   string
	lock   *os.File
	guard  *os.File
	swaps  chan *swap
	ended  chan struct{}
	closed sync.Once
	halted atomic.Pointer[string]
	failed atomic.Pointer[error]

	trying sync.Mutex
	tried  time.Time // when Ready tried the disk
	disk   error     // and what it said

	// db is nil while the database cannot be used. Only the writer replaces it.
	mu sync.RWMutex
	db *sql.DB
	// generation is that of the database, which only the writer reads.
	generation uint64
}

// swap is a change that waits to be stored.
type swap struct {
	origin    string
	old, next cosigner.State
	halt      string
	done      chan error
}

// Open opens the database path, and makes it when isNew, which says that the keys
// never signed anything. It must not be there then, and must be there otherwise:
// errors wrap ErrRolledBack. The guard belongs where the keys are: whoever restores
// both has to restore what is newer. A crash while they are made leaves a database
// and a guard without keys, which the next start makes anew.
func Open(ctx context.Context, path, guard string, isNew bool) (_ *Store, err error) {
	s := &Store{path: path, swaps: make(chan *swap, maxBatch), ended: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", path, err), s.release())
		}
	}()
	var readOnly error
	if s.lock, readOnly, err = durable.Hold(path + ".lock"); err != nil || readOnly != nil {
		return nil, errors.Join(err, readOnly)
	}
	if err := durable.Clean(filepath.Dir(path), leftoverAge); err != nil {
		return nil, err
	}
	if isNew {
		if used, err := durable.ReadFile(guard); err == nil && string(used) != string(make([]byte, len(used))) {
			return nil, errors.New("there are no keys, and the guard says that some have signed already: where are they?")
		}
		for _, file := range []string{path, path + "-wal", path + "-shm", guard} {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	} else if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrRolledBack
	}
	if err := s.openGuard(guard, isNew); err != nil {
		return nil, err
	}
	if err := s.open(ctx, isNew); err != nil {
		return nil, err
	}
	go s.write()
	return s, nil
}

// openGuard opens the guard, which says 0 when it is new.
func (s *Store) openGuard(path string, isNew bool) (err error) {
	flags := os.O_RDWR
	if isNew {
		flags |= os.O_CREATE | os.O_EXCL
	}
	if s.guard, err = os.OpenFile(path, flags, 0o600); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the guard %s is not there: %w", path, ErrRolledBack)
	} else if err != nil || !isNew {
		return err
	}
	if err := s.writeGuard(0); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// writeGuard says which generation is durable. The file keeps its length, so that
// a full disk does not matter; a write of eight bytes in one block is whole or
// not there.
func (s *Store) writeGuard(generation uint64) error {
	if _, err := s.guard.WriteAt(binary.BigEndian.AppendUint64(nil, generation), 0); err != nil {
		return err
	}
	return s.guard.Sync()
}

func (s *Store) readGuard() (uint64, error) {
	var b [8]byte
	if _, err := s.guard.ReadAt(b[:], 0); err != nil {
		return 0, fmt.Errorf("the guard cannot be read, and without it the database cannot be trusted: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

// open opens the database and has all that it holds on the disk. The write-ahead
// log is copied and emptied first: of one whose last sync failed the disk may not
// have what memory shows.
func (s *Store) open(ctx context.Context, isNew bool) (err error) {
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "fullfsync(1)", "checkpoint_fullfsync(1)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: s.path}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if isNew {
		if _, err := db.ExecContext(ctx, fmt.Sprintf(schema, applicationID, schemaVersion)); err != nil {
			return err
		}
	}
	var application, version, busy, logged, moved int
	if err := db.QueryRowContext(ctx, "SELECT application_id, user_version FROM pragma_application_id, pragma_user_version").Scan(&application, &version); err != nil {
		return err
	}
	if application != applicationID || version != schemaVersion {
		return fmt.Errorf("it is not the database of a witness, or was made by another version (%d, and this is %d)", version, schemaVersion)
	}
	if err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &logged, &moved); err != nil || busy != 0 {
		return fmt.Errorf("the write-ahead log cannot be emptied: busy %d, %w", busy, err)
	}
	// A page that is damaged may hide a row, and the witness would sign another history.
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, found)
	}
	var halted string
	if err := db.QueryRowContext(ctx, "SELECT generation, halted FROM witness").Scan(&s.generation, &halted); err != nil {
		return err
	}
	guarded, err := s.readGuard()
	switch {
	case err != nil:
		return err
	case guarded > s.generation:
		return fmt.Errorf("generation %d, and the guard has seen %d: %w", s.generation, guarded, ErrRolledBack)
	case guarded < s.generation: // a crash between the two
		if err := s.writeGuard(s.generation); err != nil {
			return err
		}
	}
	s.halted.Store(&halted)
	s.failed.Store(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db = db
	return durable.SyncDir(filepath.Dir(s.path))
}

// errUnusable is wrapped while the database cannot be used.
var errUnusable = errors.New("the database of the witness cannot be used")

// Load implements [cosigner.Store].
func (s *Store) Load(ctx context.Context, origin string) (state cosigner.State, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return state, errUnusable
	}
	var size int64
	err = s.db.QueryRowContext(ctx, "SELECT size, root, at, body, log_lines, lines FROM checkpoints WHERE origin = ?", origin).
		Scan(&size, &state.Root, &state.At, &state.Text, &state.LogLines, &state.Lines)
	if errors.Is(err, sql.ErrNoRows) {
		return cosigner.State{}, nil
	}
	state.Size = uint64(size)
	return state, err
}

// Swap implements [cosigner.Store].
func (s *Store) Swap(_ context.Context, origin string, old, next cosigner.State) error {
	return s.send(&swap{origin: origin, old: old, next: next})
}

// Halt implements [cosigner.Store]. From here on it counts, even if it cannot be stored.
func (s *Store) Halt(_ context.Context, why string) error {
	s.halted.Store(&why)
	return s.send(&swap{halt: why})
}

// Halted implements [cosigner.Store].
func (s *Store) Halted() string { return *s.halted.Load() }

// send waits until a change is stored, as long as it takes: nobody knows before.
func (s *Store) send(w *swap) error {
	w.done = make(chan error, 1)
	select {
	case s.swaps <- w:
	case <-s.ended:
		return errUnusable
	}
	select {
	case err := <-w.done:
		return err
	case <-s.ended:
		select {
		case err := <-w.done:
			return err
		default:
			return errUnusable
		}
	}
}

// Ready reports why nothing can be stored, or nil. Whether the disk takes anything it
// tries, at most once a second.
func (s *Store) Ready() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	s.trying.Lock()
	defer s.trying.Unlock()
	if now := time.Now(); now.Sub(s.tried) >= retryInterval {
		s.tried, s.disk = now, durable.Try(filepath.Dir(s.path))
	}
	if s.disk != nil {
		return fmt.Errorf("%w: %w", errUnusable, s.disk)
	}
	return nil
}

// Close stores what waits and closes the database.
func (s *Store) Close() (err error) {
	s.closed.Do(func() {
		s.swaps <- nil
		<-s.ended
		err = s.release()
	})
	return err
}

func (s *Store) release() error {
	var errs []error
	s.mu.Lock()
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	s.db = nil
	s.mu.Unlock()
	for _, f := range []*os.File{s.guard, s.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// leftoverAge is how old a temporary file is of which no writer is at work any more.
const leftoverAge = time.Hour

// retryInterval is how long a database that failed is left alone.
const retryInterval = time.Second
