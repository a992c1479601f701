package search

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/internal/projection"
)

// Checkpoint names the state of the log up to which an answer is complete.
type Checkpoint struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   []byte `json:"root"` // base64 in JSON, as in a checkpoint
}

// Answer is what a query found.
type Answer struct {
	// Checkpoint: the answer is complete for the entries under it. It is of
	// size 0 until the index has read the log for the first time.
	Checkpoint Checkpoint `json:"checkpoint"`
	// Indexed is the number of entries that the index has read; more than the
	// checkpoint's size while it is catching up.
	Indexed uint64 `json:"indexed"`
	Entries []Hit  `json:"entries"`
	// Next is the parameter after of the query for what follows, if anything does.
	Next string `json:"next,omitempty"`
}

// Search answers a query. It sees one state of the index, and gives up when
// the context ends. Errors wrap ErrTooBroad, with a [*scitt.Problem] that says
// what to do, or ErrDamaged.
func (x *Index) Search(ctx context.Context, q Query) (*Answer, error) {
	var a *Answer
	err := x.reading(ctx, func(tx *sql.Tx) error {
		s := search{x: x, tx: tx, q: q, terms: terms{secret: x.secret}, work: x.MaxWork}
		var err error
		a, err = s.run(ctx)
		return err
	})
	return a, err
}

// reading runs f in a transaction that sees one state of the database.
func (x *Index) reading(ctx context.Context, f func(tx *sql.Tx) error) error {
	err := x.Read(ctx, f)
	if errors.Is(err, projection.ErrRebuilding) || errors.Is(err, ErrDamaged) {
		return fmt.Errorf("search: %w: %w", &scitt.Problem{Status: http.StatusServiceUnavailable, Title: "Search Unavailable",
			Detail: "the search index is being rebuilt", RetryAfter: 10 * time.Second}, err)
	}
	return err
}

// search is one query at work.
type search struct {
	x         *Index
	tx        *sql.Tx
	q         Query
	terms     terms  // makes hashes
	low, high uint64 // of the entries that can be in the answer
	work      int64  // bytes that may still be read
}

// spend takes what is read from what may be read.
func (s *search) spend(bytes int) error {
	if s.work -= int64(bytes); s.work < 0 {
		return fmt.Errorf("%w: %w", ErrTooBroad, &scitt.Problem{Status: http.StatusBadRequest, Title: "Query Too Broad",
			Detail: "narrow your query: it would read too much of the index; add a condition on equality, a smaller span of a number or time, or index_from and index_to"})
	}
	return nil
}

func (s *search) run(ctx context.Context) (*Answer, error) {
	st, err := projection.ReadState(ctx, s.tx)
	if err != nil {
		return nil, err
	}
	a := &Answer{Checkpoint: Checkpoint{st.Origin, st.Size, st.Root}, Indexed: st.Next, Entries: []Hit{}}
	s.low, s.high = s.q.bounds(st.Size)
	found, err := s.match(ctx)
	if err != nil {
		return nil, err
	}
	page, err := s.page(ctx, found)
	if err != nil {
		return nil, err
	}
	if limit := s.q.pageSize(); len(page) > limit {
		page = page[:limit]
		a.Next = page[limit-1].String()
	}
	a.Entries, err = s.hits(ctx, page)
	return a, err
}

func (q *Query) pageSize() int {
	if q.limit == 0 {
		return DefaultLimit
	}
	return q.limit
}

// bounds are the indexes between which an answer lies.
func (q *Query) bounds(size uint64) (low, high uint64) {
	low, high = q.from, size
	if q.to > 0 {
		high = min(q.to, size)
	}
	if q.after != nil && !q.order.byTime() {
		if q.order.descending() {
			high = min(high, q.after.index)
		} else {
			low = max(low, q.after.index+1)
		}
	}
	return low, high
}

// match gives the entries that meet all conditions, in the order of the log or
// against it. FTS5 finds terms, and comparisons are made over all numbers of a
// path.
func (s *search) match(ctx context.Context) (iter.Seq2[uint64, error], error) {
	var all []string      // of FTS5's query, joined by AND
	var in *bitset.BitSet // of the entries from low on; nil for all of them
	only := func(one *bitset.BitSet) {
		if in == nil {
			in = one
		} else {
			in.InPlaceIntersection(one)
		}
	}
	if s.low >= s.high {
		return func(func(uint64, error) bool) {}, nil
	}
	if s.q.policy != nil {
		under, err := s.under(ctx, *s.q.policy)
		if err != nil {
			return nil, err
		}
		only(under)
	}
	for i := range s.q.conditions {
		c := &s.q.conditions[i]
		if tokens := s.tokens(c); tokens != nil {
			all = append(all, "("+strings.Join(tokens, " OR ")+")")
			continue
		}
		between, err := s.between(ctx, c)
		if err != nil {
			return nil, err
		}
		only(between)
	}
	if in != nil {
		first, ok := in.NextSet(0)
		if !ok {
			return func(func(uint64, error) bool) {}, nil
		}
		last, _ := in.PreviousSet(uint(s.high - s.low))
		within := in
		base := s.low
		s.low, s.high = base+uint64(first), base+uint64(last)+1
		return s.filter(s.candidates(ctx, all), func(entry uint64) bool { return within.Test(uint(entry - base)) }), nil
	}
	return s.candidates(ctx, all), nil
}

// filter keeps the entries for which keep is true.
func (s *search) filter(entries iter.Seq2[uint64, error], keep func(uint64) bool) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		for entry, err := range entries {
			if (err != nil || keep(entry)) && !yield(entry, err) {
				return
			}
		}
	}
}

// tokens are what FTS5 is asked for a condition, each in quotes, or nil for a comparison.
func (s *search) tokens(c *condition) (tokens []string) {
	for _, t := range c.terms {
		tokens = append(tokens, `"`+s.terms.token(t)+`"`)
	}
	for _, sp := range c.spans {
		if sp.kind != kindNumber || sp.low != sp.high {
			return nil
		}
		tokens = append(tokens, `"`+s.terms.token(term{sp.kind, sp.path, exact(sp.low)})+`"`)
	}
	return tokens
}

// candidates gives the entries from low up to high that FTS5 finds, or all of
// them when there is nothing to find.
func (s *search) candidates(ctx context.Context, all []string) iter.Seq2[uint64, error] {
	query, args := "SELECT idx FROM hit WHERE idx >= ? AND idx < ? ORDER BY idx", []any{int64(s.low), int64(s.high)}
	if len(all) > 0 {
		query, args = "SELECT rowid FROM term WHERE rowid >= ? AND rowid < ? AND term MATCH ? ORDER BY rowid", append(args, strings.Join(all, " AND "))
	}
	if s.q.order.descending() {
		query += " DESC"
	}
	return func(yield func(uint64, error) bool) {
		rows, err := s.tx.QueryContext(ctx, query, args...)
		if err != nil {
			yield(0, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var entry int64
			err := rows.Scan(&entry)
			if err == nil {
				err = s.spend(candidateCost)
			}
			if !yield(uint64(entry), err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(0, err)
		}
	}
}

// candidateCost is what one entry that FTS5 finds costs, in bytes of numbers
// that could be read in the same time.
const candidateCost = 50

// between gives the entries that meet a comparison.
func (s *search) between(ctx context.Context, c *condition) (*bitset.BitSet, error) {
	found := bitset.New(uint(s.high - s.low))
	for _, sp := range c.spans {
		err := eachNumber(ctx, s.tx, s.terms.path(sp.kind, sp.path), s.low, s.high, sp.low, sp.high, s.spend, func(entry uint64, v float64) {
			if sp.low <= v && v <= sp.high && entry >= s.low && entry < s.high {
				found.Set(uint(entry - s.low))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// under gives the entries that were registered under a policy: those behind
// it up to the next one, which is the last.
func (s *search) under(ctx context.Context, id scitt.EntryID) (*bitset.BitSet, error) {
	found := bitset.New(uint(s.high - s.low))
	rows, err := s.tx.QueryContext(ctx, `SELECT idx, (SELECT min(later.idx) FROM policy later WHERE later.idx > policy.idx)
		FROM policy WHERE id = ? ORDER BY idx`, id.String())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var idx int64
		var next sql.NullInt64
		if err := rows.Scan(&idx, &next); err != nil {
			return nil, err
		}
		first, end := max(uint64(idx)+1, s.low), s.high
		if next.Valid {
			end = min(end, uint64(next.Int64)+1)
		}
		if first < end {
			found.FlipRange(uint(first-s.low), uint(end-s.low))
		}
	}
	return found, rows.Err()
}

// page takes the first entries in the order of the query, one more than the limit.
func (s *search) page(ctx context.Context, found iter.Seq2[uint64, error]) (page []cursor, err error) {
	var times [blockEntries]int64
	keep, loaded := s.q.pageSize()+1, ^uint64(0)
	for entry, err := range found {
		if err != nil {
			return nil, err
		}
		if !s.q.order.byTime() {
			if page = append(page, cursor{noCursorTime, entry}); len(page) == keep {
				return page, nil
			}
			continue
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
			slices.SortFunc(page, s.q.compare)
			page = page[:keep]
		}
	}
	slices.SortFunc(page, s.q.compare)
	return page[:min(len(page), keep)], nil
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
