package tiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/transparency-dev/merkle/compact"

	"github.com/conmotion/conmotion/scitt"
)

// Fsck checks the files of a whole log against a checkpoint whose signatures
// have been verified: it recomputes the root and every tile of every level
// from the entries alone, and holds each entry to the form of an Entry. It
// gives every problem that it finds to report and goes on where it can; the
// error is about what kept it from looking. Progress, when not nil, is told
// the number of entries done.
func Fsck(ctx context.Context, src Source, cp *scitt.Checkpoint, report func(error), progress func(done uint64)) error {
	f := &fsck{src: src, size: cp.Size, report: report}
	tree := (&compact.RangeFactory{Hash: hasher.HashChildren}).NewEmptyRange(0)
	for n, b := range Ahead(ctx, 0, (cp.Size+Width-1)/Width, 2*runtime.GOMAXPROCS(0), f.readBundle) {
		if b.Err != nil {
			return fmt.Errorf("cannot go on after entry %d: %w", n*Width, b.Err)
		}
		for _, problem := range b.Value.problems {
			report(problem)
		}
		for _, leaf := range b.Value.leaves {
			if err := tree.Append(leaf, nil); err != nil {
				return fmt.Errorf("append leaf: %w", err)
			}
			if err := f.add(ctx, 0, leaf); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(min(cp.Size, (n+1)*Width))
		}
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if cp.Size == 0 {
		root = hasher.EmptyRoot()
	}
	if !bytes.Equal(root, cp.Root) {
		report(fmt.Errorf("%w: the entries lead to root %x and the checkpoint of size %d signs %x", ErrCorrupt, root, cp.Size, cp.Root))
	}
	return nil
}

type fsck struct {
	src    Source
	size   uint64
	report func(error)
	levels []fsckLevel
}

// fsckLevel is the tile of one level that is being recomputed.
type fsckLevel struct {
	index uint64
	data  []byte
}

// checked is what there is to know of a bundle's entries.
type checked struct {
	leaves   [][]byte
	problems []error
}

// readBundle runs on many cores at once.
func (f *fsck) readBundle(ctx context.Context, n uint64) (c checked, err error) {
	entries, err := ReadBundle(ctx, f.src, n, f.size)
	if err != nil {
		return c, err
	}
	for i, e := range entries {
		c.leaves = append(c.leaves, scitt.LeafHash(e))
		if err := CheckEntry(e); err != nil {
			c.problems = append(c.problems, fmt.Errorf("entry %d: %w", n*Width+uint64(i), err))
		}
	}
	return c, nil
}

// CheckEntry holds bytes to the form of an Entry: a registrable Signed
// Statement in the one encoding that entries have.
func CheckEntry(entry []byte) error {
	s, err := scitt.ParseStatement(entry)
	if err != nil {
		return err
	}
	if !bytes.Equal(s.Entry(), entry) {
		return fmt.Errorf("%w: a Signed Statement, but not in the encoding of an entry (empty unprotected header, shortest lengths)", ErrCorrupt)
	}
	return nil
}

// add appends a hash to the tile of a level, and when that is full compares
// it with the file and goes up.
func (f *fsck) add(ctx context.Context, level int, hash []byte) error {
	if level == len(f.levels) {
		f.levels = append(f.levels, fsckLevel{})
	}
	l := &f.levels[level]
	l.data = append(l.data, hash...)
	if len(l.data) < Width*hashSize {
		return nil
	}
	full, err := newTile(l.data, Width)
	if err != nil {
		return err
	}
	if err := f.compare(ctx, level, Width); err != nil {
		return err
	}
	l.index++
	l.data = nil
	root, _ := full.node(height, 0)
	return f.add(ctx, level+1, root)
}

// flush compares the partial tiles.
func (f *fsck) flush(ctx context.Context) error {
	for level := range f.levels {
		if width := len(f.levels[level].data) / hashSize; width > 0 {
			if err := f.compare(ctx, level, width); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fsck) compare(ctx context.Context, level, width int) error {
	l := f.levels[level]
	path := TilePath(level, l.index, width)
	got, err := getPartial(ctx, f.src, func(w int) string { return TilePath(level, l.index, w) }, width)
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case err != nil:
		f.report(fmt.Errorf("%s: %w", path, err))
	case !bytes.HasPrefix(got, l.data) || (len(got) != len(l.data) && len(got) != Width*hashSize):
		f.report(fmt.Errorf("%w: %s is not what the entries lead to", ErrCorrupt, path))
	}
	return nil
}
