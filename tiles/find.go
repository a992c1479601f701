package tiles

import (
	"bytes"
	"context"

	"github.com/conmotion/conmotion/internal/parallel"
)

// findReaders is how many tiles are read at a time.
const findReaders = 8

// Find returns the newest index of a leaf hash. It reads the tiles from the newest to
// the oldest, so many at a time, and none of the entries: a proof has to confirm what
// it finds. progress, when not nil, is told how many leaves were looked at.
func (v *View) Find(ctx context.Context, leaf []byte, progress func(done, size uint64)) (index uint64, found bool, err error) {
	size := v.Checkpoint.Size
	count := (size + Width - 1) / Width
	scan := func(ctx context.Context, n uint64) (match []uint64, err error) {
		first := (count - 1 - n) * Width
		for i := min(size, first+Width); i > first; i-- {
			hash, err := v.LeafHash(ctx, i-1)
			if err != nil {
				return nil, err
			}
			if bytes.Equal(hash, leaf) {
				return []uint64{i - 1}, nil
			}
		}
		return nil, nil
	}
	for n, r := range parallel.Ordered(ctx, 0, count, findReaders, scan) {
		if r.Err != nil {
			return 0, false, r.Err
		}
		if len(r.Value) > 0 {
			return r.Value[0], true, nil
		}
		if progress != nil {
			progress(min(size, (n+1)*Width), size)
		}
	}
	return 0, false, nil
}
