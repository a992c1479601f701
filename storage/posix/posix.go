// Package posix keeps a log in a directory, with Tessera's POSIX driver.
package posix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/sys/unix"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/tiles"
)

// driver is a [storage.Driver] on a directory that this process holds.
//
// Tessera's driver keeps state of its own beside the log's files. To keep that
// out of the public directory it works in private/tessera, where "tile" is a
// symbolic link to public/tile; the checkpoint that it writes there is not
// public until the publisher has checked it and copied it.
type driver struct {
	tiles.Dir // the public files
	dir       *storage.Dir
	logger    *slog.Logger
	engine    *posix.Storage // nil before Open
}

// New gives the driver of a directory.
func New(dir *storage.Dir, logger *slog.Logger) storage.Driver {
	return &driver{Dir: tiles.Dir(dir.Public()), dir: dir, logger: logger}
}

// tileLevels is how many levels of tiles there are room for: 256^8 entries.
const tileLevels = 8

// Put implements [storage.Driver].
func (d *driver) Put(_ context.Context, path string, data []byte) error {
	return d.dir.WritePublic(path, data)
}

// Publish implements [storage.Driver]. Nobody else writes in the directory, so
// what is there is last.
func (d *driver) Publish(_ context.Context, note, _ []byte) error {
	return d.dir.WritePublic(tiles.CheckpointPath, note)
}

// Open implements [storage.Driver]. It also removes what an interrupted write
// left.
func (d *driver) Open(ctx context.Context, _ *scitt.Checkpoint) (tessera.Driver, error) {
	engine, err := d.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open log: %w: %w", storage.ErrUnwritable, err)
	}
	var ok bool
	if d.engine, ok = engine.(*posix.Storage); !ok {
		return nil, fmt.Errorf("open log: the POSIX driver of Tessera is a %T", engine)
	}
	if err := d.clean(); err != nil {
		d.logger.Warn("not all temporary files of an earlier run are removed", "err", err)
	}
	return engine, nil
}

func (d *driver) open(ctx context.Context) (tessera.Driver, error) {
	work := d.dir.Private("tessera")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return nil, err
	}
	// The driver makes missing directories, but takes a symbolic link for a
	// file where it looks for a parent: so the parents are made here. Their
	// names are made durable before anything is stored in them.
	for level := -1; level < tileLevels; level++ {
		sub := "entries"
		if level >= 0 {
			sub = strconv.Itoa(level)
		}
		if err := os.MkdirAll(d.dir.Public("tile", sub), 0o755); err != nil {
			return nil, err
		}
	}
	target, err := filepath.Rel(work, d.dir.Public("tile"))
	if err != nil {
		return nil, err
	}
	if err := os.Symlink(target, filepath.Join(work, "tile")); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	for _, dir := range []string{d.dir.Public("tile"), d.dir.Public(), work, d.dir.Private(), filepath.Dir(d.dir.Public())} {
		if err := durable.SyncDir(dir); err != nil {
			return nil, err
		}
	}
	state := d.dir.Private("tessera", ".state")
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	if err := d.Ready(ctx); err != nil {
		return nil, err
	}
	return posix.New(ctx, posix.Config{Path: work})
}

// Whole implements [storage.Driver] with an appender of its own for the batch,
// on the same storage. Its queue is flushed by the n-th entry and by nothing
// else: it never grows old. Its one flush writes bundles and tiles and then the
// tree's state, with one rename: a crash or an error before it leaves nothing of
// the batch in the log, and an error after it (of the directory's fsync) leaves
// all of it. It makes no checkpoints; the log's own appender sees the larger
// tree and does.
func (d *driver) Whole(ctx context.Context, n uint) (tessera.AddFn, error) {
	appender, _, err := d.engine.Appender(ctx, tessera.NewAppendOptions().
		WithCheckpointSigner(noSigner{}).WithCheckpointInterval(never).WithCheckpointRepublishInterval(0).
		WithGarbageCollectionInterval(0).WithBatching(n, never))
	if err != nil {
		return nil, err
	}
	return appender.Add, nil
}

const never = time.Duration(math.MaxInt64)

// noSigner is for an appender that has nothing to sign.
type noSigner struct{}

func (noSigner) Name() string                { return "none" }
func (noSigner) KeyHash() uint32             { return 0 }
func (noSigner) Sign([]byte) ([]byte, error) { return nil, errors.New("this appender signs nothing") }

// Ready implements [storage.Driver]. It does what Tessera's driver is about to
// do with its lock file, since that one's own way to say that it could not
// open, lock or close it is a panic. No batch may be at work: closing the file
// lets go of the driver's lock. A crash leaves the file, which is always there.
func (d *driver) Ready(context.Context) error {
	f, err := os.OpenFile(d.dir.Private("tessera", ".state", "treeState.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("the disk cannot be written: %w", err)
	}
	return nil
}

// Check implements [storage.Driver]: it writes a small file where the log is
// written. A crash leaves it for the next Open.
func (d *driver) Check(context.Context) error {
	for _, dir := range []string{d.dir.Public("tile"), d.dir.Private("tessera")} {
		if err := durable.Try(dir); err != nil {
			return fmt.Errorf("the disk cannot be written: %w", err)
		}
	}
	return nil
}

// Tree implements [storage.Driver].
func (d *driver) Tree(context.Context) (*scitt.Checkpoint, error) {
	path := d.dir.Private("tessera", ".state", "treeState")
	data, err := durable.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var state struct {
		Size uint64
		Root []byte
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &scitt.Checkpoint{Size: state.Size, Root: state.Root}, nil
}

// Signed implements [storage.Driver].
func (d *driver) Signed(context.Context) ([]byte, error) {
	return durable.ReadFile(d.dir.Private("tessera", tiles.CheckpointPath))
}
