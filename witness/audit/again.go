package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/tiles"
)

// unread is an entry that was judged without its artifact, which was out of reach. It is
// judged again at each pass until the artifact can be read or is not there, by the heads
// that it was judged by.
type unread struct {
	Index uint64      `json:"index"`
	Heads []chainHead `json:"heads,omitempty"`
}

// maxUnread is how many entries are judged again. Where there are more, the storage is out of
// reach and not only some of its artifacts, and the audit ends until the next pass.
const maxUnread = 1000

// out notes an entry whose artifact was out of reach.
func (s *State) out(it *item) error {
	if len(s.Unread) >= maxUnread {
		return fmt.Errorf("entry %d: %w", it.index, it.unread)
	}
	before := heads{}
	if it.before.own != nil {
		before[keyOf(it.st)] = *it.before.own
	}
	if handover, err := it.st.Handover(); err == nil && it.before.other != nil {
		before[chainKey{handover.Other(it.st.Issuer), handover.Chain}] = *it.before.other
	}
	s.Unread = append(s.Unread, unread{it.index, before.list()})
	return nil
}

// again judges the entries whose artifacts were out of reach. What needs no artifact was
// told when they were new.
func (a *Auditor) again(ctx context.Context, view *tiles.View) error {
	s, left := a.state, []unread(nil)
	for i, u := range s.Unread {
		it, err := a.unread(ctx, view, u)
		if err == nil {
			err = it.judge(ctx, a.o.Artifacts)
		}
		switch {
		case err != nil:
			s.Unread = append(left, s.Unread[i:]...)
			return fmt.Errorf("entry %d, whose artifact was out of reach: %w", u.Index, err)
		case it.unread != nil:
			left = append(left, u)
			a.outOfReach(it)
			continue
		case it.unjudged:
			s.Unjudged++
		}
		it.found = slices.DeleteFunc(it.found, func(f finding) bool { return slices.Contains(withoutArtifacts, f.check) })
		a.tell(it)
	}
	s.Unread = left
	return nil
}

// unread reads an entry again, and the policy that was in force at its index.
func (a *Auditor) unread(ctx context.Context, view *tiles.View, u unread) (it *item, err error) {
	before, err := headsOf(u.Heads)
	if err != nil {
		return nil, err
	}
	n := len(a.state.Policies)
	for n > 0 && a.state.Policies[n-1].Index >= u.Index {
		n--
	}
	if n == 0 {
		return nil, fmt.Errorf("the state has no policy that was in force there")
	}
	st, err := reread(ctx, view, a.state.Policies[n-1])
	if err != nil {
		return nil, err
	}
	it = &item{index: u.Index}
	if it.under, err = policy.FromStatement(st, a.o.Policy...); err != nil {
		return nil, err
	}
	entry, err := view.Entry(ctx, u.Index)
	if err != nil {
		return nil, err
	}
	if it.parse(entry); it.st == nil {
		return nil, fmt.Errorf("%s", it.found[0].message)
	}
	it.before = before.of(it.st)
	return it, nil
}

// outOfReach notes why an artifact could not be read: the first in a pass.
func (a *Auditor) outOfReach(it *item) {
	if a.reach == "" {
		a.reach = fmt.Sprintf("entry %d: %v", it.index, it.unread)
	}
}
