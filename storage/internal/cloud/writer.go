package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/conmotion/conmotion/storage"
)

// writer is this process as the log's only writer, or as one that wants to be.
//
// The lease says who should write. Only the fence makes it safe: a writer that
// lost the lease and does not know it yet is refused by the transaction that would
// have sequenced its entries.
type writer struct {
	db      Database
	ttl     time.Duration
	address string // that is advertised
	logger  *slog.Logger

	// reach reports whether the bucket can be reached.
	reach func(context.Context) error

	term   uint64
	origin string             // of the log
	stop   context.CancelFunc // of what runs
	runs   sync.WaitGroup
	gone   chan struct{} // closed when the lease is lost

	mu      sync.Mutex
	until   time.Time // by this machine's clock, and sooner than the database says
	lost    error     // why it is not the writer any more
	divided bool      // the next batch may be of any size only after batch(ctx, 0)
}

// become takes the lease when nobody has it, and starts to renew it. A crash leaves
// the lease until it runs out.
func (w *writer) become(ctx context.Context, origin, bucket string) error {
	err := w.db.Bind(ctx, origin, bucket)
	if err != nil {
		return err
	}
	w.origin = origin
	began := time.Now()
	if w.term, err = w.db.Take(ctx, w.address, w.ttl); err != nil {
		return err
	}
	w.until = began.Add(w.ttl)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.stop = stop
	w.runs.Go(func() { w.renew(run) })
	w.runs.Go(func() { w.watch(run) })
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
		held, err := w.db.Renew(limited, w.term, w.ttl)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && !held:
			w.lose(fmt.Errorf("%w: it took over while this one did not renew its lease", storage.ErrLocked))
			return
		case err == nil:
			w.mu.Lock()
			w.until = began.Add(w.ttl)
			w.mu.Unlock()
			if failing {
				w.logger.Info("the lease of the writer is renewed again", "database", w.db.String())
			}
		case !failing:
			w.logger.Warn("the lease of the writer cannot be renewed; will keep trying", "database", w.db.String(), "err", err)
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
// lasts: an instance that reaches it can do better; and when the bucket has another log.
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
		case errors.Is(err, storage.ErrForeign), time.Since(reached) > w.ttl && w.holds() == nil:
			if !errors.Is(err, storage.ErrForeign) {
				err = fmt.Errorf("the bucket was not reached for %v: %w", time.Since(reached).Round(time.Second), err)
			}
			w.lose(err)
			// A crash here, or a renewal under way, leaves the lease until it runs out.
			if err := w.db.Release(ctx, w.term); err != nil {
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
		return fmt.Errorf("the lease of the writer in %s ran out %v ago and cannot be renewed", w.db, late.Round(time.Millisecond))
	}
	return nil
}

// asks asks the database whether this process is the writer.
func (w *writer) asks(ctx context.Context) error {
	if err := w.holds(); err != nil {
		return err
	}
	term, err := w.db.Term(ctx)
	if err == nil && term != w.term {
		err = fmt.Errorf("term %d and not %d in %s: %w", term, w.term, w.db, storage.ErrLocked)
	}
	return err
}

// batch says how many entries the next transaction must have; 0 for any number.
func (w *writer) batch(ctx context.Context, n uint) error {
	w.mu.Lock()
	already := n == 0 && !w.divided
	w.divided = true // until it is known that the fence says otherwise
	w.mu.Unlock()
	if !already {
		if err := w.db.Batch(ctx, w.term, n); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.divided = n > 0
	w.mu.Unlock()
	return nil
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
	return w.db.Release(ctx, w.term)
}
