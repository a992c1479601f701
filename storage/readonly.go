package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Follow opens a log of which another process is the writer: it is what its public
// checkpoint commits to, and grows with it. Nothing is appended before [Log.Write].
func Follow(ctx context.Context, driver Driver, o Options) (*Log, error) {
	l, err := newLog(ctx, driver, o)
	if err != nil {
		return nil, err
	}
	l.read(ctx, ErrLocked)
	return l, nil
}

// followInterval is how often the public checkpoint is read that somebody else writes.
const followInterval = 500 * time.Millisecond

// read has the log be read, since it cannot be written for this reason.
func (l *Log) read(ctx context.Context, why error) {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &role{reader: publicReader{l.pub}, cancel: cancel,
		readOnly: fmt.Errorf("%w: the log is read only until a restart: %w", scitt.ErrUnavailable, why)}
	follower := l.o.Antispam.Follower(nil)
	if errors.Is(why, ErrLocked) {
		r.readOnly = fmt.Errorf("%w: another instance is the writer: %w", scitt.ErrUnavailable, why)
		r.done.Go(func() { l.pub.follow(run, followInterval, l.pub.reload) })
	}
	r.done.Go(func() {
		if next, err := follower.EntriesProcessed(run); err == nil && next > 0 && errors.Is(why, ErrLocked) {
			// This process was the writer, and the last entries may not be public yet.
			_, _ = l.pub.await(run, next-1) // only the context ends it
		}
		follower.Follow(run, r.reader)
	})
	l.role.Store(r)
}

// ReadOnly says why the log takes no entries; nil when this process is the writer.
// The error wraps ErrLocked where the log is followed.
func (l *Log) ReadOnly() error { return l.role.Load().readOnly }

// Followed is when the public checkpoint was last read or written.
func (l *Log) Followed() time.Time { return l.pub.lookedAt() }

// publicReader is Tessera's reader over the public files.
type publicReader struct{ pub *publisher }

// ReadCheckpoint gives the public checkpoint.
func (r publicReader) ReadCheckpoint(context.Context) ([]byte, error) {
	return r.pub.current().Checkpoint.Raw, nil
}

// ReadTile reads a tile; p is its width, 0 for a full one.
func (r publicReader) ReadTile(ctx context.Context, level, index uint64, p uint8) ([]byte, error) {
	return r.partialOrFull(ctx, tiles.TilePath(int(level), index, int(p)), tiles.TilePath(int(level), index, 0), p)
}

// ReadEntryBundle reads a bundle; p is its width, 0 for a full one.
func (r publicReader) ReadEntryBundle(ctx context.Context, index uint64, p uint8) ([]byte, error) {
	return r.partialOrFull(ctx, tiles.BundlePath(index, int(p)), tiles.BundlePath(index, 0), p)
}

func (r publicReader) partialOrFull(ctx context.Context, partial, full string, p uint8) ([]byte, error) {
	data, err := r.pub.driver.Get(ctx, partial)
	if err != nil && p > 0 {
		data, err = r.pub.driver.Get(ctx, full)
	}
	return data, err
}

// IntegratedSize is the public size: what is stored beyond it cannot become public.
func (r publicReader) IntegratedSize(context.Context) (uint64, error) {
	return r.pub.current().Checkpoint.Size, nil
}

// NextIndex is where the log ends.
func (r publicReader) NextIndex(ctx context.Context) (uint64, error) { return r.IntegratedSize(ctx) }
