package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// Log is a log that is exported, at its checkpoint.
type Log struct {
	Files     *tiles.Log // without a note key where View is all that is known of the log
	View      *tiles.View
	VKeys     []string       // that the exporter trusts; they stand in the manifest
	Artifacts *reader.Reader // nil when there are none
	// Extends checks that the log extends a checkpoint of it that was exported
	// before. Its error ends the export; it may keep the proof of a fork.
	Extends func(ctx context.Context, old *scitt.Checkpoint) error
	// Publish, when not nil, gives the note that the copy shows as its checkpoint. It
	// is called with the copy when all that the checkpoint covers is durable.
	Publish func(ctx context.Context, copied *tiles.View) ([]byte, error)
}

// Options say what is exported.
type Options struct {
	NoArtifacts bool
	// Repair has all that is in the directory read again, and fetched again where it is
	// not what the checkpoint commits to.
	Repair bool
	// Progress, when not nil, is called with how much of what is done.
	Progress func(what string, done, total uint64)
}

// Copied is what an export or an update of a copy came to.
type Copied struct {
	Manifest *manifest // of an export
	// Before is the checkpoint that the directory had; nil when it had none.
	Before  *scitt.Checkpoint
	Fetched uint64 // files, artifacts included
	Bytes   uint64 // of those files
	// Kept is how many files and artifacts an export had before, with their sizes,
	// and were not hashed again.
	Kept int
	// Refused says of artifacts that the storage gave, and that were not taken, why.
	// They are among the missing ones. Each wraps [reader.ErrWrong],
	// [reader.ErrTooLarge] or [reader.ErrTooSlow].
	Refused []error
}

// Export copies the log, as its checkpoint commits to it, with its keys and its
// artifacts into a directory, or brings an older export there up to date: see
// [Copy.Update], which copies all but the artifacts. One artifact that cannot be had
// stops nothing. A manifest that does not fit the checkpoint shows that an export was
// interrupted.
func Export(ctx context.Context, l Log, dir string, o Options) (out *Copied, err error) {
	c, err := OpenCopy(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return c.update(ctx, l, o, true)
}

// Update brings the copy up to the log's view, without artifacts and without a
// manifest. It fetches what is not there, and verifies what is new as it lies on the
// disk: entries and tiles. What the log does meanwhile changes nothing.
//
// Files are written in one step each, the checkpoint as the last one. So at every
// moment the directory is a log at its checkpoint: a crash, or a log that gives wrong
// files, leaves the older state, and files that no checkpoint covers yet; the next
// update finds them and continues.
//
// Errors wrap [tiles.ErrOtherLog] when the directory has another log, or are those of
// [Log.Extends]; then nothing was changed.
func (c *Copy) Update(ctx context.Context, l Log, o Options) (*Copied, error) {
	return c.update(ctx, l, o, false)
}

func (c *Copy) update(ctx context.Context, l Log, o Options, whole bool) (*Copied, error) {
	e := &export{Log: l, dir: c.dir, o: o, cp: l.View.Checkpoint, whole: whole, seen: c.seen, files: map[string]manifestFile{}, dirs: map[string]bool{}, out: &Copied{}}
	c.seen, c.exported = false, false
	if e.o.Progress == nil {
		e.o.Progress = func(string, uint64, uint64) {}
	}
	if err := e.begin(ctx); err != nil {
		return nil, err
	}
	digests, err := e.entries(ctx)
	if err != nil {
		return nil, err
	}
	if whole {
		if err := e.artifacts(ctx, digests); err != nil {
			return nil, err
		}
		e.out.Manifest = &e.manifest
	}
	if err := e.finish(ctx); err != nil {
		return nil, err
	}
	c.seen, c.exported = true, whole
	return e.out, nil
}

// export is one export, or update of a copy, at work.
type export struct {
	Log
	dir      string
	o        Options
	cp       *scitt.Checkpoint
	whole    bool                    // with artifacts and a manifest
	seen     bool                    // nothing has to be looked at but what is new
	from     uint64                  // entries before are in the directory and were verified
	files    map[string]manifestFile // by path, for the manifest
	manifest manifest
	before   *manifest       // of the export that is there; nil when there is none
	dirs     map[string]bool // with new files, to be made durable
	copied   *tiles.View     // what the directory has at cp, verified
	out      *Copied
}

func (e *export) path(name string) string { return filepath.Join(e.dir, filepath.FromSlash(name)) }

// open reads the checkpoint that the directory has. The log may have had other keys
// then: what it extends is a state of it, whoever signed it.
func (e *export) open(ctx context.Context, raw []byte) (*scitt.Checkpoint, error) {
	err := errors.New("its keys are not known")
	if e.Files.Verifiers.Note != nil {
		var old *scitt.Checkpoint
		if old, err = e.Files.Verifiers.Open(raw); err == nil {
			return old, nil
		}
	}
	old, _, perr := scitt.OpenNote(raw)
	if perr != nil || old.Origin != e.cp.Origin || e.View.Consistency(ctx, old) != nil {
		return nil, fmt.Errorf("%w: %s is not signed by the keys of the log that is copied: %w", tiles.ErrOtherLog, e.path(tiles.CheckpointPath), err)
	}
	return old, nil
}

// begin looks at what the directory has.
func (e *export) begin(ctx context.Context) error {
	raw, err := durable.ReadFile(e.path(tiles.CheckpointPath))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	old, err := e.open(ctx, raw)
	if err != nil {
		return err
	}
	if err := e.Extends(ctx, old); err != nil {
		return err
	}
	e.out.Before = old
	data, err := durable.ReadFile(e.path(manifestPath))
	switch {
	case err == nil && !e.whole:
		return fmt.Errorf("%s is an export, with artifacts and a manifest: bring it up to date as one", e.dir)
	case e.o.Repair:
		return nil // everything is looked at
	case errors.Is(err, fs.ErrNotExist) && !e.whole && (e.seen || !slices.ContainsFunc(parts(0, old.Size), e.lacks)):
		e.from = old.Size
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil // as with Repair
	case err != nil:
		return err
	}
	m, err := parseManifest(data)
	if err != nil || !m.Is(old) {
		return nil // an update was interrupted
	}
	e.before, e.from = m, old.Size
	for _, f := range m.Files {
		if e.files[f.Path] = f; !e.has(f.Path, f.Size) {
			e.from = 0 // something happened to the directory: all of it is looked at
		}
	}
	m.Artifacts = slices.DeleteFunc(m.Artifacts, func(a manifestArtifact) bool {
		gone := !e.has(a.SHA256.Path(), a.Size)
		if gone {
			m.Missing = append(m.Missing, a.SHA256)
		}
		return gone
	})
	e.out.Kept = len(m.Artifacts) + len(parts(0, e.cp.Size)) - len(parts(e.from, e.cp.Size))
	return nil
}

// has reports whether a file is there with its size. What it holds was verified when
// it was written, and is again by Verify.
func (e *export) has(name string, size int64) bool {
	info, err := os.Lstat(e.path(name))
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// lacks reports whether a part is not there, or a tile with another size than it has.
func (e *export) lacks(p part) bool {
	info, err := os.Lstat(e.path(p.path()))
	return err != nil || !info.Mode().IsRegular() || p.level >= 0 && info.Size() != int64(p.width*sha256.Size)
}

// entries fetches bundles and tiles, and returns the digests that new statements
// sign. Of what was there already and is not right, tiles are fetched again, and then
// the bundles that do not lead to them.
func (e *export) entries(ctx context.Context) ([]reader.Digest, error) {
	kept, err := e.fetch(ctx, func(part) bool { return false })
	if err != nil {
		return nil, err
	}
	digests, err := e.verify(ctx)
	if !errors.Is(err, tiles.ErrCorrupt) || kept == 0 {
		return digests, err
	}
	if _, err := e.fetch(ctx, func(p part) bool { return p.level >= 0 }); err != nil {
		return nil, err
	}
	if _, err := e.fetch(ctx, func(p part) bool { return p.level < 0 && !e.fits(ctx, p) }); err != nil {
		return nil, err
	}
	return e.verify(ctx)
}

// fits reports whether a bundle of the directory has the entries of its lowest tile.
func (e *export) fits(ctx context.Context, p part) bool {
	entries, err := tiles.ReadBundle(ctx, tiles.Dir(e.dir), p.index, p.index*tiles.Width+uint64(p.width))
	if err != nil {
		return false
	}
	hashes, err := tiles.ReadTile(ctx, tiles.Dir(e.dir), 0, p.index, p.width)
	for i, entry := range entries {
		if err != nil || !bytes.Equal(scitt.LeafHash(entry), hashes[i*sha256.Size:(i+1)*sha256.Size]) {
			return false
		}
	}
	return true
}

// verify reads what is new as it is on the disk, and proves it to be under the
// checkpoint. Each bundle is held to its tile, and each tile lies on the paths
// of the entries below it.
func (e *export) verify(ctx context.Context) (digests []reader.Digest, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", e.dir, err)
		}
		if errors.Is(err, tiles.ErrCorrupt) && !e.o.Repair && e.from > 0 {
			err = fmt.Errorf("%w; if it is so in the log too, the log is damaged, else the copy, which --repair mends", err)
		}
	}()
	if e.copied, err = tiles.NewTree(tiles.Dir(e.dir)).At(ctx, e.cp); err != nil {
		return nil, err
	}
	from := e.from / tiles.Width * tiles.Width
	if e.before != nil && e.before.LeftOut && !e.o.NoArtifacts {
		from = 0 // the artifacts of what was exported before are wanted now
	}
	for entry, err := range e.copied.Entries(ctx, from, e.cp.Size) {
		if err != nil {
			return nil, err
		}
		if d, ok := envelopeDigest(entry.Data); ok && e.whole {
			digests = append(digests, d)
		}
		if done := entry.Index + 1; done%tiles.Width == 0 {
			e.o.Progress("entries verified", done, e.cp.Size)
		}
	}
	return digests, nil
}

// envelopeDigest is the SHA-256 that an entry signs in place of its content.
func envelopeDigest(entry []byte) (reader.Digest, bool) {
	s, err := scitt.DecodeStatement(entry)
	if err != nil || s.Envelope == nil {
		return reader.Digest{}, false
	}
	return s.ContentSHA256()
}

// finish writes what names the files, the checkpoint last.
func (e *export) finish(ctx context.Context) error {
	for _, name := range []string{tiles.KeysPath, tiles.ConfigurationPath} {
		data, err := e.Files.Source.Get(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			delete(e.files, name)
			continue // a log of another kind: its keys stand in the manifest
		}
		if err != nil {
			return err
		}
		if err := e.write(name, data); err != nil {
			return err
		}
	}
	covered := e.covered()
	if err := e.syncDirs(); err != nil {
		return err
	}
	if e.whole {
		if err := e.writeManifest(covered); err != nil {
			return err
		}
	}
	checkpoint := e.cp.Raw
	if e.Publish != nil {
		var err error
		if checkpoint, err = e.Publish(ctx, e.copied); err != nil {
			return err
		}
	}
	// From here on the directory is the new state.
	if _, err := durable.Replace(e.path(tiles.CheckpointPath), checkpoint, filesMode); err != nil {
		return err
	}
	return e.clean(covered)
}

func (e *export) writeManifest(covered func(string) bool) error {
	e.files[tiles.CheckpointPath] = fileOf(tiles.CheckpointPath, e.cp.Raw)
	m := &e.manifest
	m.Checkpoint = manifestCheckpoint{e.cp.Origin, reader.Digest(e.cp.Root), e.cp.Size}
	m.VKeys = slices.Clone(e.VKeys)
	for _, f := range e.files {
		if covered(f.Path) {
			m.Files = append(m.Files, f)
		}
	}
	data, err := m.Marshal()
	if err != nil {
		return err
	}
	_, err = durable.Replace(e.path(manifestPath), data, filesMode)
	return err
}

func fileOf(name string, data []byte) manifestFile {
	return manifestFile{name, sha256.Sum256(data), int64(len(data))}
}

// write writes a file of the export, unless it is there with these bytes.
func (e *export) write(name string, data []byte) error {
	e.files[name] = fileOf(name, data)
	e.touch(name)
	written, err := durable.Replace(e.path(name), data, filesMode)
	if written {
		e.out.Fetched, e.out.Bytes = e.out.Fetched+1, e.out.Bytes+uint64(len(data))
	}
	return err
}

// filesMode is of files that everybody may read.
const filesMode = 0o644
