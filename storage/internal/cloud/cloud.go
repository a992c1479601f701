// Package cloud is what all drivers of a log in a bucket with a database have in
// common: the lease of the only writer, what bucket and database are held to, the
// publishing of the checkpoint, and moving a log in. docs/architecture.md says
// how: "Where the log lies".
package cloud

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/storage"
)

const (
	// Format is the format of what lies in a bucket and a database beside the tiles. A log
	// says which one it has, and a program becomes the writer of one whose format is this one
	// or an earlier one. A log without a number has format 1.
	Format = 1
	// ObjectTimeout bounds a request for a small object.
	ObjectTimeout = 10 * time.Second
	// IOTimeout bounds a request to the database, which may wait for a lock.
	IOTimeout = 30 * time.Second
	// MaxObject is more bytes than the largest entry bundle has.
	MaxObject = 256 * (2 + 1<<16)
	// Divided is in the error of a batch that had not the announced size. Tessera
	// keeps the text of an error only.
	Divided = "the batch was divided, and none of it is stored"
)

// Shown is a location in an error: without a user and parameters, which may be secrets.
func Shown(location string) string {
	u, err := url.Parse(location)
	if err != nil { // the error repeats it
		return "a location that is not a URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, Opaque: u.Opaque}).String()
}

// ErrCondition says that a conditional write found another object, or one at all.
var ErrCondition = errors.New("the object is not as it was")

// Object is an object's content, and a tag that another content does not have.
type Object struct {
	Data []byte
	Tag  string
}

// Condition says when an object is written: if its tag is Match, or if there is
// none when Absent. The zero value is always.
type Condition struct {
	Match  string
	Absent bool
}

// Bucket is a log's bucket. Errors name the bucket and the key.
type Bucket interface {
	// String names the bucket, as a URL.
	String() string
	// Get reads an object. The error wraps [fs.ErrNotExist] when there is none.
	Get(ctx context.Context, key string) (Object, error)
	// Put writes an object with the headers that our own server gives it. The error
	// wraps ErrCondition when the condition is known not to hold. A crash leaves the
	// old object or the new.
	Put(ctx context.Context, key string, data []byte, when Condition) (tag string, err error)
	// Holds reports whether there is an object with this prefix.
	Holds(ctx context.Context, prefix string) (bool, error)
	// Remove removes an object, if it is there.
	Remove(ctx context.Context, key string) error
}

// Store keeps objects of up to 16 MiB in a bucket that nobody else may read.
type Store struct{ Bucket Bucket }

// Get reads an object. The error wraps [fs.ErrNotExist] when there is none.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	o, err := s.Bucket.Get(ctx, key)
	return o.Data, err
}

// Put replaces an object. A crash leaves the old one or the new one.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	_, err := s.Bucket.Put(ctx, key, data, Condition{})
	return err
}

// State is what the database has of a log.
type State struct {
	// Bound says that the writer's row is there, with these.
	Bound          bool
	Format         uint64
	Origin, Bucket string
	Moved          string // where the log was moved to; "" when it is here
	Published      []byte // the newest note that was made public, or a little older
	// Engine says that the tables of Tessera's driver are there, with these: where
	// the log ends, and size and root of what is integrated.
	Engine     bool
	Next, Size uint64
	Root       []byte
}

// Database is a log's database. Errors name it. Its row of the writer has a term,
// which grows with each writer, and the time until which the lease holds, by the
// database's clock. What a writer of an older term sequences is refused by the
// transaction itself: the fence.
type Database interface {
	// String names the database, as a URL.
	String() string
	// Failed names the database in an error, and says what to do. Of an error of Tessera's
	// there is the text only.
	Failed(what string, err error) error
	// State reads the state and writes nothing.
	State(ctx context.Context) (State, error)
	// Writer tells who the log's writer is, by the database's clock.
	Writer(ctx context.Context) (storage.Writer, error)
	// Bind makes the writer's row, and notes the format, unless there is one.
	Bind(ctx context.Context, origin, bucket string) error
	// Take raises the term, if the lease has run out, and gives it; the holder advertises
	// an address. When it returns, no transaction of an older term can sequence an entry
	// any more. The error wraps [storage.ErrLocked] where another one has the lease.
	Take(ctx context.Context, address string, lease time.Duration) (term uint64, err error)
	// Renew renews the lease, and reports whether the term is still the newest.
	Renew(ctx context.Context, term uint64, lease time.Duration) (bool, error)
	// Release gives the lease back.
	Release(ctx context.Context, term uint64) error
	// Term is the newest term.
	Term(ctx context.Context) (uint64, error)
	// Published notes what is public.
	Published(ctx context.Context, term uint64, note []byte) error
	// SignAgain has Tessera sign the tree that is integrated, also if it did before.
	SignAgain(ctx context.Context) error
	// Guard proves that the fence refuses what it should. Tessera's tables are there.
	Guard(ctx context.Context, term uint64) error
	// Batch has the fence refuse a batch of another size, with Divided; 0 for any size.
	Batch(ctx context.Context, term uint64, n uint) error
	// Moved notes where the log was moved to: nobody can become its writer any more.
	Moved(ctx context.Context, term uint64, to string) error
	// Resume has Tessera go on at size. It was told by nobody where a log ends that
	// was copied into its tables.
	Resume(ctx context.Context, term, size uint64) error
	Close() error
}

// Engine is Tessera's driver for a bucket and a database.
type Engine interface {
	Appender(ctx context.Context, o *tessera.AppendOptions) (*tessera.Appender, tessera.LogReader, error)
}

// Place is a bucket and a database of one cloud.
type Place struct {
	Bucket   Bucket
	Database Database
	// Engine makes Tessera's driver for a writer of a term. The note that Tessera
	// writes as the checkpoint goes to signed and not to the bucket; an error of signed
	// is one of writing.
	Engine func(ctx context.Context, term uint64, signed func(ctx context.Context, note []byte) error) (Engine, error)
	// InTurn does what changes the schema of the database, again where the change of another
	// one is in the way; nil where none is.
	InTurn func(ctx context.Context, change func() error) error
	// Interval is the shortest interval of checkpoints that Tessera's driver takes.
	Interval time.Duration
}
