package storage

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// What Open of a Driver says beside [ErrLocked] and [ErrFork].
var (
	// ErrUnwritable says that the log is there and cannot be written now.
	ErrUnwritable = errors.New("the log cannot be written")
	// ErrForeign says that the place belongs to another log.
	ErrForeign = errors.New("this is another log's")
	// ErrMovedAway says that the log was here, and went on elsewhere.
	ErrMovedAway = errors.New("the log was moved")
)

// Driver keeps a log in some place: a directory, or a bucket with a database. Get
// and Put are for everybody who has it, at any time; of the rest only a Log makes
// use. An error that wraps [context.Canceled] or [context.DeadlineExceeded] says
// nothing about the place.
type Driver interface {
	// Source reads the log's public files, as everybody does.
	tiles.Source

	// Put replaces a public file other than the checkpoint and the tiles. A crash
	// leaves the old content or the new, never a part.
	Put(ctx context.Context, path string, data []byte) error

	// Open makes this process the log's writer and gives the engine's driver. What
	// it refuses, it refuses before it has written anything of the log; then it can
	// be called again. Public is the public checkpoint, without Raw when there is
	// none; its Origin is the log's. Errors wrap [ErrLocked] where another process is
	// the writer, [ErrForeign], [ErrFork] or [ErrUnwritable].
	Open(ctx context.Context, public *scitt.Checkpoint) (tessera.Driver, error)

	// Tree is the tree that the engine goes on from, as a checkpoint that nobody
	// signed. The error wraps [fs.ErrNotExist] when there is none yet.
	Tree(ctx context.Context) (*scitt.Checkpoint, error)

	// Signed is the note that the engine made last, with a signature that says nothing;
	// it need not be public. The error wraps [fs.ErrNotExist] when there is none yet.
	Signed(ctx context.Context) ([]byte, error)

	// Publish makes a note the public checkpoint in the place of last, which is nil
	// when there was none. When it returns nil the note is public and durable. When
	// it fails, what is public is last, the note, or what somebody else wrote; then
	// the error wraps [ErrMoved] where that is known. A crash leaves one of the two.
	Publish(ctx context.Context, note, last []byte) error

	// Whole gives a function that stores the first n entries that it is given: all
	// of them or none. The log's appender is open, no other batch is on its way, and
	// the context ends when all n are resolved.
	Whole(ctx context.Context, n uint) (tessera.AddFn, error)

	// Ready says why the engine could not store a batch now. It is asked before each
	// batch, while none is on its way.
	Ready(ctx context.Context) error

	// Check says why the log cannot be written, and may write something to find out.
	// A crash leaves at most what the next Open removes.
	Check(ctx context.Context) error
}

// Writer is the process that writes a log which several may write, one at a time.
type Writer struct {
	Address string // that it advertises
	Term    uint64 // grows with each writer; 0 when there was none
	Held    bool   // false when another process may be the writer now
}

// DefaultLease is the default of WriterOptions.Lease.
const DefaultLease = 4 * time.Second

// WriterOptions say how this process is the writer of such a log.
type WriterOptions struct {
	// Lease is how long another process waits for a writer that does not renew its
	// lease; 0 means DefaultLease.
	Lease time.Duration
	// Address is where other processes reach this one while it is the writer; at most
	// 255 bytes.
	Address string
	Logger  *slog.Logger
}
