package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	"github.com/conmotion/conmotion/tiles"
)

// posixDriver runs Tessera's POSIX driver over a Dir.
//
// That driver keeps state of its own beside the log's files. To keep that out
// of the public directory it works in private/tessera, where "tile" is a
// symbolic link to public/tile; the checkpoint that it writes there is not
// public until the publisher has checked it and copied it.
type posixDriver struct {
	dir *Dir
}

// tileLevels is how many levels of tiles there are room for: 256^8 entries.
const tileLevels = 8

func (p posixDriver) open(ctx context.Context) (tessera.Driver, error) {
	work := p.dir.Private("tessera")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	// The driver makes missing directories, but takes a symbolic link for a
	// file where it looks for a parent: so the parents are made here. Their
	// names are made durable before anything is stored in them.
	for level := -1; level < tileLevels; level++ {
		sub := "entries"
		if level >= 0 {
			sub = strconv.Itoa(level)
		}
		if err := os.MkdirAll(p.dir.Public("tile", sub), 0o755); err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
	}
	target, err := filepath.Rel(work, p.dir.Public("tile"))
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := os.Symlink(target, filepath.Join(work, "tile")); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open log: %w", err)
	}
	for _, dir := range []string{p.dir.Public("tile"), p.dir.Public(), work, p.dir.Private(), p.dir.path} {
		if err := durable.SyncDir(dir); err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
	}
	state := p.dir.Private("tessera", ".state")
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := p.writable(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return posix.New(ctx, posix.Config{Path: work})
}

// wholeBatch makes an appender that stores the first n entries it is given in
// one piece. Its queue is flushed by the n-th entry and by nothing else: it
// never grows old. It makes no checkpoints; the log's own appender, on the
// same storage, sees the larger tree and does. It ends with the context.
func (p posixDriver) wholeBatch(ctx context.Context, td tessera.Driver, n uint) (tessera.AddFn, error) {
	maker, ok := td.(interface {
		Appender(context.Context, *tessera.AppendOptions) (*tessera.Appender, tessera.LogReader, error)
	})
	if !ok {
		return nil, fmt.Errorf("driver %T makes no appenders", td)
	}
	appender, _, err := maker.Appender(ctx, tessera.NewAppendOptions().
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

// writable says why the driver could not store entries now. It does what the
// driver is about to do with its lock file, since the driver's own way to say
// that it could not open, lock or close it is a panic. No batch may be at
// work: closing the file lets go of the driver's lock. A crash leaves the file, which is
// always there.
func (p posixDriver) writable() error {
	f, err := os.OpenFile(p.dir.Private("tessera", ".state", "treeState.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("the disk cannot be written: %w", err)
	}
	return nil
}

// stored is the tree that the driver goes on from, as a checkpoint that nobody
// signed. The error wraps [fs.ErrNotExist] when there is none yet.
func (p posixDriver) stored() (*scitt.Checkpoint, error) {
	path := p.dir.Private("tessera", ".state", "treeState")
	data, err := os.ReadFile(path)
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

// integrated reads the checkpoint that the driver made last.
func (p posixDriver) integrated() ([]byte, error) {
	return os.ReadFile(p.dir.Private("tessera", tiles.CheckpointPath))
}

// publish makes a checkpoint public.
func (p posixDriver) publish(raw []byte) error {
	return p.dir.WritePublic(tiles.CheckpointPath, raw)
}

// public reads the log's files as everybody does.
func (p posixDriver) public() tiles.Source { return tiles.Dir(p.dir.Public()) }
