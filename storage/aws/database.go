package aws

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/internal/cloud"
)

// database is the log's database. It implements [cloud.Database].
type database struct {
	*sql.DB
	config *mysql.Config
}

// String names the database.
func (db *database) String() string { return "mysql://" + db.config.Addr + "/" + db.config.DBName }

// schema is the table of the log and its writer; one row. Batch is how many entries
// the next transaction must have.
const schema = `CREATE TABLE IF NOT EXISTS conmotion_writer (
	id INT UNSIGNED NOT NULL PRIMARY KEY,
	origin VARBINARY(1024) NOT NULL,
	bucket VARBINARY(255) NOT NULL,
	term BIGINT UNSIGNED NOT NULL,
	expires DATETIME(6) NOT NULL, -- UTC
	holder VARBINARY(255) NOT NULL,
	batch BIGINT UNSIGNED,
	published MEDIUMBLOB,
	moved VARBINARY(1024)
)`

// formatSchema is the table of the format; one row. It is not part of the other one, which
// releases before it made.
const formatSchema = `CREATE TABLE IF NOT EXISTS conmotion_format (
	id INT UNSIGNED NOT NULL PRIMARY KEY,
	format BIGINT UNSIGNED NOT NULL
)`

// MySQL's numbers of errors.
const (
	noSuchThread  = 1094
	noSuchTable   = 1146
	triggerExists = 1359
	killed        = 1927 // a connection; a number of MariaDB
)

const (
	adviceRights      = "make the database, and GRANT ALL ON it to the user"
	adviceConnections = "let there be more connections: an instance has up to 20"
)

// advice says what to do about an error, by its number.
var advice = map[uint16]string{
	1044: adviceRights, 1049: adviceRights, 1142: adviceRights,
	1045: "the user is in --database, and its password in CONMOTION_DATABASE_PASSWORD or --database-password-file",
	1040: adviceConnections, 1203: adviceConnections, 1226: adviceConnections,
	1419: "with binary logging a trigger needs log_bin_trust_function_creators=1",
}

func isMySQL(err error, number uint16) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && e.Number == number
}

// inText finds the number in the text of an error.
var inText = regexp.MustCompile(`Error ([0-9]{4})[: ]`)

// Failed implements [cloud.Database].
func (db *database) Failed(what string, err error) error {
	if err == nil {
		return nil
	}
	if m := inText.FindStringSubmatch(err.Error()); m != nil {
		if number, nerr := strconv.ParseUint(m[1], 10, 16); nerr == nil && advice[uint16(number)] != "" {
			err = fmt.Errorf("%w; %s", err, advice[uint16(number)])
		}
	}
	return fmt.Errorf("%s in %s: %w", what, db, err)
}

// again does something, again where its connection is ended under way: who becomes the writer
// ends those of all others, also of one that wants to be it just then.
func again[T any](ctx context.Context, do func(context.Context) (T, error)) (v T, err error) {
	for range 20 {
		v, err = do(ctx)
		if !errors.Is(err, mysql.ErrInvalidConn) && !errors.Is(err, driver.ErrBadConn) && !isMySQL(err, killed) || ctx.Err() != nil {
			break
		}
	}
	return v, err
}

// State implements [cloud.Database].
func (db *database) State(ctx context.Context) (cloud.State, error) {
	s, err := again(ctx, db.state)
	return s, db.Failed("read the state of the log", err)
}

func (db *database) state(ctx context.Context) (s cloud.State, err error) {
	err = db.QueryRowContext(ctx, `SELECT origin, bucket, published, COALESCE(moved, '') FROM conmotion_writer WHERE id = 0`).Scan(&s.Origin, &s.Bucket, &s.Published, &s.Moved)
	s.Bound = err == nil
	if err == nil || errors.Is(err, sql.ErrNoRows) || isMySQL(err, noSuchTable) {
		err = db.QueryRowContext(ctx, `SELECT q.next, i.seq, i.rootHash FROM SeqCoord q, IntCoord i WHERE q.id = 0 AND i.id = 0`).Scan(&s.Next, &s.Size, &s.Root)
		s.Engine = err == nil
	}
	s.Format = 1
	if err == nil || errors.Is(err, sql.ErrNoRows) || isMySQL(err, noSuchTable) {
		err = db.QueryRowContext(ctx, `SELECT format FROM conmotion_format WHERE id = 0`).Scan(&s.Format)
	}
	if errors.Is(err, sql.ErrNoRows) || isMySQL(err, noSuchTable) {
		err = nil
	}
	return s, err
}

// Writer implements [cloud.Database].
func (db *database) Writer(ctx context.Context) (w storage.Writer, err error) {
	err = db.QueryRowContext(ctx, `SELECT holder, term, expires > UTC_TIMESTAMP(6) FROM conmotion_writer WHERE id = 0`).Scan(&w.Address, &w.Term, &w.Held)
	if errors.Is(err, sql.ErrNoRows) || isMySQL(err, noSuchTable) {
		err = nil
	}
	return w, db.Failed("look for the writer", err)
}

// Bind implements [cloud.Database].
func (db *database) Bind(ctx context.Context, origin, bucket string) error {
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{schema, nil},
		{formatSchema, nil},
		{`INSERT IGNORE INTO conmotion_format (id, format) VALUES (0, ?)`, []any{cloud.Format}},
		{`INSERT IGNORE INTO conmotion_writer (id, origin, bucket, term, expires, holder) VALUES (0, ?, ?, 0, UTC_TIMESTAMP(6), '')`, []any{origin, bucket}},
	} {
		if _, err := again(ctx, func(ctx context.Context) (sql.Result, error) { return db.ExecContext(ctx, s.statement, s.args...) }); err != nil {
			return db.Failed("make the table of the writer", err)
		}
	}
	return nil
}

// Take implements [cloud.Database].
func (db *database) Take(ctx context.Context, address string, lease time.Duration) (uint64, error) {
	term, err := again(ctx, func(ctx context.Context) (uint64, error) { return db.take(ctx, address, lease) })
	return term, db.Failed("become the writer", err)
}

func (db *database) take(ctx context.Context, address string, lease time.Duration) (term uint64, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	// They take turns, so that none ends the connection of one that is the writer since a
	// moment. One that stands still is not waited for. A connection that ends gives its turn up.
	const turn = `CONCAT('conmotion ', SHA1(DATABASE()))`
	if _, err := conn.ExecContext(ctx, `DO GET_LOCK(`+turn+`, 2)`); err != nil {
		return 0, err
	}
	defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), `DO RELEASE_LOCK(`+turn+`)`) }()
	var held bool
	var other string
	if err := conn.QueryRowContext(ctx, `SELECT expires > UTC_TIMESTAMP(6), holder FROM conmotion_writer WHERE id = 0`).Scan(&held, &other); err != nil {
		return 0, err
	}
	if held {
		return 0, fmt.Errorf("%w: %s is the writer", storage.ErrLocked, other)
	}
	// A writer that stands still keeps its row locks: its connections are ended.
	if err := kill(ctx, conn); err != nil {
		return 0, err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // of what is committed it does nothing
	if _, err := tx.ExecContext(ctx, `SELECT next FROM SeqCoord WHERE id = 0 FOR UPDATE`); err != nil && !isMySQL(err, noSuchTable) {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, `UPDATE conmotion_writer SET term = term + 1, expires = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, holder = ?, batch = NULL WHERE id = 0 AND expires <= UTC_TIMESTAMP(6)`, lease.Microseconds(), address)
	if err != nil {
		return 0, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return 0, errors.Join(err, fmt.Errorf("%w: another instance was faster", storage.ErrLocked))
	}
	if err := tx.QueryRowContext(ctx, `SELECT term FROM conmotion_writer WHERE id = 0`).Scan(&term); err != nil {
		return 0, err
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	// Whoever connected in between has an older term; nothing of theirs may be under way.
	if err := kill(ctx, conn); err != nil {
		return 0, errors.Join(err, db.Release(ctx, term)) // the next one need not wait
	}
	return term, nil
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
		if _, err := conn.ExecContext(ctx, `KILL `+strconv.FormatUint(id, 10)); err != nil && !isMySQL(err, noSuchThread) {
			return fmt.Errorf("end the connection of a writer before: %w", err)
		}
	}
	return nil
}

// Renew implements [cloud.Database].
func (db *database) Renew(ctx context.Context, term uint64, lease time.Duration) (bool, error) {
	result, err := db.ExecContext(ctx, `UPDATE conmotion_writer SET expires = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE id = 0 AND term = ?`, lease.Microseconds(), term)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// Release implements [cloud.Database].
func (db *database) Release(ctx context.Context, term uint64) error {
	_, err := db.ExecContext(ctx, `UPDATE conmotion_writer SET expires = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE id = 0 AND term = ?`, term)
	return db.Failed("give the lease back", err)
}

// Term implements [cloud.Database].
func (db *database) Term(ctx context.Context) (term uint64, err error) {
	err = db.QueryRowContext(ctx, `SELECT term FROM conmotion_writer WHERE id = 0`).Scan(&term)
	return term, db.Failed("read the writer's term", err)
}

// Published implements [cloud.Database].
func (db *database) Published(ctx context.Context, term uint64, note []byte) error {
	_, err := db.ExecContext(ctx, `UPDATE conmotion_writer SET published = ? WHERE id = 0 AND term = ?`, note, term)
	return db.Failed("note what is public", err)
}

// Moved implements [cloud.Database].
func (db *database) Moved(ctx context.Context, term uint64, to string) error {
	return db.changes(ctx, "note where the log is", `UPDATE conmotion_writer SET moved = ? WHERE id = 0 AND term = ?`, to, term)
}

// changes does what must change a row, and is not done when it did before.
func (db *database) changes(ctx context.Context, what, statement string, args ...any) error {
	result, err := db.ExecContext(ctx, statement, args...)
	var n int64
	if err == nil {
		n, err = result.RowsAffected()
	}
	if err == nil && n == 0 {
		err = storage.ErrLocked
	}
	return db.Failed(what, err)
}

// SignAgain implements [cloud.Database].
func (db *database) SignAgain(ctx context.Context) error {
	_, err := db.ExecContext(ctx, `UPDATE PubCoord SET publishedAt = 0 WHERE id = 0`)
	if isMySQL(err, noSuchTable) {
		return nil
	}
	return db.Failed("have the checkpoint signed again", err)
}

// Resume implements [cloud.Database], in one transaction.
func (db *database) Resume(ctx context.Context, term, size uint64) error {
	return db.Failed("have the log go on", db.as(ctx, strconv.FormatUint(term, 10), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE GCCoord SET fromSize = ? WHERE id = 0`, size)
		if err == nil {
			_, err = tx.ExecContext(ctx, `UPDATE SeqCoord SET next = ? WHERE id = 0 AND next = 0`, size)
		}
		if err == nil {
			err = tx.Commit()
		}
		return err
	}))
}
