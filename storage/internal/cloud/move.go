package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// importers is how many bundles are copied at a time.
const importers = 16

// arriving stands in the place of where a log went while it is being moved here: nobody
// can become its writer before that is done.
const arriving = "arriving"

// Vacant refuses a place that has something of a log, and a bucket that a log cannot be
// in. It is asked before the old place of the log with this origin is closed for good. One
// that Expect has begun to claim for it is vacant. A crash may leave the object of the probe.
func (d *Driver) Vacant(ctx context.Context, origin string) error {
	s, tilesThere, err := d.there(ctx)
	if err != nil {
		return err
	}
	checkpointThere, err := d.Bucket.Holds(ctx, tiles.CheckpointPath)
	if err != nil {
		return err
	}
	switch {
	case tilesThere || checkpointThere:
		return occupied(d.Bucket)
	case s.Engine, s.Bound && (s.Moved != "" && s.Moved != arriving || s.Origin != origin || s.Bucket != d.String()):
		return occupied(d.Database)
	}
	return probe(ctx, d.Bucket)
}

func occupied(by fmt.Stringer) error {
	return fmt.Errorf("%w: %s has a log; a log is moved to an empty bucket with an empty database", storage.ErrForeign, by)
}

// Expect claims a vacant place for the log with this origin, which is to be moved here:
// until Import is done no service can make or open a log in it. It can be done again.
func (d *Driver) Expect(ctx context.Context, origin string) error {
	d.origin = origin
	for began := time.Now(); d.writer.stop == nil; { // one that was killed before may have the lease
		err := d.writer.become(ctx, d.origin, d.String())
		if err == nil {
			break
		}
		if !errors.Is(err, storage.ErrLocked) || time.Since(began) > 2*d.writer.ttl {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d.writer.ttl / 10):
		}
	}
	s, err := d.Database.State(ctx)
	switch {
	case err != nil || s.Moved == arriving:
		return err
	case s.Next > 0: // a service made a log here meanwhile
		return occupied(d.Database)
	}
	return d.Database.Moved(ctx, d.writer.term, arriving)
}

// Import makes this place that of a log which lies somewhere else and stays as it
// is: the log as its public checkpoint commits to it, with that checkpoint and its
// signatures. It refuses a place with anything else in it. Progress is called about
// once a second with the number of entries that are in the tree.
//
// It can be done again after a crash at any point, and does nothing where the log went on
// since it was done. Until it is done the place cannot
// be opened as a log: its next index is 0, and that it is the size is the last thing
// that is written. What is written before is the same each time.
func (d *Driver) Import(ctx context.Context, from tiles.Source, public *scitt.Checkpoint, progress func(entries uint64)) error {
	d.origin = public.Origin
	there, err := d.Get(ctx, tiles.CheckpointPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && !bytes.Equal(there, public.Raw) {
		return d.wentOn(ctx, public)
	}
	if done, err := d.imported(ctx, public, there != nil); done || err != nil {
		return err
	}
	if err := d.Expect(ctx, d.origin); err != nil {
		return err
	}
	if err := probe(ctx, d.Bucket); err != nil {
		return err
	}
	if err := d.copyTiles(ctx, from, public, progress); err != nil {
		return err
	}
	for _, path := range []string{tiles.KeysPath, tiles.ConfigurationPath} {
		data, err := from.Get(ctx, path)
		if err == nil {
			err = d.Put(ctx, path, data)
		}
		if err != nil {
			return err
		}
	}
	if !bytes.Equal(there, public.Raw) {
		if err := d.Publish(ctx, public.Raw, nil); err != nil {
			return err
		}
	}
	// Until it goes on at its size, a start is refused for that.
	if err := d.Database.Moved(ctx, d.writer.term, ""); err != nil {
		return err
	}
	return d.Database.Resume(ctx, d.writer.term, public.Size)
}

// wentOn refuses a place that has another public checkpoint, unless the log was moved there
// and went on.
func (d *Driver) wentOn(ctx context.Context, public *scitt.Checkpoint) error {
	s, err := d.state(ctx)
	if err != nil {
		return err
	}
	if s.Bound && s.Origin == d.origin && s.Bucket == d.String() && s.Next > 0 {
		var view *tiles.View
		if view, err = tiles.NewTree(d).At(ctx, &scitt.Checkpoint{Origin: d.origin, Size: s.Size, Root: s.Root}); err == nil {
			err = view.Consistency(ctx, public)
		}
		if err == nil || !errors.Is(err, scitt.ErrProof) && !errors.Is(err, tiles.ErrBehind) {
			return err
		}
	}
	return fmt.Errorf("%w: %s has another checkpoint than the log that is to go there", storage.ErrForeign, d.Bucket)
}

// imported reports whether an import was done to its end, and refuses what was not
// begun by one.
func (d *Driver) imported(ctx context.Context, public *scitt.Checkpoint, published bool) (bool, error) {
	s, err := d.state(ctx)
	if err != nil {
		return false, err
	}
	tilesThere, err := d.Bucket.Holds(ctx, "tile/")
	switch {
	case err != nil:
		return false, err
	case s.Bound && (s.Origin != d.origin || s.Bucket != d.String()), s.Moved != "" && s.Moved != arriving, !s.Bound && (s.Engine || tilesThere || published), s.Size > public.Size, s.Next != 0 && s.Next != public.Size:
		return false, fmt.Errorf("%w: %s and %s are not empty, and have not a part of the log that is to go there", storage.ErrForeign, d.Bucket, d.Database)
	}
	return s.Engine && s.Next == public.Size && published, nil
}

// copyTiles has Tessera copy the bundles and make the tiles from them, until it has
// the same root.
func (d *Driver) copyTiles(ctx context.Context, from tiles.Source, public *scitt.Checkpoint, progress func(entries uint64)) error {
	engine, err := d.Engine(ctx, d.writer.term, d.sign)
	if err != nil {
		return err
	}
	var target *tessera.MigrationTarget
	open := func() (err error) {
		target, err = tessera.NewMigrationTarget(ctx, engine, tessera.NewMigrationOptions())
		return err
	}
	if d.InTurn != nil {
		err = d.InTurn(ctx, open)
	} else {
		err = open()
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			if s, err := d.Database.State(ctx); err == nil {
				progress(s.Size)
			}
		}
	}()
	err = target.Migrate(ctx, importers, public.Size, public.Root, func(ctx context.Context, index uint64, partial uint8) ([]byte, error) {
		return from.Get(ctx, tiles.BundlePath(index, int(partial)))
	})
	if err != nil {
		return fmt.Errorf("copy the log to %s: %w", d.Bucket, err)
	}
	return nil
}

// MovedTo notes that the log went on elsewhere: nobody can be its writer here any
// more. This process is.
func (d *Driver) MovedTo(ctx context.Context, to string) error {
	return d.Database.Moved(ctx, d.writer.term, to)
}

// Moved is where the log went from here; "" when it is here.
func (d *Driver) Moved(ctx context.Context) (string, error) {
	s, err := d.Database.State(ctx)
	return s.Moved, err
}
