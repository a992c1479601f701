package search

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
)

// segmentInfo is a segment: the terms of the entries from First to Next.
type segmentInfo struct {
	ID    uint64 `json:"id"`
	First uint64 `json:"first"`
	Next  uint64 `json:"next"`
}

const (
	blockBits = 24 // of a block's key are its number in the segment
	getBlock  = "SELECT data FROM block WHERE id = ?"
	getDir    = "SELECT dir FROM segment WHERE id = ?"
)

// segmentWriter writes the blocks of one segment.
type segmentWriter struct {
	blockWriter
	db querier // the transaction of the moment
	id uint64
	n  uint64
}

func newSegmentWriter(ctx context.Context, db querier, id uint64) *segmentWriter {
	w := &segmentWriter{db: db, id: id}
	w.put = func(block []byte) error {
		if w.n >= 1<<blockBits {
			return fmt.Errorf("search: segment %d is too large", id)
		}
		_, err := w.db.ExecContext(ctx, "INSERT INTO block VALUES (?, ?)", int64(id<<blockBits|w.n), block)
		w.n++
		return err
	}
	return w
}

// finish writes the last block and the directory.
func (w *segmentWriter) finish(ctx context.Context) error {
	if err := w.flush(); err != nil {
		return err
	}
	dir := make([]byte, 4, 4+16*len(w.dir))
	for _, k := range w.dir {
		dir = binary.LittleEndian.AppendUint64(dir, k.hi)
		dir = binary.LittleEndian.AppendUint64(dir, k.lo)
	}
	_, err := w.db.ExecContext(ctx, "INSERT INTO segment VALUES (?, ?)", int64(w.id), seal(dir))
	return err
}

// directory is the first key of each block of a segment.
func (x *Index) directory(ctx context.Context, db querier, id uint64) ([]key, error) {
	if dir, ok := x.dirs.Load(id); ok {
		return dir.([]key), nil
	}
	data, err := blob(ctx, db, getDir, id)
	if err != nil {
		return nil, err
	}
	if data, err = unseal(data); err != nil || len(data)%16 != 0 {
		return nil, ErrDamaged
	}
	dir := make([]key, len(data)/16)
	for i := range dir {
		dir[i] = key{binary.LittleEndian.Uint64(data[16*i:]), binary.LittleEndian.Uint64(data[16*i+8:])}
	}
	x.dirs.Store(id, dir)
	return dir, nil
}

// scan gives the terms of a segment from low to high, both included, to f. It
// tells spend how many bytes it reads.
func (x *Index) scan(ctx context.Context, db querier, s segmentInfo, low, high key, spend func(int) error, f func(*blockReader) error) error {
	dir, err := x.directory(ctx, db, s.ID)
	if err != nil {
		return err
	}
	// The last block that begins at or before low.
	n, found := slices.BinarySearchFunc(dir, low, func(a, b key) int {
		switch {
		case a.less(b):
			return -1
		case b.less(a):
			return 1
		}
		return 0
	})
	if !found && n > 0 {
		n--
	}
	for ; n < len(dir) && !high.less(dir[n]); n++ {
		if err := spend(blockSize); err != nil {
			return err
		}
		data, err := blob(ctx, db, getBlock, s.ID<<blockBits|uint64(n))
		if err != nil {
			return err
		}
		if err := spend(max(0, len(data)-blockSize)); err != nil { // of a term with many entries
			return err
		}
		r, err := newBlockReader(data)
		if err != nil {
			return err
		}
		for {
			ok, err := r.next()
			if err != nil {
				return err
			}
			if !ok || high.less(r.key) {
				break
			}
			if r.key.less(low) {
				continue
			}
			if err := f(&r); err != nil {
				return err
			}
		}
	}
	return nil
}
