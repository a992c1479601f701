package audit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
)

// heads are the heads of all chains.
type heads map[chainKey]scitt.Head

type chainKey struct{ issuer, name string }

func keyOf(s *scitt.Statement) chainKey { return chainKey{s.Issuer, s.Chain.Name} }

// before are the heads that a statement is judged by; nil where there is none.
type before struct {
	own   *scitt.Head // of its chain
	other *scitt.Head // of the other issuer's chain, for a handover
}

// of gives the heads that a statement is judged by.
func (h heads) of(s *scitt.Statement) (b before) {
	if s == nil || s.Chain == nil {
		return b
	}
	b.own = h.head(keyOf(s))
	if s.Type != scitt.TypeHandover {
		return b
	}
	if handover, err := s.Handover(); err == nil {
		b.other = h.head(chainKey{handover.Other(s.Issuer), handover.Chain})
	}
	return b
}

func (h heads) head(key chainKey) *scitt.Head {
	if head, ok := h[key]; ok {
		return &head
	}
	return nil
}

// add makes the statement the head of its chain.
func (h heads) add(s *scitt.Statement, index uint64) {
	if s.Chain != nil {
		h[keyOf(s)] = scitt.NewHead(s, index)
	}
}

// judgeAgain reports whether an entry that was judged by the heads of all entries has to be
// judged by these, of the admitted ones, and sets them. Where its head was refused, which is
// told, the chain may go on from there, or from the last one that was admitted. Of another
// issuer's chain only what was admitted counts.
func (h heads) judgeAgain(it *item) bool {
	admitted := h.of(it.st)
	again := !sameHead(admitted.other, it.before.other) || len(it.found) > 0 && !sameHead(admitted.own, it.before.own)
	if again = again && it.under != nil; again {
		it.before = admitted
	}
	return again
}

func sameHead(a, b *scitt.Head) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// list is the heads for a State, in a fixed order.
func (h heads) list() []chainHead {
	out := make([]chainHead, 0, len(h))
	for k, v := range h {
		out = append(out, chainHead{k.issuer, k.name, v.Index, v.Seq, v.ID.String(), []byte(v.Given)})
	}
	slices.SortFunc(out, func(a, b chainHead) int {
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// headsOf reads what list wrote.
func headsOf(list []chainHead) (heads, error) {
	out := heads{}
	for _, h := range list {
		id, err := scitt.ParseEntryID(h.EntryID)
		if err != nil {
			return nil, fmt.Errorf("not the state of an audit: chain %q: %w", h.Name, err)
		}
		out[chainKey{h.Issuer, h.Name}] = scitt.Head{Index: h.Index, ID: id, Seq: h.Seq, Given: string(h.Given)}
	}
	return out, nil
}
