package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// sound holds the newest bundle, and the tiles on the way from it to the root,
// to the tree that the engine goes on from. The engine copies them into the next
// bundle and the next tiles without a look at them: damage would spread from one
// file to all that follow.
func (p *publisher) sound(ctx context.Context) error {
	return p.soundFor(ctx, &scitt.Checkpoint{}, nil)
}

// soundFor is sound before a batch, and refuses a tree that does not extend what is public: the
// engine's state may become an older one while it runs, as by a database that fails over and
// loses commits. Where the engine integrates later than it sequences, as
// in a bucket, many batches come between two trees: the tree that was found sound, which is
// noted in last, is not read again while entries wait that will be built on it in any case.
// Next is where the log ends.
func (p *publisher) soundFor(ctx context.Context, last *scitt.Checkpoint, next func(context.Context) (uint64, error)) error {
	public := p.current().Checkpoint // before the tree, which may grow meanwhile
	stored, err := p.driver.Tree(ctx)
	if public.Size == 0 && (errors.Is(err, fs.ErrNotExist) || err == nil && stored.Size == 0) {
		return nil // a new log
	}
	if err != nil {
		return err
	}
	if stored.Size >= public.Size && stored.Size == last.Size && bytes.Equal(stored.Root, last.Root) {
		if end, err := next(ctx); err != nil || end > stored.Size {
			return err
		}
	}
	view, err := p.extending(ctx, stored, public)
	if err != nil {
		return err
	}
	for _, err := range view.Entries(ctx, (stored.Size-1)/tiles.Width*tiles.Width, stored.Size) {
		if err != nil {
			return newest(err)
		}
	}
	*last = *stored
	return nil
}

// exact are the files of a log of one's own, in which a partial bundle or tile has what
// its name says and no more. Elsewhere a wider one may have taken its place; here the
// engine would copy what is too much into the next bundle.
type exact struct{ tiles.Source }

// Get implements [tiles.Source].
func (e exact) Get(ctx context.Context, path string) ([]byte, error) {
	data, err := e.Source.Get(ctx, path)
	if level, _, width, ok := tiles.ParseTilePath(path); err == nil && ok && width < tiles.Width {
		if first, err := tiles.First(data, level, width); err == nil && len(first) < len(data) {
			return nil, fmt.Errorf("%w: %s has more than the %d that its name says", tiles.ErrCorrupt, path, width)
		}
	}
	return data, err
}

func newest(err error) error {
	todo := ""
	if damaged(err) {
		todo = "; put the file back from a mirror or a backup"
	}
	return fmt.Errorf("the newest entries cannot be read, so nothing is appended behind them%s: %w", todo, err)
}

// damaged reports whether an error says that files of the log are wrong or gone, and not
// only that they are out of reach.
func damaged(err error) bool {
	return errors.Is(err, tiles.ErrCorrupt) || errors.Is(err, fs.ErrNotExist)
}

// outcome remembers how storing went.
type outcome struct {
	err atomic.Pointer[failure]
}

type failure struct {
	err error
	at  time.Time
}

// note takes the outcome of a batch.
func (o *outcome) note(err error) {
	if err == nil {
		o.err.Store(nil)
		return
	}
	o.err.Store(&failure{err, time.Now()})
}

// failingFor is how long the failing of a batch counts, when the disk can be
// written otherwise.
const failingFor = 10 * time.Second

// Check says why entries cannot be stored now, or what is wrong with the files
// of the log: it has the driver try to write, and reads the newest entries and one
// at random with everything that proves them. Of a log that is followed it reads
// one at random.
func (l *Log) Check(ctx context.Context) error {
	if why := l.ReadOnly(); errors.Is(why, ErrLocked) {
		if late := time.Since(l.Followed()); late > failingFor {
			return fmt.Errorf("the public checkpoint was not read for %v", late.Round(time.Second))
		}
		return l.sample(ctx)
	} else if why != nil {
		return why
	}
	if err := l.driver.Check(ctx); err != nil {
		return err
	}
	if f := l.outcome.err.Load(); f != nil && time.Since(f.at) < failingFor {
		return fmt.Errorf("the last entries could not be stored: %w", f.err)
	}
	if err := l.pub.sound(ctx); err != nil {
		return err
	}
	return l.sample(ctx)
}

// sample proves one public entry from the files alone, with nothing from memory.
func (l *Log) sample(ctx context.Context) error {
	cp := l.Published().Checkpoint
	if cp.Size == 0 {
		return nil
	}
	view, err := tiles.NewTree(l.driver).At(ctx, cp)
	if err == nil {
		_, err = view.Entry(ctx, rand.Uint64N(cp.Size))
	}
	switch {
	case err == nil:
		return nil
	case damaged(err):
		return fmt.Errorf("the log's files are damaged: %w", err)
	}
	return fmt.Errorf("the log's files cannot be read: %w", err)
}
