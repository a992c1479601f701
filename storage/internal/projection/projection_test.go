package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver of SQLite

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// numbers is a log of entries that are their own index.
type numbers int

func (n numbers) Entries(_ context.Context, from, to uint64) iter.Seq2[tiles.Entry, error] {
	return func(yield func(tiles.Entry, error) bool) {
		for ; from < min(to, uint64(n)); from++ {
			if !yield(tiles.Entry{Index: from, Data: fmt.Append(nil, from)}, nil) {
				return
			}
		}
	}
}

func (n numbers) catchUp(t *testing.T, r *Reader[uint64]) {
	t.Helper()
	if err := r.CatchUp(t.Context(), &scitt.Checkpoint{Size: uint64(n)}, n); err != nil {
		t.Fatal(err)
	}
}

// open opens a database that has the sum of all indexes.
func open(t *testing.T, path string, o Options) *Reader[uint64] {
	t.Helper()
	o.Name, o.Kind, o.Version, o.Readers, o.Cache = "sum", 7, 1, 2, 1000
	o.Schema = "CREATE TABLE total (n INTEGER); INSERT INTO total VALUES (0);"
	db, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // most tests close it themselves
	return &Reader[uint64]{
		DB:    db,
		Parse: func(_ context.Context, e tiles.Entry, _ []byte) (uint64, error) { return e.Index, nil },
		Store: func(ctx context.Context, tx *sql.Tx, rows []uint64, _ *State) error {
			for _, n := range rows {
				if _, err := tx.ExecContext(ctx, "UPDATE total SET n = n + ?", int64(n)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func total(t *testing.T, r *Reader[uint64]) (n int, err error) {
	t.Helper()
	err = r.Read(t.Context(), func(tx *sql.Tx) error { return tx.QueryRow("SELECT n FROM total").Scan(&n) })
	return n, err
}

func (n numbers) holds(t *testing.T, r *Reader[uint64]) {
	t.Helper()
	if got, err := total(t, r); err != nil || got != int(n)*(int(n)-1)/2 || r.Next() != uint64(n) {
		t.Fatalf("%d of %d entries, %v", got, r.Next(), err)
	}
}

// TestAdopt: a database that is moved to where there is none is what it was, also where the
// write-ahead log of another one is left there, as after a crash.
func TestAdopt(t *testing.T) {
	dir := t.TempDir()
	to, copied := filepath.Join(dir, "index"), filepath.Join(dir, "copy")
	before, source := open(t, filepath.Join(dir, "before"), Options{}), open(t, filepath.Join(dir, "source"), Options{})
	numbers(300).catchUp(t, before)
	numbers(100).catchUp(t, source)
	if err := os.WriteFile(to+"-wal", testlog.Must(os.ReadFile(before.path+"-wal"))(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := source.Snapshot(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if err := Adopt(t.Context(), copied, to, testlog.Must(sumOf(t.Context(), copied))(t), func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	numbers(100).holds(t, open(t, to, Options{}))
}

// TestSum: what Close leaves reports whether the file is as it was; while the
// database is used there is none.
func TestSum(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	x := open(t, path, Options{})
	numbers(300).catchUp(t, x)
	sum := func() error { _, err := os.Stat(path + sumSuffix); return err }
	if err := sum(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a sum while it is used: %v", err)
	}
	if err := errors.Join(x.Close(), sum()); err != nil {
		t.Fatal(err)
	}
	x = open(t, path, Options{})
	numbers(300).holds(t, x)
	if err := sum(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a sum while it is used again: %v", err)
	}
	numbers(400).catchUp(t, x)
	crashed := filepath.Join(t.TempDir(), "x.db")
	for _, suffix := range []string{"", "-wal"} { // as a crash would leave them
		if err := os.WriteFile(crashed+suffix, testlog.Must(os.ReadFile(path+suffix))(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	y := open(t, crashed, Options{})
	numbers(400).holds(t, y)
	numbers(500).catchUp(t, y)
	numbers(500).holds(t, y)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	data := testlog.Must(os.ReadFile(path))(t)
	data[len(data)-1] ^= 1 // SQLite would not see it
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := total(t, open(t, path, Options{Keep: true})); !errors.Is(err, ErrDamaged) {
		t.Errorf("a flipped bit: %v", err)
	}
	var said strings.Builder
	x = open(t, path, Options{Logger: slog.New(slog.NewTextHandler(&said, nil))})
	numbers(400).catchUp(t, x)
	numbers(400).holds(t, x)
	if !strings.Contains(said.String(), "has changed since it was closed") {
		t.Errorf("it says %s", said.String())
	}
}

// TestRebuilding: a database that was found damaged answers nothing until it is
// complete again.
func TestRebuilding(t *testing.T) {
	x := open(t, filepath.Join(t.TempDir(), "x.db"), Options{})
	numbers(300).catchUp(t, x)
	if err := x.Use(t.Context(), func(db *sql.DB) error { _, err := db.Exec("DROP TABLE total"); return err }); err != nil {
		t.Fatal(err)
	}
	if _, err := total(t, x); !errors.Is(err, ErrDamaged) {
		t.Errorf("found out: %v", err)
	}
	if err := x.CatchUp(t.Context(), &scitt.Checkpoint{Size: 5000}, numbers(4500)); err == nil {
		t.Error("a log that is too short was read")
	}
	if _, err := total(t, x); !errors.Is(err, ErrRebuilding) || !x.Rebuilding() || x.Next() == 0 {
		t.Errorf("half-way, with %d entries: %v", x.Next(), err)
	}
	numbers(5000).catchUp(t, x)
	numbers(5000).holds(t, x)
	// A log with another last entry is another log; so is one that has less, at
	// the start.
	for _, log := range []numbers{4999, 100} {
		path := filepath.Join(t.TempDir(), "x.db")
		y := open(t, path, Options{})
		numbers(5000).catchUp(t, y)
		if err := y.CatchUp(t.Context(), &scitt.Checkpoint{Size: uint64(log)}, log); !errors.Is(err, ErrOlder) {
			t.Errorf("fewer entries: %v", err)
		}
		if err := y.Close(); err != nil {
			t.Fatal(err)
		}
		y = open(t, path, Options{})
		if err := y.CatchUp(t.Context(), &scitt.Checkpoint{Size: uint64(log)}, log); !errors.Is(err, ErrOtherLog) {
			t.Errorf("fewer entries at the start: %v", err)
		}
		log.catchUp(t, y)
		log.holds(t, y)
	}
}
