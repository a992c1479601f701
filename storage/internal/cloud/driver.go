package cloud

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// Driver is a [storage.Driver] on a bucket and a database.
type Driver struct {
	Place
	origin string // of the log; the database is for one
	writer *writer

	signed atomic.Pointer[[]byte] // see Signed
	add    tessera.AddFn          // of the log's appender, without what decorates it

	mu     sync.Mutex
	public Object // the checkpoint as it was last read or written
}

// New makes the driver of a place.
func New(p Place, o storage.WriterOptions) *Driver {
	d := &Driver{Place: p}
	d.writer = &writer{db: p.Database, ttl: cmp.Or(o.Lease, storage.DefaultLease), address: o.Address, logger: o.Logger, gone: make(chan struct{}), reach: d.reach}
	return d
}

// String names the bucket.
func (d *Driver) String() string { return d.Bucket.String() }

// Lost is closed when this process is not the log's writer any more; then Ready
// says why. It can be the writer again after another New.
func (d *Driver) Lost() <-chan struct{} { return d.writer.gone }

// Writer tells who the log's writer is.
func (d *Driver) Writer(ctx context.Context) (storage.Writer, error) { return d.Database.Writer(ctx) }

// Close gives the lease back. The log must be closed.
func (d *Driver) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), IOTimeout)
	defer cancel()
	return errors.Join(d.writer.resign(ctx), d.Database.Close())
}

// away is what readers are told of a bucket that does not answer; what it says is for the operator.
var away = &scitt.Problem{Status: http.StatusServiceUnavailable, Title: "Log Unavailable", Detail: "the files of the log are out of reach at this moment; try again", RetryAfter: 5 * time.Second}

// Get implements [tiles.Source].
func (d *Driver) Get(ctx context.Context, path string) ([]byte, error) {
	o, err := d.Bucket.Get(ctx, path)
	if err == nil && path == tiles.CheckpointPath {
		d.remember(o)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(ctx.Err(), context.Canceled) {
		err = fmt.Errorf("%w: %w", away, err)
	}
	return o.Data, err
}

func (d *Driver) remember(o Object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.public = o
}

// Put implements [storage.Driver].
func (d *Driver) Put(ctx context.Context, path string, data []byte) error {
	if old, err := d.Bucket.Get(ctx, path); err == nil && bytes.Equal(old.Data, data) {
		return nil
	}
	_, err := d.Bucket.Put(ctx, path, data, Condition{})
	return err
}

// Open implements [storage.Driver].
func (d *Driver) Open(ctx context.Context, public *scitt.Checkpoint) (tessera.Driver, error) {
	driver, err := d.open(ctx, public)
	if err != nil {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), IOTimeout)
		defer cancel()
		return nil, fmt.Errorf("open log: %w", errors.Join(err, d.writer.resign(limited)))
	}
	return &engine{driver, d}, nil
}

func (d *Driver) open(ctx context.Context, public *scitt.Checkpoint) (Engine, error) {
	d.origin = public.Origin
	// Looked at before anything is written, and by the writer once more.
	err := d.belongs(ctx, public)
	if err == nil {
		err = d.writer.become(ctx, d.origin, d.String())
	}
	if err == nil {
		err = d.belongs(ctx, public)
	}
	if err == nil {
		err = probe(ctx, d.Bucket)
	}
	if err == nil {
		// A crash may have lost the note. A crash here does no harm.
		err = d.Database.SignAgain(ctx)
	}
	if err != nil {
		return nil, err
	}
	return d.Engine(ctx, d.writer.term, d.sign)
}

// sign takes a note that Tessera signed. Tessera holds PubCoord, and ends that
// transaction when there is an error; so the tree that a writer of an older term
// signed is not noted as published.
func (d *Driver) sign(ctx context.Context, note []byte) error {
	if err := d.writer.asks(ctx); err != nil {
		return err
	}
	d.signed.Store(&note)
	return nil
}

// state reads the state, and refuses that of a format which a later release made.
func (d *Driver) state(ctx context.Context) (State, error) {
	s, err := d.Database.State(ctx)
	if err == nil && s.Format > Format {
		err = fmt.Errorf("the log of %s has format %d, and this program writes formats up to %d: start a newer release", d.Database, s.Format, Format)
	}
	return s, err
}

// there is what the database says, and whether the bucket has tiles.
func (d *Driver) there(ctx context.Context) (s State, tiles bool, err error) {
	if s, err = d.state(ctx); err == nil {
		tiles, err = d.Bucket.Holds(ctx, "tile/")
	}
	return s, tiles, err
}

// belongs refuses a bucket and a database that are not those of one log, this one.
func (d *Driver) belongs(ctx context.Context, public *scitt.Checkpoint) error {
	s, tilesThere, err := d.there(ctx)
	if err != nil {
		return err
	}
	switch empty := public.Raw == nil; {
	case s.Bound && s.Origin != d.origin:
		return fmt.Errorf("%w: %s is of the log %s, and this is %s; each log has a database of its own", storage.ErrForeign, d.Database, s.Origin, d.origin)
	case s.Bound && s.Bucket != d.String():
		return fmt.Errorf("%w: the log of %s is in the bucket %s, and not in %s", storage.ErrForeign, d.Database, s.Bucket, d.Bucket)
	case s.Moved == arriving:
		return fmt.Errorf("%w: it is not in %s and %s yet; run the same conmotiond migrate again, to its end", storage.ErrMovedAway, d.Bucket, d.Database)
	case s.Moved != "":
		return fmt.Errorf("%w: the log of %s and %s is now in %s", storage.ErrMovedAway, d.Bucket, d.Database, s.Moved)
	case !s.Bound && s.Engine:
		return fmt.Errorf("%w: %s is of a log that is not conmotion's", storage.ErrForeign, d.Database)
	case !s.Engine && (!empty || tilesThere):
		return fmt.Errorf("%w: %s has a log, and %s has none; give the database that belongs to the bucket, or an empty bucket", storage.ErrForeign, d.Bucket, d.Database)
	case empty && s.Published != nil, empty && s.Size > 0 && !tilesThere:
		return fmt.Errorf("%w: %s is of a log with %d entries, and %s has none of it; give the bucket that belongs to the database, or an empty database", storage.ErrForeign, d.Database, s.Size, d.Bucket)
	case s.Next < s.Size:
		return fmt.Errorf("%w: %s says that the log ends at %d and that %d entries are integrated; when the log is being moved here, let conmotiond migrate end it", storage.ErrFork, d.Database, s.Next, s.Size)
	case s.Size < public.Size:
		return fmt.Errorf("%w: %s has %d entries and %s shows %d", storage.ErrFork, d.Database, s.Size, d.Bucket, public.Size)
	}
	return nil
}

// Tree implements [storage.Driver].
func (d *Driver) Tree(ctx context.Context) (*scitt.Checkpoint, error) {
	s, err := d.Database.State(ctx)
	if err != nil {
		return nil, err
	}
	if !s.Engine {
		return nil, fmt.Errorf("%s has no log: %w", d.Database, fs.ErrNotExist)
	}
	return &scitt.Checkpoint{Origin: d.origin, Size: s.Size, Root: s.Root}, nil
}

// Signed implements [storage.Driver]. The note is in memory: after a crash Tessera
// signs again.
func (d *Driver) Signed(context.Context) ([]byte, error) {
	if note := d.signed.Load(); note != nil {
		return *note, nil
	}
	return nil, fmt.Errorf("nothing is signed yet: %w", fs.ErrNotExist)
}

// Publish implements [storage.Driver] with a conditional write, so that a write
// that arrives late finds another object than it expects. Whatever the answer
// was, what is there then decides.
func (d *Driver) Publish(ctx context.Context, note, last []byte) error {
	if err := d.writer.asks(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	now := d.public
	d.mu.Unlock()
	var tag string
	var err error
	if bytes.Equal(now.Data, last) {
		tag, err = d.Bucket.Put(ctx, tiles.CheckpointPath, note, Condition{Match: now.Tag, Absent: last == nil})
	}
	if err != nil || !bytes.Equal(now.Data, last) {
		there, rerr := d.Get(ctx, tiles.CheckpointPath)
		switch {
		case rerr != nil:
			return errors.Join(err, rerr)
		case bytes.Equal(there, note): // what seemed to fail did not
		case !bytes.Equal(there, last):
			return errors.Join(fmt.Errorf("%s/%s: %w", d.Bucket, tiles.CheckpointPath, storage.ErrMoved), err)
		case err == nil:
			return fmt.Errorf("%s/%s: it was written meanwhile, and is as it was", d.Bucket, tiles.CheckpointPath)
		default:
			return err
		}
	} else {
		d.remember(Object{note, tag})
	}
	return d.Database.Published(ctx, d.writer.term, note)
}

// Ready implements [storage.Driver].
func (d *Driver) Ready(ctx context.Context) error {
	if err := d.writer.holds(); err != nil {
		return err
	}
	return d.writer.batch(ctx, 0)
}

// Check implements [storage.Driver]: it asks the database and the bucket.
func (d *Driver) Check(ctx context.Context) error {
	if err := d.writer.asks(ctx); err != nil {
		return err
	}
	return d.reach(ctx)
}

// reach reads something of the bucket. Where nothing of this log is public yet, what is
// there may be of another one that was made at the same time: see [storage.ErrForeign].
func (d *Driver) reach(ctx context.Context) error {
	o, err := d.Bucket.Get(ctx, tiles.CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	d.mu.Lock()
	began := scitt.ClaimedOrigin(d.public.Data) == d.writer.origin
	d.mu.Unlock()
	if name := scitt.ClaimedOrigin(o.Data); err == nil && !began && name != d.writer.origin {
		return fmt.Errorf("%w: %s has the log %.80q, which was made there meanwhile", storage.ErrForeign, d.Bucket, name)
	}
	return err
}
