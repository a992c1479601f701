package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// shared is a log that several instances may write, one at a time.
type shared interface {
	storage.Driver
	// String names the place.
	String() string
	// Writer tells who the writer is.
	Writer(context.Context) (storage.Writer, error)
	// Lost is closed when this process is not the writer any more; then Ready says why.
	Lost() <-chan struct{}
	// Close lets another process be the writer.
	Close() error
	// Vacant refuses a place that a log cannot be moved to. Expect claims it, and Import makes it that of a log which lies elsewhere: see cloud.Driver.
	Vacant(ctx context.Context, origin string) error
	Expect(ctx context.Context, origin string) error
	Import(ctx context.Context, from tiles.Source, public *scitt.Checkpoint, progress func(entries uint64)) error
	// MovedTo closes the place of which this process is the writer, and Moved says
	// where the log went.
	MovedTo(ctx context.Context, to string) error
	Moved(context.Context) (string, error)
}

// openRole opens the log: as its writer when nobody else is, and otherwise to follow
// it, once it is made: it has its keys and, where its writer begins with one, its policy.
func (d *Daemon) openRole(ctx context.Context, o storage.Options) (err error) {
	for waits := false; ; waits = true {
		d.log, err = storage.Open(ctx, d.place, o)
		if !errors.Is(err, storage.ErrLocked) || d.place.shared == nil {
			return err
		}
		var log *storage.Log
		if log, err = storage.Follow(ctx, d.place, o); err != nil {
			return err
		}
		_, err = d.place.Get(ctx, tiles.ConfigurationPath) // the last that a first start writes
		if err == nil || log.PublishedSize() > 1 {
			d.log = log
			return nil
		}
		if !waits {
			o.Logger.Info("the log is not made yet; waiting for its writer, or to become it")
		}
		if err := errors.Join(log.Close(ctx), d.pause(ctx)); err != nil {
			return err
		}
	}
}

// pause is the time between two looks at who the writer is.
func (d *Daemon) pause(ctx context.Context) error {
	lease := cmp.Or(d.lease, storage.DefaultLease)
	select {
	case <-ctx.Done():
	case <-time.After(lease/10 + rand.N(lease/20)):
	}
	return ctx.Err()
}

// replica reports whether another instance is the writer.
func (d *Daemon) replica() bool { return errors.Is(d.log.ReadOnly(), storage.ErrLocked) }

// settle waits until the index has everything that is sequenced, and all of that is
// public. A replica that waits takes over when nobody is the writer.
func (d *Daemon) settle(ctx context.Context) error {
	for began := time.Now(); ; {
		size, err := d.log.SequencedSize(ctx)
		if err != nil || size == 0 {
			return err
		}
		patience, cancel := context.WithTimeout(ctx, time.Second)
		err = d.index.Await(patience, size)
		if err == nil {
			err = d.log.Settle(patience, size-1)
		}
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("catch up with the log: %w", err)
		}
		if err := d.index.Err(); errors.Is(err, fs.ErrNotExist) || errors.Is(err, tiles.ErrCorrupt) {
			return fmt.Errorf("the index has read %d of %d entries, and the log's files are damaged: put them back from a mirror or a backup: %w", d.index.Next(), size, err)
		}
		if time.Since(began) > 5*time.Second {
			// It may take long, and it may be in vain until the disk is in order.
			d.logger.Warn("not serving yet: the index reads the log", "read", d.index.Next(), "of", size, "published", d.log.PublishedSize(), "err", d.index.Err())
			began = time.Now()
		}
		if d.replica() {
			if _, err := d.takeLog(ctx); err != nil {
				return err
			}
		}
	}
}

// takeLog makes this process the log's writer, if nobody is. An error means that
// the log cannot be used any more.
func (d *Daemon) takeLog(ctx context.Context) (taken bool, err error) {
	w, err := d.place.shared.Writer(ctx)
	if err != nil {
		d.logger.Warn("nobody can tell who the writer of the log is", "err", err)
		return false, nil
	}
	d.note(w)
	if w.Held || d.lacks(ctx) != nil {
		return false, nil
	}
	if err = d.log.Write(ctx); err == nil {
		w, err := d.place.shared.Writer(ctx)
		if err == nil {
			d.note(w)
		}
		return true, nil
	}
	if !d.replica() {
		return false, err
	}
	if !errors.Is(err, storage.ErrLocked) { // another one was faster
		d.logger.Error("the log has no writer, and this instance cannot take over", "err", err)
	}
	return false, nil
}

// announce puts the service's keys into a new log.
func (d *Daemon) announce(ctx context.Context, k keys) error {
	return d.while(ctx, func(ctx context.Context) error {
		_, err := d.founder.Announce(ctx, d.log, func() (*scitt.Keys, error) { return k.announced(d.keys) })
		return err
	})
}

// while runs a step of a start, which ends when this instance is the log's writer no more.
func (d *Daemon) while(ctx context.Context, step func(context.Context) error) error {
	if d.place.shared == nil {
		return step(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.whenLost(ctx, cancel)
	err := step(ctx)
	select {
	case <-d.place.shared.Lost():
		return errors.Join(d.place.Ready(context.WithoutCancel(ctx)), err)
	default:
		return err
	}
}

// whenLost stops the engine, and calls then, when this instance is the log's writer no more; not after the context has ended.
func (d *Daemon) whenLost(ctx context.Context, then func()) {
	go func() {
		select {
		case <-d.place.shared.Lost():
			d.log.Abandon()
			then()
		case <-ctx.Done():
		}
	}()
}

// note remembers who the writer is.
func (d *Daemon) note(w storage.Writer) {
	d.writer.Store(&w)
	if !w.Held {
		w.Address = ""
	}
	d.elsewhere.set(w.Address)
}

// keep plays this instance's role until the context ends: it follows the log, takes
// over when nobody is the writer, and ends when it is the writer no more.
func (d *Daemon) keep(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.whenLost(ctx, func() {
		d.end(d.place.Ready(context.WithoutCancel(ctx)))
		cancel()
	})
	var policies []uint64
	for d.replica() {
		if err := d.followShown(ctx); err != nil && ctx.Err() == nil {
			d.logger.Warn("the keys that the writer shows are not followed", "err", err)
		}
		if now, err := d.index.Policies(ctx); err == nil && !slices.Equal(now, policies) {
			if p, err := d.inForce(ctx); err == nil {
				d.Follow(*p)
				policies = now
			}
		}
		taken, err := d.takeLog(ctx)
		if taken {
			began := time.Now()
			if err = d.lead(ctx); err == nil {
				d.logger.Info("this instance is the writer now", "after", time.Since(began).Round(time.Millisecond))
			}
		}
		if err != nil {
			if ctx.Err() == nil {
				d.end(fmt.Errorf("take over: %w", err))
			}
			return
		}
		if !taken && d.pause(ctx) != nil {
			return
		}
	}
	if d.place.snapshots != nil {
		d.saveSnapshots(ctx)
	}
	<-ctx.Done()
}

// lead has this instance register statements: its log is open.
func (d *Daemon) lead(ctx context.Context) error {
	if err := d.settle(ctx); err != nil {
		return err
	}
	p, err := d.inForce(ctx)
	if err != nil {
		return err
	}
	if err := d.startKeys(ctx); err != nil {
		return err
	}
	d.Lead(*p)
	return nil
}

// atWriter has requests go to the writer of the log.
func (d *Daemon) atWriter(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.replica() {
			d.elsewhere.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// end says that this instance cannot go on, and has to be opened again.
func (d *Daemon) end(why error) {
	d.endOnce.Do(func() {
		d.why = why
		close(d.lost)
	})
}

// Lost is closed when this instance has to be opened again: it was the writer and is
// not any more, or could not take over. LostWhy says how it came.
func (d *Daemon) Lost() <-chan struct{} { return d.lost }

// LostWhy says why; Lost is closed.
func (d *Daemon) LostWhy() error { return d.why }

// Role says what this instance does, for people.
func (d *Daemon) Role() string {
	switch w := d.writer.Load(); {
	case d.place.shared != nil && w == nil && d.replica():
		return "replica" // which has not asked yet who the writer is
	case d.place.shared == nil || w == nil:
		return "writer"
	case !d.replica() && !d.Leads():
		return fmt.Sprintf("replica that takes over, term %d", w.Term)
	case !d.replica():
		return fmt.Sprintf("writer, term %d", w.Term)
	case !w.Held:
		return fmt.Sprintf("replica; nobody is the writer, the last term is %d", w.Term)
	default:
		return fmt.Sprintf("replica of %s, term %d; the checkpoint was read %v ago", w.Address, w.Term, time.Since(d.log.Followed()).Round(100*time.Millisecond))
	}
}
