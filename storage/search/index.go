package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/storage/internal/projection"
	"github.com/conmotion/conmotion/tiles"
)

const schema = `
CREATE TABLE setting (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO setting VALUES ('secret', randomblob(16)); -- of the hashes of terms
CREATE VIRTUAL TABLE term USING fts5 (                 -- term.go; the rowid is the entry's index
	text, content = '', detail = none, columnsize = 0, tokenize = "ascii tokenchars '='"
);
INSERT INTO term (term, rank) VALUES                  -- what is sorted stays in a processor's cache, and is merged once in a million entries
	('hashsize', 1048576), ('automerge', 64), ('crisismerge', 64);
CREATE TABLE number (
	path  INTEGER NOT NULL, -- number.go
	block INTEGER NOT NULL,
	low   REAL NOT NULL,
	high  REAL NOT NULL,
	data  BLOB NOT NULL
);
CREATE UNIQUE INDEX number_path ON number (path, block);
CREATE TABLE hit (
	idx      INTEGER PRIMARY KEY,
	id       BLOB NOT NULL,    -- entry id; empty where the bytes have none
	common   INTEGER NOT NULL,
	subject  TEXT NOT NULL,
	iat      INTEGER NOT NULL,
	time     INTEGER,          -- milliseconds
	seq      INTEGER,          -- in the chain
	artifact BLOB
);
CREATE TABLE common (          -- what many hits have in common
	id  INTEGER PRIMARY KEY,
	hit TEXT NOT NULL UNIQUE   -- JSON of a Hit without the columns above
);
CREATE TABLE policy (
	idx INTEGER PRIMARY KEY,   -- entries that are a Registration Policy
	id  TEXT NOT NULL          -- entry id, hexadecimal
);
CREATE TABLE stat (
	kind    TEXT NOT NULL,
	key     TEXT NOT NULL,
	n       INTEGER NOT NULL,  -- up to the checkpoint of state
	pending INTEGER NOT NULL,  -- beyond it
	PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX stat_n ON stat (kind, n);
CREATE INDEX stat_pending ON stat (pending) WHERE pending > 0;
`

// Of the file: version 1 had other entry ids, version 2 an inverted index of its own.
const (
	fileKind    = 0x636d7366 // "cmsf"
	fileVersion = 3
)

// Errors of an index.
var (
	// ErrDamaged says that a file is damaged, of another version or no search index.
	ErrDamaged = projection.ErrDamaged
	// ErrOtherLog says that the entries that were read do not lead to the root of
	// the checkpoint: the index is of another log, or a bundle is damaged. The
	// index has been emptied, unless [Options] say to keep it.
	ErrOtherLog = projection.ErrOtherLog
	// ErrOlder says that the checkpoint is older than what the index has read, as
	// one from a cache may be. The index is as it was.
	ErrOlder = projection.ErrOlder
)

// Log gives the entries of a log in order; [*tiles.View] does. Nothing depends
// on which it is: the index believes entries when they lead to the root of the
// checkpoint.
type Log = projection.Log

// Options configure an Index. The zero value is good.
type Options struct {
	// Artifacts gives the content of hash envelopes; nil when there is none.
	Artifacts reader.Artifacts
	// Service is the URL of the log's Transparency Service; hits have the URL
	// of their Receipt from it. Without it the one that SetService left counts.
	Service string
	// maxWork bounds what one query reads of the index, in bytes; defaultMaxWork if zero.
	maxWork int64
	// Keep leaves a file as it is that is damaged, is no search index or is of
	// another log: Open and CatchUp return the error instead of making it anew.
	Keep bool
	// ReadOnly opens an index that is there, which another process may write.
	// It implies Keep.
	ReadOnly bool
	// Busy, when not nil, reports whether registrations need the processors: the
	// index then reads the log in small steps with long rests.
	Busy   func() bool
	Logger *slog.Logger // nil for nothing
}

// defaultMaxWork lets a query look at every number of one field in some
// millions of entries, which takes about a second.
const defaultMaxWork = 128 << 20

// Index is safe for concurrent use.
type Index struct {
	projection.Reader[*document]
	Options
	secret []byte // of the database

	// Only the indexer uses these.
	commons    map[string]int64 // numbers of what hits have in common
	storedNext uint64           // first entry after the last transaction
}

// Open opens the index in a file, or makes an empty one. A file that is no
// usable index is thrown away and made anew from the log; with Options.Keep
// the error wraps ErrDamaged instead. The program must import the driver of SQLite,
// modernc.org/sqlite; to verify answers it need not.
func Open(ctx context.Context, path string, o Options) (*Index, error) {
	if o.maxWork == 0 {
		o.maxWork = defaultMaxWork
	}
	x := &Index{Options: o}
	db, err := projection.Open(ctx, path, projection.Options{
		Name: "search index", Kind: fileKind, Version: fileVersion, Schema: schema, Cache: 8192, Readers: 2 + 2*runtime.GOMAXPROCS(0),
		Keep: o.Keep, ReadOnly: o.ReadOnly, Busy: o.Busy, Opened: x.opened, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	x.Reader = projection.Reader[*document]{DB: db, Parse: x.parse, Store: x.store}
	return x, nil
}

func (x *Index) opened(ctx context.Context, db *sql.DB) error {
	x.commons = map[string]int64{}
	err := db.QueryRowContext(ctx, "SELECT value FROM setting WHERE name = 'secret'").Scan(&x.secret)
	if errors.Is(err, sql.ErrNoRows) || err == nil && len(x.secret) != 16 {
		err = ErrDamaged
	}
	return err
}

// Remove removes an index that nobody uses. A crash in between leaves no file, or
// one that is as good as before.
func Remove(path string) error { return projection.Remove(path) }

// Extends proves that the log in view extends what the index has read, before
// anything of it is indexed. Errors wrap ErrOtherLog when the log has another
// name, ErrOlder when the view is of an older state, [scitt.ErrProof] when the
// log has another history than the one that was read, or are those of the log.
func (x *Index) Extends(ctx context.Context, view *tiles.View) error {
	at, err := x.Position()
	if err != nil || at.Size == 0 {
		return err
	}
	cp := view.Checkpoint
	switch {
	case cp.Origin != at.Origin:
		return fmt.Errorf("%w: the index is of the log %q, and this one is %q", ErrOtherLog, at.Origin, cp.Origin)
	case cp.Size < at.Size:
		return fmt.Errorf("%w: it is of %d entries, and %d are read", ErrOlder, cp.Size, at.Size)
	}
	err = view.Consistency(ctx, at)
	if errors.Is(err, scitt.ErrProof) {
		return fmt.Errorf("the log has another history than the one that was indexed: %w", err)
	}
	return err
}

// SetService keeps Options.Service in the index, as the default for later
// opens. A crash leaves the old one or the new one.
func (x *Index) SetService(ctx context.Context, service string) error {
	return x.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO setting VALUES ('service', ?) ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value", service)
		return err
	})
}
