package tiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
)

// Rebuild recomputes the tiles and the root of a log from its leaf hashes and
// compares the tiles with their files. It holds one tile of each level.
type Rebuild struct {
	src    Source
	lowest int
	report func(error)
	tree   *compact.Range
	levels []rebuildLevel
}

// rebuildLevel is the tile of one level that is being recomputed.
type rebuildLevel struct {
	index uint64
	data  []byte
}

// NewRebuild begins with an empty log. Tiles of the levels below lowest are
// not compared. What is not right goes to report.
func NewRebuild(src Source, lowest int, report func(error)) *Rebuild {
	tree := (&compact.RangeFactory{Hash: hasher.HashChildren}).NewEmptyRange(0)
	return &Rebuild{src: src, lowest: lowest, report: report, tree: tree}
}

// Add appends the next leaf hash, and compares the tiles that it fills. The
// error is the context's.
func (r *Rebuild) Add(ctx context.Context, leaf []byte) error {
	if err := r.tree.Append(leaf, nil); err != nil {
		return fmt.Errorf("append leaf: %w", err)
	}
	return r.add(ctx, 0, leaf)
}

// Root compares the partial tiles and gives the root of what was added so far.
func (r *Rebuild) Root(ctx context.Context) ([]byte, error) {
	for level := range r.levels {
		if width := len(r.levels[level].data) / hashSize; width > 0 {
			if err := r.compare(ctx, level, width); err != nil {
				return nil, err
			}
		}
	}
	if r.tree.End() == 0 {
		return hasher.EmptyRoot(), nil
	}
	root, err := r.tree.GetRootHash(nil)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	return root, nil
}

// add appends a hash to the tile of a level, and when that is full compares
// it with the file and goes up.
func (r *Rebuild) add(ctx context.Context, level int, hash []byte) error {
	if level == len(r.levels) {
		r.levels = append(r.levels, rebuildLevel{})
	}
	l := &r.levels[level]
	l.data = append(l.data, hash...)
	if len(l.data) < Width*hashSize {
		return nil
	}
	full := newTile(l.data)
	if err := r.compare(ctx, level, Width); err != nil {
		return err
	}
	l.index++
	l.data = nil
	root, _ := full.node(height, 0)
	return r.add(ctx, level+1, root)
}

func (r *Rebuild) compare(ctx context.Context, level, width int) error {
	if level < r.lowest {
		return nil
	}
	l := r.levels[level]
	path := TilePath(level, l.index, width)
	got, err := ReadTile(ctx, r.src, level, l.index, width)
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case err != nil:
		r.report(fmt.Errorf("%s: %w", path, err))
	case !bytes.Equal(got, l.data):
		r.report(fmt.Errorf("%w: %s is not what the entries lead to", ErrCorrupt, path))
	}
	return nil
}

// ReadTile reads the first width hashes of a tile, unverified, one after the
// other: from the partial tile or from a wider one that replaced it. Errors
// wrap [ErrCorrupt] when the file does not have them.
func ReadTile(ctx context.Context, src Source, level int, index uint64, width int) ([]byte, error) {
	data, err := getFirst(ctx, src, level, index, width)
	if err != nil {
		return nil, err
	}
	if len(data) < width*hashSize || len(data) > Width*hashSize || len(data)%hashSize != 0 {
		return nil, fmt.Errorf("%w: a tile of %d bytes where %d hashes are needed", ErrCorrupt, len(data), width)
	}
	return data[:width*hashSize], nil
}
