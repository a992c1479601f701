package storage

import (
	"context"
	"fmt"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// openReadOnly opens a log where it cannot be written, for this reason: it
// is what its public checkpoint commits to, and stays so. Nothing is appended
// before the next start.
func openReadOnly(ctx context.Context, driver Driver, pub *publisher, antispam tessera.Antispam, why error) *Log {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Log{driver: driver, reader: publicReader{pub}, cancel: cancel, pub: pub, slots: make(chan struct{}, 1),
		readOnly: fmt.Errorf("%w: the log is read only until a restart: %w", scitt.ErrUnavailable, why)}
	l.done.Go(func() { antispam.Follower(nil).Follow(run, l.reader) })
	return l
}

// ReadOnly says why the log takes no entries until it is opened again; nil when it does.
func (l *Log) ReadOnly() error { return l.readOnly }

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
