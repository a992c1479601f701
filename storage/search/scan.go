package search

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// scan answers the pages of one query by reading the log.
type scan struct {
	Scanned
	view      *tiles.View
	pages     []*wanted
	size      uint64 // of the largest checkpoint
	artifacts reader.Artifacts
	signed    Signer
	count     *counter // of the entries that match
	progress  func(read uint64)
}

// wanted is a page and what the log has for it: one entry more than the limit.
type wanted struct {
	Page
	found []*document
}

// seen is one entry, and whether it meets the conditions of the query other
// than on the policy.
type seen struct {
	*document
	matches bool
}

func (s *scan) bundle(ctx context.Context, n uint64) (list []seen, err error) {
	q := &s.pages[0].Query
	for e, err := range s.view.Entries(ctx, n*tiles.Width, min(s.size, (n+1)*tiles.Width)) {
		if err != nil {
			return nil, err
		}
		m := newMatcher(q)
		d, err := read(ctx, e.Index, e.Data, s.artifacts, m)
		if err != nil {
			return nil, err
		}
		if m.all() && s.signed != nil {
			d.standing = s.signed.standing(e.Data)
		}
		list = append(list, seen{d, m.all()})
	}
	return list, nil
}

func (s *scan) run(ctx context.Context) error {
	if s.size == 0 {
		return nil
	}
	policy := ""
	for n, bundle := range parallel.Ordered(ctx, 0, (s.size-1)/tiles.Width+1, 2*runtime.GOMAXPROCS(0), s.bundle) {
		if bundle.Err != nil {
			return bundle.Err
		}
		for _, d := range bundle.Value {
			d.Policy = policy
			if d.isPolicy {
				policy = d.Entry
			}
			if d.Content == contentMissing {
				s.Missing++
			}
			if d.matches {
				var err error
				if d.standing, d.duplicateOf, err = s.count.count(ctx, d.document, d.standing); err != nil {
					return err
				}
				for _, p := range s.pages {
					p.add(d.document)
				}
			}
		}
		s.Entries = min(s.size, (n+1)*tiles.Width)
		if s.progress != nil {
			s.progress(s.Entries)
		}
	}
	for _, p := range s.pages {
		p.trim()
	}
	return nil
}

// add takes an entry that meets the conditions, if it is in this page.
func (p *wanted) add(d *document) {
	q := &p.Query
	low, high := q.bounds(p.Answer.Checkpoint.Size)
	if d.Index < low || d.Index >= high || (q.policy != nil && d.Policy != q.policy.String()) ||
		(q.after != nil && q.compare(q.cursor(&d.Hit), *q.after) <= 0) {
		return
	}
	keep := q.pageSize() + 1
	if q.order == ascending && len(p.found) == keep {
		return // they come in this order
	}
	if p.found = append(p.found, d); len(p.found) > 2*keep {
		p.trim()
	}
}

func (p *wanted) trim() {
	q := &p.Query
	slices.SortFunc(p.found, func(a, b *document) int { return q.compare(q.cursor(&a.Hit), q.cursor(&b.Hit)) })
	p.found = p.found[:min(len(p.found), q.pageSize()+1)]
}

// compare holds an answer to what the log has for it.
func (s *scan) compare(ctx context.Context, p *wanted) error {
	want, a, q := p.found, p.Answer, &p.Query
	next := ""
	if limit := q.pageSize(); len(want) > limit {
		want = want[:limit]
		next = q.cursor(&want[limit-1].Hit).String()
	}
	for i := range max(len(want), len(a.Entries)) {
		var w, got *Hit
		if i < len(want) {
			w = &want[i].Hit
		}
		if i < len(a.Entries) {
			got = &a.Entries[i]
		}
		if w == nil || got == nil || w.Index != got.Index {
			if err := s.artifactsDiffer(ctx, q, a, w, got); err != nil {
				return err
			}
		}
		switch {
		case got == nil:
			return fmt.Errorf("%w: entry %d was left out", ErrAnswer, w.Index)
		case w == nil:
			return fmt.Errorf("%w: entry %d does not belong there", ErrAnswer, got.Index)
		case w.Index != got.Index:
			return fmt.Errorf("%w: entry %d stands where entry %d should", ErrAnswer, got.Index, w.Index)
		}
		if err := sameArtifact(w, got); err != nil {
			return err
		}
		if err := sameHit(w, got); err != nil {
			return err
		}
		got.Standing, got.DuplicateOf = want[i].standing, want[i].duplicateOf
	}
	if a.Next != next {
		return fmt.Errorf("%w: it goes on at %q, and should at %q", ErrAnswer, a.Next, next)
	}
	return nil
}

// sameArtifact tells the difference of two hits that comes from an artifact
// which one side has and the other has not. What the index had when it read
// the entry, the log does not say.
func sameArtifact(want, got *Hit) error {
	switch {
	case want.Artifact == "" || want.Artifact != got.Artifact || (want.Content == contentMissing) == (got.Content == contentMissing):
		return nil
	case want.Content == contentMissing:
		return fmt.Errorf("%w: the artifact of entry %d is not available here, and the index had it", ErrUnchecked, want.Index)
	}
	return fmt.Errorf("%w: the index had no artifact for entry %d when it read it, and there is one now", ErrUnchecked, want.Index)
}

// artifactsDiffer reports whether artifacts can be why another entry stands at
// a place. It gives nil when they cannot, and the answer is false.
func (s *scan) artifactsDiffer(ctx context.Context, q *Query, a *Answer, want, got *Hit) error {
	if got != nil && got.Index < s.view.Checkpoint.Size {
		matches, d, err := s.judge(ctx, q, got.Index, s.artifacts)
		if err != nil {
			return err
		}
		if err := sameArtifact(&d.Hit, got); err != nil {
			return err
		}
		if !matches {
			return fmt.Errorf("%w: entry %d does not match the query", ErrAnswer, got.Index)
		}
	}
	if want == nil || want.Artifact == "" || want.Content == contentMissing {
		return nil
	}
	for i := range a.Entries {
		if a.Entries[i].Index == want.Index {
			return sameArtifact(want, &a.Entries[i]) // it stands elsewhere
		}
	}
	matches, _, err := s.judge(ctx, q, want.Index, nil)
	if err != nil {
		return err
	}
	if !matches || q.order.byTime() {
		return fmt.Errorf("%w: entry %d is not in it and should be for what its artifact says, which the index may not have had", ErrUnchecked, want.Index)
	}
	return nil
}

// judge reads one entry with these artifacts.
func (s *scan) judge(ctx context.Context, q *Query, index uint64, artifacts reader.Artifacts) (matches bool, d *document, err error) {
	entry, err := s.view.Entry(ctx, index)
	if err != nil {
		return false, nil, err
	}
	m := newMatcher(q)
	d, err = read(ctx, index, entry, artifacts, m)
	return err == nil && m.all(), d, err
}
