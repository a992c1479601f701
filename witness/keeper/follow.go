package keeper

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// Files gives the files of a log, and the content behind its hashes. Both may be nil,
// where they are not known.
type Files func(*cosigner.Log) (tiles.Source, *reader.Reader, error)

// followers do work for logs, each one after the other.
type followers struct {
	ctx    context.Context // of the work that no request waits for
	slots  chan struct{}   // one for each log that is worked on
	most   time.Duration   // between two attempts
	failed string          // what is told when one fails
	logger *slog.Logger

	work sync.WaitGroup
	mu   sync.Mutex
	logs map[string]chan struct{} // by origins
}

// poke has the work done for a log, now or when the attempt that is at work has ended.
func (f *followers) poke(origin string, do func(ctx context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	poke := f.logs[origin]
	if poke == nil {
		poke = make(chan struct{}, 1)
		f.logs[origin] = poke
		f.work.Go(func() { f.follow(origin, poke, do) })
	}
	select {
	case poke <- struct{}{}:
	default: // it was told already
	}
}

func (f *followers) follow(origin string, poke <-chan struct{}, do func(ctx context.Context) error) {
	wait := time.Duration(0)
	for {
		var again <-chan time.Time
		if wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-f.ctx.Done():
			return
		case <-poke:
		case <-again:
		}
		select {
		case <-f.ctx.Done():
			return
		case f.slots <- struct{}{}:
		}
		err := do(f.ctx)
		<-f.slots
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
