package audit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
)

// heads are the heads of all chains.
type heads map[chainKey]policy.Head

type chainKey struct{ issuer, name string }

func keyOf(s *scitt.Statement) chainKey { return chainKey{s.Issuer, s.Chain.Name} }

// of gives the head of the statement's chain; nil when there is none.
func (h heads) of(s *scitt.Statement) *policy.Head {
	if s == nil || s.Chain == nil {
		return nil
	}
	if head, ok := h[keyOf(s)]; ok {
		return &head
	}
	return nil
}

// add makes the statement the head of its chain.
func (h heads) add(s *scitt.Statement, index uint64) {
	if s.Chain != nil {
		h[keyOf(s)] = policy.Head{Index: index, ID: s.ID(), Seq: s.Chain.Seq}
	}
}

func sameHead(a, b *policy.Head) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// list is the heads for a State, in a fixed order.
func (h heads) list() []ChainHead {
	out := make([]ChainHead, 0, len(h))
	for k, v := range h {
		out = append(out, ChainHead{k.issuer, k.name, v.Index, v.Seq, v.ID.String()})
	}
	slices.SortFunc(out, func(a, b ChainHead) int {
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// headsOf reads what list wrote.
func headsOf(list []ChainHead) (heads, error) {
	out := heads{}
	for _, h := range list {
		id, err := scitt.ParseEntryID(h.EntryID)
		if err != nil {
			return nil, fmt.Errorf("not the state of an audit: chain %q: %w", h.Name, err)
		}
		out[chainKey{h.Issuer, h.Name}] = policy.Head{Index: h.Index, ID: id, Seq: h.Seq}
	}
	return out, nil
}
