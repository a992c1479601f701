package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
)

// Migrate moves a log, whose service is not running, to an empty bucket with an empty
// database: from.Dir has its keys, and the log unless from.Storage has it. The log is
// the same there, with its name, keys, entries and checkpoint. Progress is called with
// the number of entries that are there, about once a second.
//
// First everything that was accepted is made public, and the old place is closed for
// good, so that the log never goes on in two places. Only then it is copied. A crash
// at any point leaves a log that no service starts on, and that the next call moves
// to the end.
func Migrate(ctx context.Context, from, to Config, progress func(entries, size uint64)) (public *scitt.Checkpoint, err error) {
	from.Advertise, to.Advertise = nobody, nobody
	target, err := openCloud(ctx, &to)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if err := freeze(ctx, from, to); err != nil {
		return nil, err
	}
	dir, err := storage.OpenDir(from.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	source, err := openLogPlace(ctx, &from, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	if public, err = publicOf(ctx, &from, dir, source); err != nil {
		return nil, err
	}
	err = target.Import(ctx, source, public, func(entries uint64) { progress(entries, public.Size) })
	if err == nil {
		err = moved{to.Storage, to.Database}.write(dir)
	}
	return public, err
}

// nobody is the address of who writes a log while it is moved: a name that leads
// nowhere (RFC 2606 section 2).
const nobody = "http://migrating.invalid"

// freeze makes everything public that the log has accepted, and closes its place for
// good, unless that was done before.
func freeze(ctx context.Context, from, to Config) error {
	dir, err := storage.OpenDir(from.Dir)
	if err != nil {
		return err
	}
	place, err := openLogPlace(ctx, &from, dir)
	if err != nil {
		return errors.Join(err, dir.Close())
	}
	there, err := place.hasLog(ctx)
	var went string
	if err == nil && !there {
		err = fmt.Errorf("there is no log in %s", place.name)
	}
	if err == nil && place.shared != nil {
		went, err = place.shared.Moved(ctx)
	} else if err == nil {
		var m moved
		m, _, err = readMoved(dir)
		went = m.Storage
	}
	if err = errors.Join(err, place.close(), dir.Close()); err != nil {
		return err
	}
	if went != "" {
		if went != to.Storage {
			return fmt.Errorf("%w: the log of %s went to %s, and not to %s", storage.ErrMovedAway, place.name, went, to.Storage)
		}
		return nil
	}
	t, err := NewTelemetry()
	if err != nil {
		return err
	}
	d, err := Open(ctx, from, t) // it publishes what was accepted
	if err != nil {
		return err
	}
	switch {
	case d.replica():
		err = fmt.Errorf("%w: stop all instances of the service first: this one is a %s", storage.ErrLocked, d.Role())
	case d.place.shared != nil:
		err = d.place.shared.MovedTo(ctx, to.Storage)
	default:
		err = moved{to.Storage, to.Database}.write(d.dir)
	}
	return errors.Join(err, d.Close())
}

// publicOf is the public checkpoint of a log, by the keys that are here.
func publicOf(ctx context.Context, c *Config, dir *storage.Dir, log *place) (*scitt.Checkpoint, error) {
	keys, err := keysOf(ctx, c, dir, nil)
	if err != nil {
		return nil, err
	}
	id, err := loadIdentity(ctx, keys, log, c)
	if err != nil {
		return nil, err
	}
	k, err := loadKeys(ctx, keys, log, id)
	if err != nil {
		return nil, err
	}
	view, err := k.latest(ctx, log)
	if err != nil {
		return nil, err
	}
	return view.Checkpoint, nil
}
