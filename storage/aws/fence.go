package aws

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
)

// divided is what the trigger says of a batch of another size; Tessera keeps an
// error's text only.
const divided = "the batch was divided, and none of it is stored"

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
		SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 45002, MESSAGE_TEXT = '` + divided + `';
	END IF;
END`
	errnoFenced = 45001
)

// guard makes the trigger where it is not there, and proves that it refuses what it
// should. The tables of Tessera's driver must be there.
func (w *writer) guard(ctx context.Context) error {
	var there int
	err := w.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND trigger_name = ?`, fenceName).Scan(&there)
	if err == nil && there == 0 {
		if _, err = w.db.ExecContext(ctx, fence); isMySQL(err, triggerExists) {
			err = nil
		}
	}
	if isMySQL(err, noSuper) {
		err = fmt.Errorf("with binary logging a trigger needs log_bin_trust_function_creators=1: %w", err)
	}
	if err != nil {
		return w.failed("make the trigger that keeps other writers out", err)
	}
	for _, term := range []string{"NULL", strconv.FormatUint(w.term-1, 10)} {
		if err := w.trial(ctx, term); !isMySQL(err, errnoFenced) {
			return w.failed("the trigger "+fenceName+" lets a writer of term "+term+" pass", errors.Join(err, errors.ErrUnsupported))
		}
	}
	return w.failed("the trigger "+fenceName, w.trial(ctx, strconv.FormatUint(w.term, 10)))
}

// trial updates SeqCoord as a writer of a term would, and takes it back.
func (w *writer) trial(ctx context.Context, term string) error {
	conn, err := w.db.Conn(ctx)
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
	_, err = tx.ExecContext(ctx, `UPDATE SeqCoord SET next = next WHERE id = 0`)
	return errors.Join(err, tx.Rollback())
}

// batch says how many entries the next transaction must have; 0 for any number.
func (w *writer) batch(ctx context.Context, n uint) error {
	w.mu.Lock()
	already := n == 0 && !w.divided
	w.divided = true // until it is known that the row says otherwise
	w.mu.Unlock()
	if !already {
		size := sql.NullInt64{Int64: int64(n), Valid: n > 0}
		if _, err := w.db.ExecContext(ctx, `UPDATE conmotion_writer SET batch = ? WHERE id = 0 AND term = ?`, size, w.term); err != nil {
			return w.failed("announce a batch", err)
		}
	}
	w.mu.Lock()
	w.divided = n > 0
	w.mu.Unlock()
	return nil
}
