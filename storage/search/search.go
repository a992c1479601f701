package search

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/conmotion/conmotion/scitt"
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
		s := search{x: x, tx: tx, q: q, work: x.MaxWork}
		var err error
		a, err = s.run(ctx)
		return err
	})
	return a, err
}

// reading runs f in a transaction that sees one state of the database.
func (x *Index) reading(ctx context.Context, f func(tx *sql.Tx) error) error {
	x.open.RLock()
	defer x.open.RUnlock()
	tx, err := x.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("search: %w", x.note(err))
	}
	defer tx.Rollback() // nothing was written
	if err := f(tx); err != nil {
		if err = x.note(err); errors.Is(err, ErrDamaged) {
			return fmt.Errorf("%w: %w", &scitt.Problem{Status: http.StatusServiceUnavailable, Title: "Search Unavailable",
				Detail: "the search index is being rebuilt", RetryAfter: 10 * time.Second}, err)
		}
		return err
	}
	return nil
}

// search is one query at work.
type search struct {
	x         *Index
	tx        querier
	q         Query
	state     state
	secret    hashKey
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
	var err error
	if s.state, err = readState(ctx, s.tx); err != nil {
		return nil, err
	}
	st := &s.state
	s.secret = newHashKey(st.Secret)
	a := &Answer{Checkpoint: Checkpoint{st.Origin, st.Size, st.Root}, Indexed: st.Next, Entries: []Hit{}}
	s.low, s.high = s.q.bounds(st.Size)
	if s.low >= s.high {
		return a, nil
	}
	found, err := s.match(ctx)
	if err != nil {
		return nil, err
	}
	var page []cursor
	if s.q.order.byTime() {
		page, err = s.byTime(ctx, found)
	} else {
		for entry := range found {
			if page = append(page, cursor{noCursorTime, entry}); len(page) > s.limit() {
				break
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if len(page) > s.limit() {
		page = page[:s.limit()]
		a.Next = page[s.limit()-1].String()
	}
	a.Entries, err = s.hits(ctx, page)
	return a, err
}

func (s *search) limit() int { return s.q.pageSize() }

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
// against it.
func (s *search) match(ctx context.Context) (iter.Seq[uint64], error) {
	descending := s.q.order.descending()
	var all *set
	// Spans last: they may be long, and need not be read when nothing is left.
	conditions := slices.SortedStableFunc(slices.Values(s.q.conditions), func(a, b condition) int {
		return cmp.Compare(len(a.spans), len(b.spans))
	})
	for i := range conditions {
		one, err := s.meet(ctx, &conditions[i])
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = one
		} else {
			all.and(one)
		}
		if all.empty() {
			return all.all(descending), nil
		}
	}
	if s.q.policy != nil {
		under, err := s.under(ctx, *s.q.policy)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = under
		} else {
			all.and(under)
		}
	}
	if all == nil {
		return everything(s.low, s.high, descending), nil
	}
	return all.all(descending), nil
}

// meet gives the entries that meet one condition.
func (s *search) meet(ctx context.Context, c *condition) (*set, error) {
	found := &set{low: s.low, high: s.high}
	type keys struct{ low, high key }
	var wanted []keys
	for _, t := range c.terms {
		k := s.secret.of(t)
		wanted = append(wanted, keys{k, k})
	}
	for _, sp := range c.spans {
		low, high := s.secret.between(sp)
		wanted = append(wanted, keys{low, high})
	}
	for _, seg := range s.state.Segments {
		if seg.Next <= s.low || seg.First >= s.high {
			continue
		}
		for _, w := range wanted {
			if w.high.less(w.low) {
				continue
			}
			err := s.x.scan(ctx, s.tx, seg, w.low, w.high, s.spend, func(r *blockReader) error {
				return r.entries(func(entry uint32) { found.add(seg.First + uint64(entry)) })
			})
			if err != nil {
				return nil, err
			}
		}
	}
	found.done()
	return found, nil
}

// under gives the entries that were registered under a policy: those behind
// it up to the next one, which is the last.
func (s *search) under(ctx context.Context, id scitt.EntryID) (*set, error) {
	found := &set{low: s.low, high: s.high}
	rows, err := s.tx.QueryContext(ctx, `SELECT idx, (SELECT min(later.idx) FROM policy later WHERE later.idx > policy.idx)
		FROM policy WHERE id = ? ORDER BY idx`, id[:])
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
		found.addRange(uint64(idx)+1, end)
	}
	found.done()
	return found, rows.Err()
}

// byTime gives the first entries in the order of event time, one more than
// the limit.
func (s *search) byTime(ctx context.Context, found iter.Seq[uint64]) ([]cursor, error) {
	var page []cursor
	var times []int64
	loaded := ^uint64(0)
	keep := s.limit() + 1
	for entry := range found {
		if n := entry / timesPerBlock; n != loaded {
			if err := s.spend(8 * timesPerBlock); err != nil {
				return nil, err
			}
			var err error
			if times, err = readTimes(ctx, s.tx, n); err != nil {
				return nil, err
			}
			loaded = n
		}
		if entry%timesPerBlock >= uint64(len(times)) {
			return nil, ErrDamaged
		}
		c := cursor{times[entry%timesPerBlock], entry}
		if s.q.after != nil && s.q.compare(c, *s.q.after) <= 0 {
			continue
		}
		page = append(page, c)
		if len(page) >= 2*keep {
			slices.SortFunc(page, s.q.compare)
			page = page[:keep]
		}
	}
	slices.SortFunc(page, s.q.compare)
	return page[:min(len(page), keep)], nil
}

// compare compares places in the order of the query.
func (q *Query) compare(a, b cursor) int {
	c := cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.index, b.index))
	if q.order.descending() {
		return -c
	}
	return c
}

// hits reads what the answer shows of each entry.
func (s *search) hits(ctx context.Context, page []cursor) ([]Hit, error) {
	hits := make([]Hit, 0, len(page))
	blocks := map[uint64][][]string{}
	for _, c := range page {
		n := c.index / rowsPerBlock
		rows, ok := blocks[n]
		if !ok {
			data, err := blob(ctx, s.tx, "SELECT data FROM row WHERE n = ?", n)
			if err != nil {
				return nil, err
			}
			if rows, err = decodeRows(data); err != nil {
				return nil, err
			}
			blocks[n] = rows
		}
		if c.index%rowsPerBlock >= uint64(len(rows)) {
			return nil, ErrDamaged
		}
		hit := hitOf(c.index, rows[c.index%rowsPerBlock])
		if service := cmp.Or(s.x.Service, s.state.Service); service != "" {
			hit.Receipt = service + "/entries/" + cmp.Or(hit.Entry, strconv.FormatUint(hit.Index, 10))
		}
		hits = append(hits, hit)
	}
	return hits, nil
}
