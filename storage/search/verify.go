package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// ErrAnswer says that an answer is not what the log says.
var ErrAnswer = errors.New("search: the answer is not true")

// VerifyHits checks what an answer says of each entry in it, and not whether
// entries were left out: the answer's checkpoint is a state of the log in
// view, each hit is the entry with that id at that index (proven to be
// included), matches the query and is what the entry says of itself, and the
// hits are in order. It reads one bundle for each hit. The policy in force
// is not checked: that needs the entries before.
//
// The artifacts should be those that the index had; a hit whose artifact is
// not to be had here is an error. Errors wrap ErrAnswer where the answer is at
// fault, and are those of the log otherwise.
func VerifyHits(ctx context.Context, view *tiles.View, q Query, a *Answer, artifacts Artifacts) error {
	if err := sameLog(ctx, view, a); err != nil {
		return err
	}
	if len(a.Entries) > q.pageSize() {
		return fmt.Errorf("%w: it has %d entries, more than were asked for", ErrAnswer, len(a.Entries))
	}
	low, high := q.bounds(a.Checkpoint.Size)
	last := q.after
	for i := range a.Entries {
		hit := &a.Entries[i]
		at := q.cursor(hit)
		if hit.Index < low || hit.Index >= high || (last != nil && q.compare(at, *last) <= 0) {
			return fmt.Errorf("%w: entry %d is out of order or out of bounds", ErrAnswer, hit.Index)
		}
		last = &at
		entry, err := view.Entry(ctx, hit.Index)
		if err != nil {
			return err
		}
		m := newMatcher(&q)
		d, err := read(ctx, hit.Index, entry, artifacts, m)
		if err != nil {
			return err
		}
		if !m.all() {
			return fmt.Errorf("%w: entry %d does not match the query", ErrAnswer, hit.Index)
		}
		d.Policy = hit.Policy
		if q.policy != nil && hit.Policy != q.policy.String() {
			return fmt.Errorf("%w: entry %d is said to be under another policy", ErrAnswer, hit.Index)
		}
		if err := sameHit(&d.Hit, hit); err != nil {
			return err
		}
	}
	return nil
}

// Verify checks an answer completely: it reads every entry up to the answer's
// checkpoint, verified by the view, answers the query from them alone, and
// compares. So it also shows that no entry was left out. Progress, when not
// nil, is told the number of entries read. See VerifyHits for artifacts and
// errors.
func Verify(ctx context.Context, view *tiles.View, q Query, a *Answer, artifacts Artifacts, progress func(read uint64)) error {
	if err := sameLog(ctx, view, a); err != nil {
		return err
	}
	size := a.Checkpoint.Size
	want, err := scanLog(ctx, view, &q, size, artifacts, progress)
	if err != nil {
		return err
	}
	next := ""
	if limit := q.pageSize(); len(want) > limit {
		want = want[:limit]
		next = q.cursor(&want[limit-1].Hit).String()
	}
	for i := range max(len(want), len(a.Entries)) {
		switch {
		case i >= len(a.Entries):
			return fmt.Errorf("%w: entry %d was left out", ErrAnswer, want[i].Index)
		case i >= len(want):
			return fmt.Errorf("%w: entry %d does not belong there", ErrAnswer, a.Entries[i].Index)
		case want[i].Index != a.Entries[i].Index:
			return fmt.Errorf("%w: entry %d stands where entry %d should", ErrAnswer, a.Entries[i].Index, want[i].Index)
		}
		if err := sameHit(&want[i].Hit, &a.Entries[i]); err != nil {
			return err
		}
	}
	if a.Next != next {
		return fmt.Errorf("%w: it goes on at %q, and should at %q", ErrAnswer, a.Next, next)
	}
	return nil
}

// sameLog checks that the answer's checkpoint is a state of the log in view.
func sameLog(ctx context.Context, view *tiles.View, a *Answer) error {
	cp := a.Checkpoint
	if cp.Size == 0 && len(a.Entries) == 0 {
		return nil // it claims nothing
	}
	if cp.Origin != view.Checkpoint.Origin {
		return fmt.Errorf("%w: it is about the log %q and not %q", ErrAnswer, cp.Origin, view.Checkpoint.Origin)
	}
	if cp.Size > view.Checkpoint.Size {
		return fmt.Errorf("search: the answer is about %d entries, and the checkpoint at hand about %d: read a newer one", cp.Size, view.Checkpoint.Size)
	}
	err := view.Consistency(ctx, &scitt.Checkpoint{Origin: cp.Origin, Size: cp.Size, Root: cp.Root})
	if errors.Is(err, scitt.ErrProof) {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return err
}

// sameHit compares all that an answer says of an entry, but for the URL of the
// Receipt, which is not the log's.
func sameHit(want, got *Hit) error {
	w, g := *want, *got
	w.Receipt, g.Receipt = "", ""
	a, err := json.Marshal(w)
	if err != nil {
		return err
	}
	b, err := json.Marshal(g)
	if err != nil {
		return err
	}
	if string(a) != string(b) {
		return fmt.Errorf("%w: entry %d is said to be %s, and is %s", ErrAnswer, want.Index, b, a)
	}
	return nil
}

// cursor is the place of a hit in the order of the query.
func (q *Query) cursor(h *Hit) cursor {
	if q.order.byTime() {
		return cursor{h.time(), h.Index}
	}
	return cursor{noCursorTime, h.Index}
}

// scanned is one entry, and whether it meets the conditions of a query other
// than on the policy.
type scanned struct {
	*document
	matches bool
}

// scanLog answers a query by reading the log; one entry more than the limit.
func scanLog(ctx context.Context, view *tiles.View, q *Query, size uint64, artifacts Artifacts, progress func(uint64)) ([]*document, error) {
	if size == 0 {
		return nil, nil
	}
	readBundle := func(ctx context.Context, n uint64) (list []scanned, err error) {
		for e, err := range view.Entries(ctx, n*tiles.Width, min(size, (n+1)*tiles.Width)) {
			if err != nil {
				return nil, err
			}
			m := newMatcher(q)
			d, err := read(ctx, e.Index, e.Data, artifacts, m)
			if err != nil {
				return nil, err
			}
			list = append(list, scanned{d, m.all()})
		}
		return list, nil
	}
	low, high := q.bounds(size)
	keep := q.pageSize() + 1
	byPlace := func(a, b *document) int { return q.compare(q.cursor(&a.Hit), q.cursor(&b.Hit)) }
	var found []*document
	policy := ""
	for n, bundle := range tiles.Ahead(ctx, 0, (size-1)/tiles.Width+1, 2*runtime.GOMAXPROCS(0), readBundle) {
		if bundle.Err != nil {
			return nil, bundle.Err
		}
		for _, d := range bundle.Value {
			d.Policy = policy
			if d.isPolicy {
				policy = d.Entry
			}
			if !d.matches || d.Index < low || d.Index >= high || (q.policy != nil && d.Policy != q.policy.String()) ||
				(q.after != nil && q.compare(q.cursor(&d.Hit), *q.after) <= 0) {
				continue
			}
			found = append(found, d.document)
		}
		if len(found) > 2*keep {
			slices.SortFunc(found, byPlace)
			found = found[:keep]
		}
		if progress != nil {
			progress(min(size, (n+1)*tiles.Width))
		}
	}
	slices.SortFunc(found, byPlace)
	return found[:min(len(found), keep)], nil
}

// matcher is the emitter that holds one entry to a query.
type matcher struct {
	q          *Query
	met, saved []bool
}

func newMatcher(q *Query) *matcher { return &matcher{q: q, met: make([]bool, len(q.conditions))} }

func (m *matcher) term(k kind, path, value string) {
	for i := range m.met {
		for _, t := range m.q.conditions[i].terms {
			if t.kind == k && t.path == path && t.value == value {
				m.met[i] = true
			}
		}
	}
}

func (m *matcher) number(k kind, path string, v float64) {
	for i := range m.met {
		for _, s := range m.q.conditions[i].spans {
			if s.kind == k && s.path == path && s.low <= v && v <= s.high {
				m.met[i] = true
			}
		}
	}
}

func (m *matcher) mark()     { m.saved = slices.Clone(m.met) }
func (m *matcher) undo()     { m.met = m.saved }
func (m *matcher) all() bool { return !slices.Contains(m.met, false) }
