package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/witness/cosigner"
)

// write stores changes until Close: all that wait together, in one transaction.
func (s *Store) write() {
	defer close(s.ended)
	again := time.NewTicker(retryInterval)
	defer again.Stop()
	for {
		select {
		case first := <-s.swaps:
			batch, last := s.gather(first)
			if len(batch) > 0 {
				s.commit(batch)
			}
			if last {
				return
			}
		case <-again.C:
			if s.db != nil {
				continue
			}
			if err := s.open(context.Background(), false); err != nil {
				err = fmt.Errorf("%w: %w", errUnusable, err)
				s.failed.Store(&err)
			}
		}
	}
}

// gather takes what waits; last is whether Close was called.
func (s *Store) gather(first *swap) (batch []*swap, last bool) {
	for w := first; ; {
		if w == nil {
			return batch, true
		}
		if batch = append(batch, w); len(batch) == maxBatch {
			return batch, false
		}
		select {
		case w = <-s.swaps:
		default:
			return batch, false
		}
	}
}

// commit stores a batch and answers. When it fails in any way nobody knows what the
// disk has: the database is closed, and used again only when it was read again. A
// crash before the commit leaves nothing of the batch, and after it all: the guard
// is then behind, which the next start mends.
func (s *Store) commit(batch []*swap) {
	errs, err := s.transaction(batch)
	if err == nil {
		err = s.writeGuard(s.generation)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errUnusable, err)
		s.failed.Store(&err)
		s.mu.Lock()
		if s.db != nil {
			s.db.Close() // it has failed already
			s.db = nil
		}
		s.mu.Unlock()
	}
	for i, w := range batch {
		if err != nil {
			w.done <- err
			continue
		}
		w.done <- errs[i]
	}
}

// transaction stores a batch. The error of each is [cosigner.ErrChanged] where its
// State is another, and the last one is of the whole.
func (s *Store) transaction(batch []*swap) (errs []error, err error) {
	if s.db == nil {
		return nil, errUnusable
	}
	ctx := context.Background()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // of what has failed already
		}
	}()
	errs = make([]error, len(batch))
	for i, w := range batch {
		n, err := w.store(ctx, tx)
		if err != nil {
			return nil, err
		}
		if n != 1 {
			errs[i] = cosigner.ErrChanged
		}
	}
	if _, err := tx.ExecContext(ctx, "UPDATE witness SET generation = ?", s.generation+1); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	s.generation++
	return errs, nil
}

// store returns how many rows have changed.
func (w *swap) store(ctx context.Context, tx *sql.Tx) (int64, error) {
	var done sql.Result
	var err error
	n := w.next
	switch {
	case w.halt != "":
		done, err = tx.ExecContext(ctx, "UPDATE witness SET halted = ?", w.halt)
	case w.old.Root == nil:
		done, err = tx.ExecContext(ctx, "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			w.origin, int64(n.Size), n.Root, n.At, n.Text, n.LogLines, n.Lines)
	default:
		done, err = tx.ExecContext(ctx, "UPDATE checkpoints SET size = ?, root = ?, at = ?, body = ?, log_lines = ?, lines = ? WHERE origin = ? AND size = ? AND root = ?",
			int64(n.Size), n.Root, n.At, n.Text, n.LogLines, n.Lines, w.origin, int64(w.old.Size), w.old.Root)
	}
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}
