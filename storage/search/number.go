package search

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// The numbers of a path stand in blocks of blockEntries entries, so that
// comparisons read what they compare and nothing else:
//
//	data   = *record
//	record = entry(2) number(8)   little-endian; entry is relative to the block's first
//
// A block has its lowest and its highest number beside it, and is not read when
// no comparison could hold between them.
const (
	blockEntries = 1024
	recordSize   = 10
)

// number is one that an entry has; path is a hash.
type number struct {
	path  int64
	value float64
}

// chunk is the part of a block that is being written.
type chunk struct {
	path, block int64
	low, high   float64
	data        []byte
}

// putNumbers stores the numbers of consecutive entries after those that are there.
func putNumbers(ctx context.Context, tx *sql.Tx, docs []*document) error {
	chunks := map[[2]int64]*chunk{}
	for _, d := range docs {
		block := int64(d.Index / blockEntries)
		for _, n := range d.numbers {
			c := chunks[[2]int64{n.path, block}]
			if c == nil {
				c = &chunk{path: n.path, block: block, low: n.value, high: n.value}
				chunks[[2]int64{n.path, block}] = c
			}
			c.low, c.high = min(c.low, n.value), max(c.high, n.value)
			c.data = binary.LittleEndian.AppendUint16(c.data, uint16(d.Index%blockEntries))
			c.data = binary.LittleEndian.AppendUint64(c.data, math.Float64bits(n.value))
		}
	}
	// In one order, so that two rebuilt files have the same pages.
	sorted := make([]*chunk, 0, len(chunks))
	for _, c := range chunks {
		sorted = append(sorted, c)
	}
	slices.SortFunc(sorted, func(a, b *chunk) int { return cmp.Or(cmp.Compare(a.block, b.block), cmp.Compare(a.path, b.path)) })
	put, err := tx.PrepareContext(ctx, `INSERT INTO number VALUES (?, ?, ?, ?, ?) ON CONFLICT (path, block) DO UPDATE
		SET low = min(low, excluded.low), high = max(high, excluded.high), data = CAST(data || excluded.data AS BLOB)`)
	if err != nil {
		return err
	}
	defer put.Close()
	for _, c := range sorted {
		if _, err := put.ExecContext(context.WithoutCancel(ctx), c.path, c.block, c.low, c.high, c.data); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// eachNumber calls f with the numbers of a path that may be from low to high,
// both included, of blocks that have entries from first up to next. It tells
// spend how many bytes it reads.
func eachNumber(ctx context.Context, tx *sql.Tx, path int64, first, next uint64, low, high float64, spend func(int) error, f func(entry uint64, v float64)) error {
	rows, err := tx.QueryContext(ctx, `SELECT block, data FROM number WHERE path = ? AND block BETWEEN ? AND ? AND low <= ? AND high >= ? ORDER BY block`,
		path, int64(first/blockEntries), int64((next-1)/blockEntries), high, low)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var block int64
		var data sql.RawBytes
		if err := rows.Scan(&block, &data); err != nil {
			return err
		}
		if err := spend(len(data)); err != nil {
			return err
		}
		if len(data)%recordSize != 0 {
			return errors.Join(ErrDamaged, errors.New("a block of numbers has another size than it should"))
		}
		for ; len(data) > 0; data = data[recordSize:] {
			entry := uint64(block)*blockEntries + uint64(binary.LittleEndian.Uint16(data))
			f(entry, math.Float64frombits(binary.LittleEndian.Uint64(data[2:])))
		}
	}
	return rows.Err()
}
