package search

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// page takes the first entries in the order of the query, one more than the limit.
func (s *search) page(ctx context.Context) (page []cursor, err error) {
	keep := s.q.pageSize() + 1
	if s.q.order.byTime() {
		return s.pageByTime(ctx, keep)
	}
	for low, high := range s.windows() {
		for entry, err := range s.match(ctx, low, high) {
			if err != nil {
				return nil, err
			}
			if page = append(page, cursor{noCursorTime, entry}); len(page) == keep {
				return page, nil
			}
		}
	}
	return page, nil
}

// pageByTime looks at the entries in the order of the log, since that is mostly
// the order of the events too, and leaves out the blocks with no event that would
// be in the page.
func (s *search) pageByTime(ctx context.Context, keep int) (page []cursor, err error) {
	var times [blockEntries]int64
	loaded := ^uint64(0)
	ends, err := s.timeEnds(ctx)
	if err != nil {
		return nil, err
	}
	trim := func() {
		slices.SortFunc(page, s.q.compare)
		page = page[:min(len(page), keep)]
	}
	for low, high := range s.windows() {
		trim()
		useless := func(entry uint64) bool {
			first, last := ends.of(entry / blockEntries)
			if s.q.order.descending() {
				first, last = last, first
			}
			return len(page) == keep && s.q.compare(first, page[keep-1]) > 0 || s.q.after != nil && s.q.compare(last, *s.q.after) < 0
		}
		for low < high && useless(low) {
			low = min(high, (low/blockEntries+1)*blockEntries)
		}
		for low < high && useless(high-1) {
			high = max(low, (high-1)/blockEntries*blockEntries)
		}
		if low == high {
			continue
		}
		for entry, err := range s.match(ctx, low, high) {
			if err != nil {
				return nil, err
			}
			if n := entry / blockEntries; n != loaded {
				if err := s.times(ctx, n, &times); err != nil {
					return nil, err
				}
				loaded = n
			}
			c := cursor{times[entry%blockEntries], entry}
			if s.q.after != nil && s.q.compare(c, *s.q.after) <= 0 {
				continue
			}
			if page = append(page, c); len(page) >= 2*keep {
				trim()
			}
		}
	}
	trim()
	return page, nil
}

// timeEnds are the first and the last cursor that each block can have, in
// ascending order of time.
type timeEnds map[uint64][2]int64

func (s *search) timeEnds(ctx context.Context) (timeEnds, error) {
	rows, err := s.tx.QueryContext(ctx, "SELECT block, low, high, length(data) FROM number WHERE path = ?", s.terms.path(kindEventTime, ""))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ends := timeEnds{}
	for rows.Next() {
		var block, size int64
		var low, high float64
		if err := rows.Scan(&block, &low, &high, &size); err != nil {
			return nil, err
		}
		first := int64(low)
		if size < blockEntries*recordSize {
			first = noTime // of the others
		}
		ends[uint64(block)] = [2]int64{first, int64(high)}
	}
	return ends, rows.Err()
}

func (t timeEnds) of(block uint64) (first, last cursor) {
	ends, ok := t[block]
	if !ok {
		ends = [2]int64{noTime, noTime}
	}
	return cursor{ends[0], block * blockEntries}, cursor{ends[1], (block+1)*blockEntries - 1}
}

// times reads the event times of a block of entries.
func (s *search) times(ctx context.Context, block uint64, times *[blockEntries]int64) error {
	for i := range times {
		times[i] = noTime
	}
	first := block * blockEntries
	return eachNumber(ctx, s.tx, s.terms.path(kindEventTime, ""), first, first+blockEntries, math.Inf(-1), math.Inf(1), s.spend,
		func(entry uint64, v float64) { times[entry%blockEntries] = int64(v) })
}

// compare compares places in the order of the query.
func (q *Query) compare(a, b cursor) int {
	c := cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.index, b.index))
	if q.order.descending() {
		return -c
	}
	return c
}
