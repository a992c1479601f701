package aws

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/conmotion/conmotion/storage"
)

// writer is this process as the log's only writer, or as one that wants to be.
//
// The row of conmotion_writer is the lease: its term grows with each writer, and
// it holds until a time by the database's clock. Only the trigger on SeqCoord makes
// it safe: a writer that lost the lease and does not know it yet is refused by the
// transaction that would have sequenced its entries.
type writer struct {
	db      *sql.DB
	where   string // names the database in errors
	ttl     time.Duration
	address string // that is advertised
	logger  *slog.Logger

	// reach reports whether the bucket can be reached.
	reach func(context.Context) error

	term uint64
	stop context.CancelFunc // of what runs
	runs sync.WaitGroup
	gone chan struct{} // closed when the lease is lost

	mu      sync.Mutex
	until   time.Time // by this machine's clock, and sooner than the database says
	lost    error     // why it is not the writer any more
	divided bool      // the next batch may be of any size only after batch(ctx, 0)
}

// schema is the table of the log and its writer; one row. Batch is how many entries
// the next transaction must have, and published the newest note that was made
// public, or a little older.
const schema = `CREATE TABLE IF NOT EXISTS conmotion_writer (
	id INT UNSIGNED NOT NULL PRIMARY KEY,
	origin VARBINARY(1024) NOT NULL,
	bucket VARBINARY(255) NOT NULL,
	term BIGINT UNSIGNED NOT NULL,
	expires DATETIME(6) NOT NULL, -- UTC
	holder VARBINARY(255) NOT NULL,
	batch BIGINT UNSIGNED,
	published MEDIUMBLOB
)`

// MySQL's numbers of errors.
const (
	noSuchTable   = 1146
	triggerExists = 1359
	noSuper       = 1419
)

func isMySQL(err error, number uint16) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && e.Number == number
}

// failed names the database in an error.
func (w *writer) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s in %s: %w", what, w.where, err)
}

// state is what the database has of a log.
type state struct {
	origin, bucket string
	published      []byte
	bound          bool   // the row of conmotion_writer is there
	engine         bool   // the tables of Tessera's driver are there
	next, size     uint64 // of them: where the log ends, and how much is integrated
	root           []byte
}

// read reads the state and writes nothing.
func (w *writer) read(ctx context.Context) (s state, err error) {
	err = w.db.QueryRowContext(ctx, `SELECT origin, bucket, published FROM conmotion_writer WHERE id = 0`).Scan(&s.origin, &s.bucket, &s.published)
	s.bound = err == nil
	if err == nil || errors.Is(err, sql.ErrNoRows) || isMySQL(err, noSuchTable) {
		err = w.db.QueryRowContext(ctx, `SELECT q.next, i.seq, i.rootHash FROM SeqCoord q, IntCoord i WHERE q.id = 0 AND i.id = 0`).Scan(&s.next, &s.size, &s.root)
		s.engine = err == nil
	}
	if errors.Is(err, sql.ErrNoRows) || isMySQL(err, noSuchTable) {
		err = nil
	}
	return s, w.failed("read the state of the log", err)
}

// become takes the lease when nobody has it, and starts to renew it. A crash leaves
// the lease until it runs out.
func (w *writer) become(ctx context.Context, origin, bucket string) error {
	if _, err := w.db.ExecContext(ctx, schema); err != nil {
		return w.failed("make the table of the writer", err)
	}
	if _, err := w.db.ExecContext(ctx, `INSERT IGNORE INTO conmotion_writer (id, origin, bucket, term, expires, holder) VALUES (0, ?, ?, 0, UTC_TIMESTAMP(6), '')`, origin, bucket); err != nil {
		return w.failed("make the row of the writer", err)
	}
	if err := w.take(ctx); err != nil {
		return w.failed("become the writer", err)
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.stop = stop
	w.runs.Go(func() { w.renew(run) })
	w.runs.Go(func() { w.watch(run) })
	return nil
}

// take raises the term, if the lease has run out.
func (w *writer) take(ctx context.Context) error {
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var held bool
	var holder string
	if err := conn.QueryRowContext(ctx, `SELECT expires > UTC_TIMESTAMP(6), holder FROM conmotion_writer WHERE id = 0`).Scan(&held, &holder); err != nil {
		return err
	}
	if held {
		return fmt.Errorf("%w: %s is the writer", storage.ErrLocked, holder)
	}
	// A writer that stands still keeps its row locks: its connections are ended.
	if err := kill(ctx, conn); err != nil {
		return err
	}
	began := time.Now()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // of what is committed it does nothing
	if _, err := tx.ExecContext(ctx, `SELECT next FROM SeqCoord WHERE id = 0 FOR UPDATE`); err != nil && !isMySQL(err, noSuchTable) {
		return err
	}
	result, err := tx.ExecContext(ctx, `UPDATE conmotion_writer SET term = term + 1, expires = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, holder = ?, batch = NULL WHERE id = 0 AND expires <= UTC_TIMESTAMP(6)`, w.ttl.Microseconds(), w.address)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("%w: another instance was faster", storage.ErrLocked))
	}
	if err := tx.QueryRowContext(ctx, `SELECT term FROM conmotion_writer WHERE id = 0`).Scan(&w.term); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	w.until = began.Add(w.ttl)
	// Whoever connected in between has an older term; nothing of theirs may be under way.
	if err := kill(ctx, conn); err != nil {
		return errors.Join(err, w.release(ctx)) // the next one need not wait
	}
	return nil
}

// kill ends the other connections of this user to this database. For those of
// one's own user MySQL asks for no privilege.
func kill(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, `SELECT id FROM information_schema.processlist WHERE user = SUBSTRING_INDEX(USER(), '@', 1) AND db = DATABASE() AND id <> CONNECTION_ID()`)
	if err != nil {
		return err
	}
	var ids []uint64
	for rows.Next() {
		var id uint64
		if err := rows.Scan(&id); err != nil {
			return errors.Join(err, rows.Close())
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, id := range ids {
		const noSuchThread = 1094
		if _, err := conn.ExecContext(ctx, `KILL `+strconv.FormatUint(id, 10)); err != nil && !isMySQL(err, noSuchThread) {
			return fmt.Errorf("end the connection of a writer before: %w", err)
		}
	}
	return nil
}

// renew renews the lease until the context ends or the lease is lost.
func (w *writer) renew(ctx context.Context) {
	ticker := time.NewTicker(w.ttl / 5)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.gone:
			return
		case <-ticker.C:
		}
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, w.ttl)
		result, err := w.db.ExecContext(limited, `UPDATE conmotion_writer SET expires = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE id = 0 AND term = ?`, w.ttl.Microseconds(), w.term)
		cancel()
		var n int64
		if err == nil {
			n, err = result.RowsAffected()
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && n == 0:
			w.lose(fmt.Errorf("%w: it took over while this one did not renew its lease", storage.ErrLocked))
			return
		case err == nil:
			w.mu.Lock()
			w.until = began.Add(w.ttl)
			w.mu.Unlock()
			if failing {
				w.logger.Info("the lease of the writer is renewed again", "database", w.where)
			}
		case !failing:
			w.logger.Warn("the lease of the writer cannot be renewed; will keep trying", "database", w.where, "err", err)
		}
		failing = err != nil
	}
}

// lose makes this process a writer no more.
func (w *writer) lose(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost == nil {
		w.lost = why
		close(w.gone)
	}
}

// watch gives the lease up when the bucket could not be reached for as long as it
// lasts: an instance that reaches it can do better.
func (w *writer) watch(ctx context.Context) {
	ticker := time.NewTicker(w.ttl / 5)
	defer ticker.Stop()
	for reached := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-w.gone:
			return
		case <-ticker.C:
		}
		limited, cancel := context.WithTimeout(ctx, w.ttl/2)
		err := w.reach(limited)
		cancel()
		switch {
		case err == nil:
			reached = time.Now()
		case ctx.Err() != nil:
			return
		case time.Since(reached) > w.ttl && w.holds() == nil:
			w.lose(fmt.Errorf("the bucket was not reached for %v: %w", time.Since(reached).Round(time.Second), err))
			// A crash here, or a renewal under way, leaves the lease until it runs out.
			if err := w.release(ctx); err != nil {
				w.logger.Warn("the lease runs out by itself", "err", err)
			}
			return
		}
	}
}

// holds says why this process may not write now, as far as it knows.
func (w *writer) holds() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != nil {
		return w.lost
	}
	if late := time.Since(w.until); late > 0 {
		return fmt.Errorf("the lease of the writer in %s ran out %v ago and cannot be renewed", w.where, late.Round(time.Millisecond))
	}
	return nil
}

// asks asks the database whether this process is the writer.
func (w *writer) asks(ctx context.Context) error {
	if err := w.holds(); err != nil {
		return err
	}
	var term uint64
	if err := w.db.QueryRowContext(ctx, `SELECT term FROM conmotion_writer WHERE id = 0`).Scan(&term); err != nil {
		return w.failed("read the writer's term", err)
	}
	if term != w.term {
		return w.failed(fmt.Sprintf("term %d and not %d", term, w.term), storage.ErrLocked)
	}
	return nil
}

// published notes what is public.
func (w *writer) published(ctx context.Context, note []byte) error {
	_, err := w.db.ExecContext(ctx, `UPDATE conmotion_writer SET published = ? WHERE id = 0 AND term = ?`, note, w.term)
	return w.failed("note what is public", err)
}

// resign gives the lease back, if this process has it, so that the next writer need
// not wait.
func (w *writer) resign(ctx context.Context) error {
	if w.stop == nil {
		return nil
	}
	w.stop()
	w.runs.Wait()
	w.stop = nil
	return w.release(ctx)
}

func (w *writer) release(ctx context.Context) error {
	_, err := w.db.ExecContext(ctx, `UPDATE conmotion_writer SET expires = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE id = 0 AND term = ?`, w.term)
	return w.failed("give the lease back", err)
}
