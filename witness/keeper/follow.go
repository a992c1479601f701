package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// Files gives the files of a log, and the content behind its hashes. Both may be nil,
// where they are not known.
type Files func(*cosigner.Log) (tiles.Source, *reader.Reader, error)

// Companion is a mirror or a judge beside a witness.
type Companion interface {
	cosigner.Companion
	// Resume goes on with all logs that the witness knows.
	Resume()
	// Close waits until nothing goes on any more, after the context has ended.
	Close() error
}

// followers do work for logs, each one after the other.
type followers struct {
	ctx    context.Context // of the work that no request waits for
	slots  chan struct{}   // one for each log that is worked on
	most   time.Duration   // between two attempts
	every  time.Duration   // between two looks when nothing failed; 0 for none
	failed string          // what is told when one fails
	logger *slog.Logger

	work sync.WaitGroup
	mu   sync.Mutex
	logs map[string]*followed // by origins
}

// followed is a log that is worked on.
type followed struct {
	poke    chan struct{}
	failing bool // the last attempt did; guarded by the mutex of followers
}

// poke has the work done for a log, now or when the attempt that is at work has ended.
func (f *followers) poke(origin string, do func(ctx context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.logs[origin]
	if l == nil {
		l = &followed{poke: make(chan struct{}, 1)}
		f.logs[origin] = l
		f.work.Go(func() { f.follow(origin, l, do) })
	}
	select {
	case l.poke <- struct{}{}:
	default: // it was told already
	}
}

func (f *followers) follow(origin string, l *followed, do func(ctx context.Context) error) {
	wait := time.Duration(0)
	for {
		var again <-chan time.Time
		if next := cmp.Or(wait, f.every); next > 0 {
			again = time.After(next)
		}
		select {
		case <-f.ctx.Done():
			return
		case <-l.poke:
		case <-again:
		}
		select {
		case <-f.ctx.Done():
			return
		case f.slots <- struct{}{}:
		}
		err := do(f.ctx)
		<-f.slots
		f.mu.Lock()
		l.failing = err != nil
		f.mu.Unlock()
		switch {
		case f.ctx.Err() != nil:
			return
		case err != nil:
			wait = min(max(time.Second, 2*wait), f.most)
			f.logger.Warn(f.failed, "log", origin, "again", wait, "err", err)
		default:
			wait = 0
		}
	}
}

// observe adds what there is to watch of each log whose state own has, or could not be
// brought up to that of the witness pending. Names begin with that of the role.
func (f *followers) observe(m metric.Meter, role string, pending, own *cosigner.Witness) error {
	lag, err1 := m.Int64ObservableGauge("conmotion.witness."+role+".lag", metric.WithDescription("Entries that the witness cosigned and this key did not, by log"))
	failing, err2 := m.Int64ObservableGauge("conmotion.witness."+role+".failing", metric.WithDescription("1 when the last attempt to bring this key up to the witness failed, else 0, by log"))
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	_, err := m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		for _, origin := range pending.Origins() {
			seen, err1 := pending.State(ctx, origin)
			said, err2 := own.State(ctx, origin)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			f.mu.Lock()
			bad := int64(0)
			if l := f.logs[origin]; l != nil && l.failing {
				bad = 1
			}
			f.mu.Unlock()
			if said.Root == nil && bad == 0 {
				continue // such as a log whose files nobody knows
			}
			log := metric.WithAttributes(attribute.String("log", origin))
			o.ObserveInt64(lag, int64(seen.Size-min(seen.Size, said.Size)), log)
			o.ObserveInt64(failing, bad, log)
		}
		return nil
	}, lag, failing)
	return err
}
