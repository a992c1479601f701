package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/cosigner"
)

const (
	// checkEvery is the time between two looks at what is kept of a log, and checkEntries
	// how many entries one reads: it takes a quarter of an hour for a million.
	checkEvery   = time.Minute
	checkEntries = 256 * tiles.Width
)

const brokenMessage = "a log that is mirrored is not whole, and is made so again before anything of it is cosigned"

// errBroken says that there is not all that the mirror's key signed.
var errBroken = errors.New("what is kept of the log is damaged, or a part of it is gone")

// sound reads and hashes the bundles that have the entries [from, to), and the tiles
// above them. Errors that wrap errBroken say that they are not what was cosigned.
func (k *kept) sound(ctx context.Context, own cosigner.State, from, to uint64) error {
	cp, _, err := scitt.OpenNote(own.Signed())
	if err != nil {
		return err
	}
	var there *scitt.Checkpoint
	raw, err := tiles.Dir(k.dir).Get(ctx, tiles.CheckpointPath)
	if err == nil {
		there, _, err = scitt.OpenNote(raw)
	}
	var view *tiles.View
	if err == nil {
		view, err = tiles.NewTree(tiles.Dir(k.dir)).At(ctx, cp)
	}
	if err == nil {
		err = view.Consistency(ctx, there)
	}
	if err == nil {
		for _, err = range view.Entries(ctx, from, to) {
			if err != nil {
				break
			}
		}
	}
	if errors.Is(err, tiles.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, scitt.ErrCheckpoint) || errors.Is(err, scitt.ErrProof) {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return err
}

// check looks at the next part of what is kept, when it is time, or at the one that a
// reader did not get. The log is held.
func (m *logMirror) check(ctx context.Context, k *kept, own cosigner.State) error {
	if k.broken || own.Size == 0 {
		return nil
	}
	missed := k.missed.Swap(0)
	if missed == 0 && time.Since(k.checkedAt) < m.every {
		return nil
	}
	from, to := k.checked, k.checked+checkEntries
	if missed > 0 {
		from, to = missed-1, missed
	} else if k.checkedAt, k.checked = time.Now(), to; to >= own.Size {
		k.checked = 0
	}
	return m.breaks(k, k.sound(ctx, own, from, to))
}

// suspect looks at what an update builds on, when one failed: the last of these entries
// that are kept, and all tiles above them. The log is held.
func (m *logMirror) suspect(ctx context.Context, k *kept, own cosigner.State, last uint64, err error) error {
	if err != nil && !k.broken && own.Size > 0 {
		err = errors.Join(err, m.breaks(k, k.sound(ctx, own, own.Size-min(own.Size, last), own.Size)))
	}
	return err
}

// blame finds out whether a package was refused because of the entries that are kept
// before it, which were hashed with it.
func (m *logMirror) blame(ctx context.Context, k *kept, refused error) error {
	if err := k.hold(ctx); err != nil {
		return err
	}
	defer k.free()
	own, err := m.own.State(ctx, k.origin)
	if err != nil || k.broken {
		return errors.Join(refused, err)
	}
	if err := m.suspect(ctx, k, own, 1, refused); !k.broken {
		return err
	}
	return &cosigner.Refusal{Status: http.StatusServiceUnavailable, Retry: holdTimeout, Err: errBroken}
}

// breaks takes what is kept for broken where an error says so.
//
// From then on it has no checkpoint: readers of the directory are told of nothing, nothing
// is cosigned, and the next update reads and hashes all that is there, and fetches what
// is wrong or missing. A crash leaves it so.
func (m *logMirror) breaks(k *kept, why error) error {
	if !errors.Is(why, errBroken) {
		return why
	}
	m.logger.Error(brokenMessage, "log", k.origin, "err", why)
	k.broken, k.tried, k.next = true, false, 0
	err := k.copy.Close()
	k.copy = nil // its directory may be gone
	if gone := os.Remove(filepath.Join(k.dir, tiles.CheckpointPath)); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	m.start(k)
	return err
}

// whole notes that an update has read, hashed and cosigned all that is kept.
func (m *logMirror) whole(ctx context.Context, k *kept) {
	if k.broken {
		k.broken, k.tried = false, false
		m.mended.Add(ctx, 1, metric.WithAttributes(attribute.String("log", k.origin)))
		m.logger.Info("a log that is mirrored is whole again", "log", k.origin)
	}
}
