package tiles

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/scitt"
)

// Entry is one entry of a log with its place in it.
type Entry struct {
	Index uint64
	Data  []byte
}

// ParseBundle takes an entry bundle apart into its first n entries.
//
// C2SP tlog-tiles: "Entry bundles are sequences of big-endian uint16
// length-prefixed log entries." A partial bundle may have been replaced by
// a wider one, so more than n are allowed to follow.
func ParseBundle(data []byte, n int) ([][]byte, error) {
	entries := make([][]byte, 0, n)
	for len(data) > 0 {
		if len(entries) == Width {
			return nil, fmt.Errorf("%w: the bundle holds more than %d entries", ErrCorrupt, Width)
		}
		if len(data) < 2 {
			return nil, fmt.Errorf("%w: the bundle ends within a length", ErrCorrupt)
		}
		size := int(binary.BigEndian.Uint16(data))
		if len(data) < 2+size {
			return nil, fmt.Errorf("%w: the bundle ends within an entry", ErrCorrupt)
		}
		entries = append(entries, data[2:2+size:2+size])
		data = data[2+size:]
	}
	if len(entries) < n {
		return nil, fmt.Errorf("%w: the bundle holds %d entries and %d are needed", ErrCorrupt, len(entries), n)
	}
	return entries[:n], nil
}

// First cuts a tile, or with level -1 an entry bundle, down to its first hashes or
// entries: what the partial file of that width has. Errors wrap ErrCorrupt.
func First(data []byte, level, width int) ([]byte, error) {
	size := width * sha256.Size
	if level < 0 {
		entries, err := ParseBundle(data, width)
		if err != nil {
			return nil, err
		}
		size = 2 * width
		for _, e := range entries {
			size += len(e)
		}
	}
	if len(data) < size {
		return nil, fmt.Errorf("%w: the tile has %d bytes and %d are needed", ErrCorrupt, len(data), size)
	}
	return data[:size], nil
}

// ReadBundle reads the entries of one bundle in a log of the given size. They
// are not verified.
func ReadBundle(ctx context.Context, src Source, bundle, size uint64) ([][]byte, error) {
	width := widthAt(size, -1, bundle)
	data, err := getFirst(ctx, src, -1, bundle, width)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", BundlePath(bundle, width), err)
	}
	entries, err := ParseBundle(data, width)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", BundlePath(bundle, width), err)
	}
	return entries, nil
}

// bundle reads one bundle and verifies it: each entry hashes to its leaf in
// the lowest tile, and the tile is part of the checkpoint's tree. The proof
// of the tile's first leaf covers all of its leaves, since each of the others
// lies below one of the hashes on its path.
func (v *View) bundle(ctx context.Context, n uint64) ([][]byte, error) {
	entries, err := ReadBundle(ctx, v.tree.src, n, v.Checkpoint.Size)
	if err != nil {
		return nil, err
	}
	view, err := v.with(ctx, tileID{0, n})
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		leaf, err := view.LeafHash(ctx, n*Width+uint64(i))
		if err != nil {
			return nil, err
		}
		if got := scitt.LeafHash(e); !bytes.Equal(got, leaf) {
			return nil, fmt.Errorf("%w: entry %d does not hash to its leaf (%s, %s)", ErrCorrupt, n*Width+uint64(i), BundlePath(n, len(entries)), TilePath(0, n, len(entries)))
		}
	}
	if _, err := view.Inclusion(ctx, n*Width, scitt.LeafHash(entries[0])); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, BundlePath(n, len(entries)), err)
	}
	return entries, nil
}

// Entry reads and verifies the entry at an index.
func (v *View) Entry(ctx context.Context, index uint64) ([]byte, error) {
	if index >= v.Checkpoint.Size {
		return nil, fmt.Errorf("index %d is not below the log's size %d", index, v.Checkpoint.Size)
	}
	entries, err := ReadBundle(ctx, v.tree.src, index/Width, v.Checkpoint.Size)
	if err != nil {
		return nil, err
	}
	entry := entries[index%Width]
	if _, err := v.Inclusion(ctx, index, scitt.LeafHash(entry)); err != nil {
		return nil, fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err)
	}
	return entry, nil
}

// readAhead is how many bundles are fetched or used at a time.
const readAhead = 5

// Entries reads and verifies the entries from index from up to, and not
// including, index to, in order. The first error ends it.
func (v *View) Entries(ctx context.Context, from, to uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		to = min(to, v.Checkpoint.Size)
		if from >= to {
			return
		}
		bundles := parallel.Ordered(ctx, from/Width, (to-1)/Width+1, readAhead, v.bundle)
		for n, entries := range bundles {
			if entries.Err != nil {
				yield(Entry{}, entries.Err)
				return
			}
			for i, e := range entries.Value {
				index := n*Width + uint64(i)
				if index >= from && index < to && !yield(Entry{index, e}, nil) {
					return
				}
			}
		}
	}
}
