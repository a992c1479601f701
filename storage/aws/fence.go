package aws

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/conmotion/conmotion/storage/internal/cloud"
)

const (
	fenceName = "conmotion_fence_1" // another number where its text changes
	fence     = `CREATE TRIGGER ` + fenceName + ` BEFORE UPDATE ON SeqCoord FOR EACH ROW
BEGIN
	DECLARE writing, size BIGINT UNSIGNED;
	SELECT term, batch INTO writing, size FROM conmotion_writer WHERE id = 0 LOCK IN SHARE MODE;
	IF writing IS NULL OR NOT (@conmotion_term <=> writing) THEN
		SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 45001, MESSAGE_TEXT = 'another instance is the writer of this log';
	END IF;
	IF size IS NOT NULL AND NEW.next <> OLD.next + size THEN
		SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 45002, MESSAGE_TEXT = '` + cloud.Divided + `';
	END IF;
END`
	errnoFenced = 45001
)

// Guard implements [cloud.Database]. It makes the trigger where it is not there.
func (db *database) Guard(ctx context.Context, term uint64) error {
	var there int
	err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND trigger_name = ?`, fenceName).Scan(&there)
	if err == nil && there == 0 {
		if _, err = db.ExecContext(ctx, fence); isMySQL(err, triggerExists) {
			err = nil
		}
	}
	if err != nil {
		return db.Failed("make the trigger that keeps other writers out", err)
	}
	for _, older := range []string{"NULL", strconv.FormatUint(term-1, 10)} {
		if err := db.as(ctx, older, trial); !isMySQL(err, errnoFenced) {
			return db.Failed("the trigger "+fenceName+" lets a writer of term "+older+" pass", errors.Join(err, errors.ErrUnsupported))
		}
	}
	return db.Failed("the trigger "+fenceName, db.as(ctx, strconv.FormatUint(term, 10), trial))
}

// trial updates SeqCoord.
func trial(tx *sql.Tx) error {
	_, err := tx.Exec(`UPDATE SeqCoord SET next = next WHERE id = 0`)
	return err
}

// as does something as a writer of a term would. What is not committed is taken back.
func (db *database) as(ctx context.Context, term string, do func(*sql.Tx) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SET @conmotion_term = `+term); err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = do(tx)
	if rerr := tx.Rollback(); !errors.Is(rerr, sql.ErrTxDone) {
		err = errors.Join(err, rerr)
	}
	return err
}

// Batch implements [cloud.Database].
func (db *database) Batch(ctx context.Context, term uint64, n uint) error {
	size := sql.NullInt64{Int64: int64(n), Valid: n > 0}
	_, err := db.ExecContext(ctx, `UPDATE conmotion_writer SET batch = ? WHERE id = 0 AND term = ?`, size, term)
	return db.Failed("announce a batch", err)
}
