// Package aws keeps a log in an S3 bucket and a MySQL database, with Tessera's
// driver for them. docs/architecture.md says how: "Where the log lies".
package aws

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// Config says where the log is.
type Config struct {
	Bucket   Bucket
	Database *mysql.Config // see [ParseDatabase]
	// Lease is how long another instance waits for a writer that does not renew
	// its lease; 0 means [DefaultLease].
	Lease time.Duration
	// Address is where other instances reach this one while it is the writer; at
	// most 255 bytes.
	Address string
	Logger  *slog.Logger
}

// DefaultLease is the default of Config.Lease.
const DefaultLease = 4 * time.Second

// Driver is a [storage.Driver] on a bucket and a database.
type Driver struct {
	origin   string // of the log; the database is for one
	bucket   *bucket
	database *mysql.Config
	writer   *writer

	signed atomic.Pointer[[]byte] // see Signed
	add    tessera.AddFn          // of the log's appender, without what decorates it

	mu     sync.Mutex
	public object // the checkpoint as it was last read or written
}

// object is an object's content and its ETag.
type object struct {
	data []byte
	etag string
}

// New opens the connections to bucket and database, and writes nothing.
func New(ctx context.Context, c Config) (*Driver, error) {
	b, err := openBucket(ctx, c.Bucket)
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(c.Database)
	if err != nil {
		return nil, fmt.Errorf("mysql://%s/%s: %w", c.Database.Addr, c.Database.DBName, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(4)
	db.SetConnMaxIdleTime(time.Minute)
	lease := c.Lease
	if lease == 0 {
		lease = DefaultLease
	}
	w := &writer{db: db, where: "mysql://" + c.Database.Addr + "/" + c.Database.DBName, ttl: lease, address: c.Address, logger: c.Logger, gone: make(chan struct{})}
	d := &Driver{bucket: b, database: c.Database, writer: w}
	w.reach = d.reach
	return d, nil
}

// Lost is closed when this process is not the log's writer any more; then Ready
// says why. It can be the writer again after another New.
func (d *Driver) Lost() <-chan struct{} { return d.writer.gone }

// Writer tells who the log's writer is, by the database's clock.
func (d *Driver) Writer(ctx context.Context) (w storage.Writer, err error) {
	err = d.writer.db.QueryRowContext(ctx, `SELECT holder, term, expires > UTC_TIMESTAMP(6) FROM conmotion_writer WHERE id = 0`).Scan(&w.Address, &w.Term, &w.Held)
	if errors.Is(err, sql.ErrNoRows) || isMySQL(err, noSuchTable) {
		err = nil
	}
	return w, d.writer.failed("look for the writer", err)
}

// Close gives the lease back. The log must be closed.
func (d *Driver) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), ioTimeout)
	defer cancel()
	return errors.Join(d.writer.resign(ctx), d.writer.db.Close())
}

// Get implements [tiles.Source].
func (d *Driver) Get(ctx context.Context, path string) ([]byte, error) {
	data, etag, err := d.bucket.get(ctx, path)
	if err == nil && path == tiles.CheckpointPath {
		d.remember(data, etag)
	}
	return data, err
}

func (d *Driver) remember(data []byte, etag string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.public = object{data, etag}
}

// Put implements [storage.Driver].
func (d *Driver) Put(ctx context.Context, path string, data []byte) error {
	if old, _, err := d.bucket.get(ctx, path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	_, err := d.bucket.put(ctx, path, data, "", false)
	return err
}

// Open implements [storage.Driver].
func (d *Driver) Open(ctx context.Context, public *scitt.Checkpoint) (tessera.Driver, error) {
	d.origin = public.Origin
	// Looked at before anything is written, and by the writer once more.
	err := d.belongs(ctx, public)
	if err == nil {
		err = d.writer.become(ctx, d.origin, d.bucket.Name)
	}
	if err == nil {
		err = d.belongs(ctx, public)
	}
	if err == nil {
		err = d.bucket.probe(ctx)
	}
	if err == nil {
		err = d.signAgain(ctx)
	}
	if err != nil {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), ioTimeout)
		defer cancel()
		return nil, fmt.Errorf("open log: %w", errors.Join(err, d.writer.resign(limited)))
	}
	c := d.database.Clone()
	c.Params["@conmotion_term"] = strconv.FormatUint(d.writer.term, 10)
	return newEngine(ctx, d.bucket, c.FormatDSN(), d.sign, func(ctx context.Context, a *tessera.Appender) error {
		d.add = a.Add
		return d.writer.guard(ctx)
	})
}

// sign takes a note that Tessera signed. Tessera holds PubCoord, and ends that
// transaction when there is an error; so the tree that a writer of an older term
// signed is not noted as published. One that loses the lease behind this loses the
// connection of the transaction as well.
func (d *Driver) sign(ctx context.Context, note []byte) error {
	if err := d.writer.asks(ctx); err != nil {
		return err
	}
	d.signed.Store(&note)
	return nil
}

// belongs refuses a bucket and a database that are not those of one log, this one.
func (d *Driver) belongs(ctx context.Context, public *scitt.Checkpoint) error {
	s, err := d.writer.read(ctx)
	if err != nil {
		return err
	}
	tilesThere, err := d.bucket.holds(ctx, "tile/")
	if err != nil {
		return err
	}
	switch empty := public.Raw == nil; {
	case s.bound && s.origin != d.origin:
		return fmt.Errorf("%w: %s is of the log %s, and this is %s; each log has a database of its own", storage.ErrForeign, d.writer.where, s.origin, d.origin)
	case s.bound && s.bucket != d.bucket.Name:
		return fmt.Errorf("%w: the log of %s is in the bucket %s, and not in %s", storage.ErrForeign, d.writer.where, s.bucket, d.bucket)
	case !s.bound && s.engine:
		return fmt.Errorf("%w: %s is of a log that is not conmotion's", storage.ErrForeign, d.writer.where)
	case !s.engine && (!empty || tilesThere):
		return fmt.Errorf("%w: %s has a log, and %s has none; give the database that belongs to the bucket, or an empty bucket", storage.ErrForeign, d.bucket, d.writer.where)
	case empty && s.published != nil, empty && s.size > 0 && !tilesThere:
		return fmt.Errorf("%w: %s is of a log with %d entries, and %s has none of it; give the bucket that belongs to the database, or an empty database", storage.ErrForeign, d.writer.where, s.size, d.bucket)
	case s.next < s.size:
		return fmt.Errorf("%w: %s says that the log ends at %d and that %d entries are integrated", storage.ErrFork, d.writer.where, s.next, s.size)
	case s.size < public.Size:
		return fmt.Errorf("%w: %s has %d entries and %s shows %d", storage.ErrFork, d.writer.where, s.size, d.bucket, public.Size)
	}
	return nil
}

// signAgain has Tessera sign the tree that is integrated, also if it did that
// before: a crash may have lost the note. A crash here does no harm.
func (d *Driver) signAgain(ctx context.Context) error {
	_, err := d.writer.db.ExecContext(ctx, `UPDATE PubCoord SET publishedAt = 0 WHERE id = 0`)
	if isMySQL(err, noSuchTable) {
		return nil
	}
	return d.writer.failed("have the checkpoint signed again", err)
}

// Tree implements [storage.Driver].
func (d *Driver) Tree(ctx context.Context) (*scitt.Checkpoint, error) {
	s, err := d.writer.read(ctx)
	if err != nil {
		return nil, err
	}
	if !s.engine {
		return nil, fmt.Errorf("%s has no log: %w", d.writer.where, fs.ErrNotExist)
	}
	return &scitt.Checkpoint{Origin: d.origin, Size: s.size, Root: s.root}, nil
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
	var etag string
	var err error
	if bytes.Equal(now.data, last) {
		etag, err = d.bucket.put(ctx, tiles.CheckpointPath, note, now.etag, last == nil)
	}
	if err != nil || !bytes.Equal(now.data, last) {
		there, rerr := d.Get(ctx, tiles.CheckpointPath)
		switch {
		case rerr != nil:
			return errors.Join(err, rerr)
		case bytes.Equal(there, note): // what seemed to fail did not
		case !bytes.Equal(there, last):
			return errors.Join(fmt.Errorf("%s/%s: %w", d.bucket, tiles.CheckpointPath, storage.ErrMoved), err)
		case err == nil:
			return fmt.Errorf("%s/%s: it was written meanwhile, and is as it was", d.bucket, tiles.CheckpointPath)
		default:
			return err
		}
	} else {
		d.remember(note, etag)
	}
	return d.writer.published(ctx, note)
}

// Whole implements [storage.Driver]. One flush of Tessera's queue is one
// transaction, and the fence refuses all parts of a batch that was divided, which
// happens when handing it over takes longer than queueAge. Then it is handed over
// again.
func (d *Driver) Whole(ctx context.Context, n uint) (tessera.AddFn, error) {
	return wholeBatch(d.add, n), d.writer.batch(ctx, n)
}

// wholeBatch hands n entries over when it has all of them.
func wholeBatch(add tessera.AddFn, n uint) tessera.AddFn {
	const attempts = 10
	var entries []*tessera.Entry
	results := make([]func() (tessera.Index, error), n)
	return func(ctx context.Context, e *tessera.Entry) tessera.IndexFuture {
		place := len(entries)
		if entries = append(entries, e); len(entries) < int(n) {
			return func() (tessera.Index, error) { return results[place]() }
		}
		for range attempts {
			for i, e := range entries {
				results[i] = add(ctx, e)
			}
			again := false
			for _, result := range results {
				_, err := result()
				again = again || err != nil && strings.Contains(err.Error(), divided)
			}
			if !again {
				break
			}
		}
		return results[place]
	}
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

// reach reads something of the bucket.
func (d *Driver) reach(ctx context.Context) error {
	_, _, err := d.bucket.get(ctx, tiles.CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
