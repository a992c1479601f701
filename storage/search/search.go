package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/http"
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
		s := search{x: x, tx: tx, q: q, terms: terms{secret: x.secret}, work: x.maxWork}
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

	under       [][2]uint64 // of the entries under the query's policy
	all         []string    // of FTS5's query, joined by AND
	comparisons []*condition
	few         []uint64 // all that FTS5 finds, in the order of the log or against it; nil when it is more
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
	if s.q.policy != nil {
		if s.under, err = s.registered(ctx, *s.q.policy); err != nil {
			return nil, err
		}
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	page, err := s.page(ctx)
	if err != nil {
		return nil, err
	}
	a.Entries, err = s.hits(ctx, page[:min(len(page), s.q.pageSize())])
	if n := len(a.Entries); n > 0 && n < len(page) {
		a.Next = page[n-1].String()
	}
	return a, err
}

func (q *Query) pageSize() int {
	if q.limit == 0 {
		return defaultLimit
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

// prepare sorts the conditions by who finds what meets them: FTS5 finds terms, and
// comparisons are made over all numbers of a path. When FTS5 finds few entries, they
// are found once.
func (s *search) prepare(ctx context.Context) error {
	for i := range s.q.conditions {
		c := &s.q.conditions[i]
		if tokens := s.tokens(c); tokens != nil {
			s.all = append(s.all, "("+strings.Join(tokens, " OR ")+")")
		} else {
			s.comparisons = append(s.comparisons, c)
		}
	}
	if len(s.all) == 0 || s.streams() {
		return nil
	}
	few := []uint64{}
	for entry, err := range s.candidates(ctx, s.low, s.high) {
		if err != nil {
			return err
		}
		if few = append(few, entry); len(few) > fewCandidates {
			return nil
		}
	}
	if s.few = few; len(few) == 0 {
		s.high = s.low
		return nil
	}
	first, last := few[0], few[len(few)-1]
	s.low, s.high = min(first, last), max(first, last)+1
	return nil
}

// fewCandidates are sorted, and looked up one by one, in less time than it takes to
// ask FTS5 again.
const fewCandidates = 1024

// streams reports whether the answer is what FTS5 gives, as it comes.
func (s *search) streams() bool {
	return len(s.comparisons) == 0 && s.q.policy == nil && !s.q.order.byTime()
}

// mostBlocks bounds how many blocks of numbers are read at once.
const mostBlocks = 64

// windows cuts the entries from low up to high into spans, in the order of the log
// or against it. The first are small: a query that many entries meet ends there.
func (s *search) windows() iter.Seq2[uint64, uint64] {
	return func(yield func(low, high uint64) bool) {
		low, high := s.low, s.high
		if low < high && s.streams() {
			yield(low, high)
			return
		}
		for blocks := uint64(1); low < high; blocks = min(2*blocks, mostBlocks) {
			from, to := low, high
			if s.q.order.descending() {
				if last := (high - 1) / blockEntries; last >= blocks {
					from = max(low, (last+1-blocks)*blockEntries)
				}
				high = from
			} else {
				to = min(high, (low/blockEntries+blocks)*blockEntries)
				low = to
			}
			if !yield(from, to) {
				return
			}
		}
	}
}

// match gives the entries from low up to high that meet all conditions, in the
// order of the log or against it.
func (s *search) match(ctx context.Context, low, high uint64) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		in, base := (*bitset.BitSet)(nil), low // of the entries from base on; nil for all of them
		only := func(one *bitset.BitSet) {
			if in == nil {
				in = one
			} else {
				in.InPlaceIntersection(one)
			}
		}
		if s.q.policy != nil {
			only(s.underPolicy(low, high))
		}
		for _, c := range s.comparisons {
			between, err := s.between(ctx, c, low, high)
			if err != nil {
				yield(0, err)
				return
			}
			only(between)
		}
		if in != nil {
			first, ok := in.NextSet(0)
			if !ok {
				return
			}
			last, _ := in.PreviousSet(uint(high - low - 1))
			low, high = base+uint64(first), base+uint64(last)+1
		}
		for entry, err := range s.candidates(ctx, low, high) {
			if (err != nil || in == nil || in.Test(uint(entry-base))) && !yield(entry, err) {
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
func (s *search) candidates(ctx context.Context, low, high uint64) iter.Seq2[uint64, error] {
	if s.few != nil {
		return func(yield func(uint64, error) bool) {
			for _, entry := range s.few {
				if low <= entry && entry < high && !yield(entry, nil) {
					return
				}
			}
		}
	}
	query, args := "SELECT idx FROM hit WHERE idx >= ? AND idx < ? ORDER BY idx", []any{int64(low), int64(high)}
	if len(s.all) > 0 {
		query, args = "SELECT rowid FROM term WHERE rowid >= ? AND rowid < ? AND term MATCH ? ORDER BY rowid", append(args, strings.Join(s.all, " AND "))
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

// between gives the entries from low up to high that meet a comparison.
func (s *search) between(ctx context.Context, c *condition, low, high uint64) (*bitset.BitSet, error) {
	found := bitset.New(uint(high - low))
	for _, sp := range c.spans {
		err := eachNumber(ctx, s.tx, s.terms.path(sp.kind, sp.path), low, high, sp.low, sp.high, s.spend, func(entry uint64, v float64) {
			if sp.low <= v && v <= sp.high && entry >= low && entry < high {
				found.Set(uint(entry - low))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// registered gives the spans of the entries that were registered under a policy:
// those behind it up to the next one, which is the last.
func (s *search) registered(ctx context.Context, id scitt.EntryID) (spans [][2]uint64, err error) {
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
		end := s.high
		if next.Valid {
			end = uint64(next.Int64) + 1
		}
		spans = append(spans, [2]uint64{uint64(idx) + 1, end})
	}
	return spans, rows.Err()
}

// underPolicy gives the entries from low up to high that were registered under
// the query's policy.
func (s *search) underPolicy(low, high uint64) *bitset.BitSet {
	found := bitset.New(uint(high - low))
	for _, span := range s.under {
		if first, end := max(span[0], low), min(span[1], high); first < end {
			found.FlipRange(uint(first-low), uint(end-low))
		}
	}
	return found
}
