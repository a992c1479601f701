package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/index"
	"github.com/conmotion/conmotion/tiles"
)

// A snapshot is a copy of the index in a bucket that nobody else may read: whoever
// may write there decides what a new instance takes for registered. An instance that
// has no index begins with it, and not with the whole log.
//
// It lies in parts under index/a/ or index/b/, whichever the manifest does not
// name, and then the manifest names it. A crash before that leaves the snapshot
// that there was. Two that write at the same time, as a writer and the one before
// it, may mix their parts: then no digest fits, and the index is read from the log.
type snapshots struct {
	store   objectStore
	entries uint64    // that the log grows by before the next one
	last    *manifest // that is there, once the writer has read it
}

const (
	manifestKey = "index/manifest.json"
	partSize    = 8 << 20
	// mostParts bounds what a manifest can have a start read: 10 TB.
	mostParts        = 10 << 40 / partSize
	snapshotInterval = time.Second // between two looks at whether one is due
	// samples is how many entries of the log are looked up in a snapshot.
	samples = 64
)

// manifest names a snapshot.
type manifest struct {
	Version int      `json:"version"`
	Origin  string   `json:"origin"`
	Size    uint64   `json:"size"`   // entries in it, or a few more
	Slot    string   `json:"slot"`   // a or b
	SHA256  string   `json:"sha256"` // of all parts together, hex
	Parts   []string `json:"parts"`  // their SHA-256, hex
}

func partKey(slot string, n int) string { return fmt.Sprintf("index/%s/%06d", slot, n) }

var errManifest = errors.New("the manifest of the snapshot cannot be used")

func parseManifest(data []byte, origin string) (m manifest, err error) {
	switch err := json.Unmarshal(data, &m); {
	case err != nil:
		return m, fmt.Errorf("%w: %w", errManifest, err)
	case m.Version != 1 || m.Slot != "a" && m.Slot != "b" || len(m.Parts) > mostParts:
		return m, fmt.Errorf("%w: it is of another version", errManifest)
	case m.Origin != origin:
		return m, fmt.Errorf("%w: the snapshots there are of the log %.80q; each log has a bucket of its own for them", storage.ErrForeign, m.Origin)
	}
	return m, nil
}

// current is the manifest that is there; of size 0 when there is none.
func (s *snapshots) current(ctx context.Context, origin string) (manifest, error) {
	data, err := s.store.Get(ctx, manifestKey)
	if errors.Is(err, fs.ErrNotExist) {
		return manifest{Slot: "b"}, nil
	}
	if err != nil {
		return manifest{}, err
	}
	return parseManifest(data, origin)
}

// save writes a snapshot when one is due.
func (s *snapshots) save(ctx context.Context, x *index.Index, origin, scratch string) (saved uint64, err error) {
	if s.last == nil {
		last, err := s.current(ctx, origin)
		if err != nil && !errors.Is(err, errManifest) {
			return 0, err
		} else if err != nil {
			last = manifest{Slot: "b"}
		} else if last.Size > x.Next() { // it is of an earlier log of this name
			last.Size = 0
		}
		s.last = &last
	}
	m := manifest{Version: 1, Origin: origin, Size: x.Next(), Slot: map[string]string{"a": "b", "b": "a"}[s.last.Slot]}
	if m.Size < s.last.Size+max(s.entries, s.last.Size/10) {
		return 0, nil
	}
	defer os.Remove(scratch)
	if err := errors.Join(index.Remove(scratch), x.Snapshot(ctx, scratch)); err != nil {
		return 0, err
	}
	f, err := os.Open(scratch)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	whole := sha256.New()
	for part := make([]byte, partSize); ; {
		n, err := io.ReadFull(f, part)
		if n > 0 {
			sum := sha256.Sum256(part[:n])
			_, _ = whole.Write(part[:n]) // a hash takes everything
			if err := s.store.Put(ctx, partKey(m.Slot, len(m.Parts)), part[:n]); err != nil {
				return 0, err
			}
			m.Parts = append(m.Parts, hex.EncodeToString(sum[:]))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		} else if err != nil {
			return 0, err
		}
	}
	m.SHA256 = hex.EncodeToString(whole.Sum(nil))
	data, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	if err := s.store.Put(ctx, manifestKey, data); err != nil {
		return 0, err
	}
	s.last = &m
	return m.Size, nil
}

// load puts a snapshot, when there is one that fits the log, where the index is
// expected. A crash leaves no index, or a whole one.
func (s *snapshots) load(ctx context.Context, log *tiles.View, file string) (size uint64, err error) {
	m, err := s.current(ctx, log.Checkpoint.Origin)
	if err != nil || m.Size == 0 {
		return 0, err
	}
	scratch := file + ".snapshot"
	if err := index.Remove(scratch); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, index.Remove(scratch)) }()
	whole := sha256.New()
	err = durable.Write(scratch, 0o600, func(w io.Writer) error {
		for n, want := range m.Parts {
			part, err := s.store.Get(ctx, partKey(m.Slot, n))
			if err != nil {
				return err
			}
			if sum := sha256.Sum256(part); hex.EncodeToString(sum[:]) != want {
				return fmt.Errorf("part %d of the snapshot is not what its manifest names", n)
			}
			if _, err := io.MultiWriter(whole, w).Write(part); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if hex.EncodeToString(whole.Sum(nil)) != m.SHA256 {
		return 0, errors.New("the snapshot is not what its manifest names")
	}
	if err := index.Adopt(ctx, scratch, file, whole.Sum(nil), func(x *index.Index) error { return fits(ctx, x, log) }); err != nil {
		return 0, err
	}
	return m.Size, nil
}

// fits holds an index to the log: the tree that it has read is a beginning of the
// log's, and it has entries that are drawn at random where the log has them.
func fits(ctx context.Context, x *index.Index, log *tiles.View) error {
	read, err := x.Position()
	if err != nil {
		return err
	}
	read.Origin = log.Checkpoint.Origin
	if err := log.Consistency(ctx, read); err != nil {
		return err
	}
	for range min(samples, read.Size) {
		i := rand.Uint64N(read.Size)
		entry, err := log.Entry(ctx, i)
		if err != nil {
			return err
		}
		id, named := scitt.EntryIDOf(entry)
		if !named {
			continue
		}
		place, found, err := x.Lookup(ctx, id)
		if err != nil {
			return err
		}
		// A content that the log has twice may have its id at the other place.
		if !found || place.Index == i && !place.Matches(scitt.LeafHash(entry)) {
			return fmt.Errorf("the snapshot does not have entry %d", i)
		}
	}
	return nil
}

// beingSaved is the copy of the index that a snapshot is made of.
const beingSaved = "index.db.copy"

// loadSnapshot begins with a snapshot where there is no index yet. It removes what a crash
// left of one that was being saved.
func (d *Daemon) loadSnapshot(ctx context.Context, c *Config, file string, o storage.Options) error {
	if d.place.snapshots == nil {
		return nil
	}
	if err := index.Remove(d.dir.Private(beingSaved)); err != nil {
		return err
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	view, err := tiles.NewLog(d.place, o.Verifiers).Latest(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	began := time.Now()
	size, err := d.place.snapshots.load(ctx, view, file)
	if err == nil && size > 0 {
		c.Logger.Info("the index begins with a snapshot", "entries", size, "of", view.Checkpoint.Size, "took", time.Since(began).Round(time.Millisecond))
	}
	return err
}

// saveSnapshots saves one whenever it is due, until the context ends.
func (d *Daemon) saveSnapshots(ctx context.Context) {
	for {
		began, wait := time.Now(), snapshotInterval
		size, err := d.place.snapshots.save(ctx, d.index, d.Origin, d.dir.Private(beingSaved))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.logger.Warn("no snapshot of the index is saved", "err", err)
			wait = time.Minute
		case size > 0:
			d.logger.Info("a snapshot of the index is saved", "entries", size, "took", time.Since(began).Round(time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
