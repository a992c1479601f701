package keeper

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// built are the files of a log whose entry bundles are there. Of its first size entries
// the tiles are there too, and the others follow from the bundles: what lies where
// they belong is not believed.
type built struct {
	dir  tiles.Dir
	size uint64
}

// Get implements [tiles.Source].
func (b built) Get(ctx context.Context, path string) ([]byte, error) {
	level, index, width, ok := tiles.ParseTilePath(path)
	if !ok || level < 0 || index*tiles.Width+uint64(width) <= b.size>>(8*level) {
		data, err := b.dir.Get(ctx, path)
		if !errors.Is(err, fs.ErrNotExist) || !ok || level < 0 {
			return data, err
		}
	}
	hashes, err := b.hashes(ctx, level, index, width)
	return bytes.Join(hashes, nil), err
}

// hashes are those of a tile, from what is below it.
func (b built) hashes(ctx context.Context, level int, index uint64, width int) (hashes [][]byte, err error) {
	if level == 0 {
		entries, err := tiles.ReadBundle(ctx, b.dir, index, index*tiles.Width+uint64(width))
		for _, e := range entries {
			hashes = append(hashes, scitt.LeafHash(e))
		}
		return hashes, err
	}
	for i := range uint64(width) {
		below, err := b.Get(ctx, tiles.TilePath(level-1, index*tiles.Width+i, tiles.Width))
		if err == nil && len(below) != tiles.Width*sha256.Size {
			err = fmt.Errorf("%w: a tile has %d bytes", tiles.ErrCorrupt, len(below))
		}
		if err != nil {
			return nil, err
		}
		var leaves [][]byte
		for h := below; len(h) > 0; h = h[sha256.Size:] {
			leaves = append(leaves, h[:sha256.Size])
		}
		root, err := rootOf(leaves)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, root)
	}
	return hashes, nil
}

// rootOf is the Merkle tree hash of leaf hashes, of which there is one at least.
func rootOf(hashes [][]byte) ([]byte, error) {
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, h := range hashes {
		if err := tree.Append(h, nil); err != nil {
			return nil, err
		}
	}
	return tree.GetRootHash(nil)
}
