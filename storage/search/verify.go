package search

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// ErrAnswer says that an answer is not what the log says.
var ErrAnswer = errors.New("search: the answer is not true")

// ErrUnchecked says that an answer depends on an artifact that the index and
// the verifier do not both have, so that nobody can tell whether it is true.
var ErrUnchecked = errors.New("search: the answer cannot be checked")

// VerifyHits checks what an answer says of each entry in it, and not whether
// entries were left out: the answer's checkpoint is a state of the log in
// view, each hit is the entry with that id at that index (proven to be
// included), matches the query and is what the entry says of itself, and the
// hits are in order. It reads one bundle for each hit. The policy in force
// is not checked: that needs the entries before.
//
// It sets the hits' Standing, unless signed is nil. Of duplicates it knows only
// those of an entry in the same answer.
//
// The artifacts should be those that the index had. Errors wrap ErrAnswer where
// the answer is at fault, ErrUnchecked where it depends on an artifact that only
// one side has, and are those of the log or the artifacts otherwise.
func VerifyHits(ctx context.Context, view *tiles.View, q Query, a *Answer, artifacts reader.Artifacts, signed Signer) error {
	if err := sameLog(ctx, view, a); err != nil {
		return err
	}
	if len(a.Entries) > q.pageSize() {
		return fmt.Errorf("%w: it has %d entries, more than were asked for", ErrAnswer, len(a.Entries))
	}
	low, high := q.bounds(a.Checkpoint.Size)
	last := q.after
	docs := make([]*document, len(a.Entries))
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
		if err := sameArtifact(&d.Hit, hit); err != nil {
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
		if signed != nil {
			d.standing = signed.standing(entry)
		}
		docs[i] = d
	}
	return stand(ctx, view, a, docs)
}

// stand sets how the hits of an answer stand among each other.
func stand(ctx context.Context, view *tiles.View, a *Answer, docs []*document) error {
	inOrder := make([]int, len(docs))
	for i := range inOrder {
		inOrder[i] = i
	}
	slices.SortFunc(inOrder, func(x, y int) int { return cmp.Compare(docs[x].Index, docs[y].Index) })
	c := newCounter(view)
	for _, i := range inOrder {
		var err error
		hit := &a.Entries[i]
		if hit.Standing, hit.DuplicateOf, err = c.count(ctx, docs[i], docs[i].standing); err != nil {
			return err
		}
	}
	return nil
}

// Page is one answer, and the query that it answers.
type Page struct {
	Query  Query
	Answer *Answer
}

// Scanned is what [Verify] has read.
type Scanned struct {
	Entries uint64
	// Missing is how many of them sign the hash of an artifact that is not to
	// be had here. They were judged by their headers.
	Missing uint64
	// Unsaid is how many entries up to the view's checkpoint, and within the
	// bounds of the query, the answers say nothing about: who answers chooses up to
	// which checkpoint. Unless it is 0 the list is not complete.
	Unsaid uint64
}

// unsaid is [Scanned].Unsaid of one answer. The first entries of a list in the log's
// order are those, whatever comes behind them.
func (p Page) unsaid(size uint64) uint64 {
	if p.Answer.Next != "" && !p.Query.order.byTime() && !p.Query.order.descending() {
		return 0
	}
	low, high := p.Query.bounds(size)
	if low = max(low, p.Answer.Checkpoint.Size); low >= high {
		return 0
	}
	return high - low
}

// Verify checks answers completely: it reads every entry up to their
// checkpoints once, verified by the view, answers the queries from them alone,
// and compares. So it also shows that no entry was left out up to there; whether
// that is all of the log in view is in Scanned.Unsaid. The queries are
// one query, but for the cursor and the limit: the pages of a list. It sets the
// hits' Standing, unless signed is nil. Progress, when not nil, is told the number
// of entries read. See VerifyHits for artifacts and errors.
func Verify(ctx context.Context, view *tiles.View, pages []Page, artifacts reader.Artifacts, signed Signer, progress func(read uint64)) (Scanned, error) {
	s := scan{view: view, artifacts: artifacts, signed: signed, count: newCounter(view), progress: progress}
	for _, p := range pages {
		if err := sameLog(ctx, view, p.Answer); err != nil {
			return s.Scanned, err
		}
		s.pages = append(s.pages, &wanted{Page: p})
		s.size = max(s.size, p.Answer.Checkpoint.Size)
		s.Unsaid = max(s.Unsaid, p.unsaid(view.Checkpoint.Size))
	}
	if err := s.run(ctx); err != nil {
		return s.Scanned, err
	}
	for _, p := range s.pages {
		if err := s.compare(ctx, p); err != nil {
			return s.Scanned, err
		}
	}
	return s.Scanned, nil
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

// matcher is the emitter that holds one entry to a query.
type matcher struct {
	q   *Query
	met []bool
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

func (m *matcher) all() bool { return !slices.Contains(m.met, false) }
