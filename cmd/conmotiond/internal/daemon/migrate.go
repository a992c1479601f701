package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/tiles"
)

// Migrated says what a move came to.
type Migrated struct {
	*scitt.Checkpoint
	artifact.Copied
	// Stay are the artifacts that stay in the directory.
	Stay artifact.Copied
}

// Migrate moves a log, whose service is not running, to an empty bucket with an empty
// database: from.Dir has its keys, and the log unless from.Storage has it. The log is
// the same there, with its name, keys, entries and checkpoint. Its artifacts go to
// to.Artifacts, if that is a bucket. Progress is called with the number of entries or
// artifacts that are there, about once a second.
//
// A place with anything of a log in it is refused, and nothing is changed then.
// First everything that was accepted is made public, the new place is claimed, and the old
// one is closed for good, so that the log never goes on in two places. Only then it is copied. A crash
// at any point leaves a log that no service starts on, and that the next call moves
// to the end.
func Migrate(ctx context.Context, from, to Config, progress func(what string, done, all uint64)) (m *Migrated, err error) {
	from.Advertise, to.Advertise = nobody, nobody
	target, err := openCloud(ctx, &to)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if err := freeze(ctx, from, to, target); err != nil {
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
	m = &Migrated{}
	if m.Checkpoint, err = publicOf(ctx, &from, dir, source); err != nil {
		return nil, err
	}
	if err := m.copyArtifacts(ctx, &from, to.Artifacts, dir, target.String(), progress); err != nil {
		return nil, err
	}
	err = target.Import(ctx, source, m.Checkpoint, func(entries uint64) { progress("entries", entries, m.Size) })
	if err == nil {
		err = moved{to.Storage, to.Database}.write(dir)
	}
	return m, err
}

// interrupted waits for the lease of a move that was killed, for as long as it can have it.
func interrupted(ctx context.Context, place shared, lease time.Duration) error {
	for began := time.Now(); time.Since(began) < 2*lease; {
		w, err := place.Writer(ctx)
		if err != nil || !w.Held || w.Address != nobody {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lease / 10):
		}
	}
	return nil
}

// copyArtifacts takes the artifacts along to a bucket, or counts those in the directory
// where there is none. Log is the bucket of the log.
func (m *Migrated) copyArtifacts(ctx context.Context, from *Config, to string, dir *storage.Dir, log string, progress func(what string, done, all uint64)) (err error) {
	if from.Artifacts != "" && (to == "" || bucketOf(to) == bucketOf(from.Artifacts)) {
		return nil // they stay in their bucket
	}
	open := func(flag, location string) (artifact.Storage, error) {
		place, err := artifactPlace(ctx, location, log, dir)
		var s artifact.Storage
		if err == nil {
			s, err = place(ctx, artifact.Options{})
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		return s, nil
	}
	source, err := open("--from-artifacts", from.Artifacts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if to == "" {
		return source.Each(ctx, func(i artifact.Info) error { m.Stay.Artifacts++; m.Stay.Bytes += i.Size; return nil })
	}
	target, err := open("--artifacts", to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	said := time.Now()
	m.Copied, err = artifact.Copy(ctx, target, source, func(done, all int) {
		if time.Since(said) > time.Second || done == all {
			said = time.Now()
			progress("artifacts", uint64(done), uint64(all))
		}
	})
	return err
}

// nobody is the address of who writes a log while it is moved: a name that leads
// nowhere (RFC 2606 section 2).
const nobody = "http://migrating.invalid"

// freeze makes everything public that the log has accepted, and closes its place for
// good, unless that was done before. A target that the log cannot go to is refused first.
func freeze(ctx context.Context, from, to Config, target shared) error {
	dir, err := storage.OpenDir(from.Dir)
	if err != nil {
		return err
	}
	place, err := openLogPlace(ctx, &from, dir)
	if err != nil {
		return errors.Join(err, dir.Close())
	}
	checkpoint, err := place.Get(ctx, tiles.CheckpointPath)
	origin := scitt.ClaimedOrigin(checkpoint)
	var went string
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no log in %s", place.name)
	}
	if err == nil && place.shared != nil {
		if went, err = place.shared.Moved(ctx); err == nil && went == "" {
			err = interrupted(ctx, place.shared, cmp.Or(from.Lease, storage.DefaultLease))
		}
	} else if err == nil {
		var m moved
		m, _, err = readMoved(dir)
		went = m.Storage
	}
	if err = errors.Join(err, place.close(), dir.Close()); err != nil {
		return err
	}
	if went != "" {
		if bucketOf(went) != bucketOf(to.Storage) {
			return fmt.Errorf("%w: the log of %s went to %s, and not to %s", storage.ErrMovedAway, place.name, went, to.Storage)
		}
		return nil
	}
	if err := target.Vacant(ctx, origin); err != nil {
		return err
	}
	t, err := NewTelemetry()
	if err != nil {
		return err
	}
	d, err := Open(ctx, from, t) // it publishes what was accepted
	if err != nil {
		return err
	}
	if d.replica() {
		err = fmt.Errorf("%w: stop all instances of the service first: this one is a %s", storage.ErrLocked, d.Role())
	} else {
		err = target.Expect(ctx, origin)
	}
	switch {
	case err != nil:
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
