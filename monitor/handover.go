package monitor

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/conmotion/conmotion/scitt"
)

// heirs are the chains that selected issuers gave to others, who continue them. It is
// safe for concurrent use.
type heirs struct {
	mu sync.RWMutex
	of map[chainKey]bool
}

func (h *heirs) add(key chainKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil {
		h.of = map[chainKey]bool{}
	}
	h.of[key] = true
}

func (h *heirs) has(issuer, chain string) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.of[chainKey{issuer, chain}]
}

// selects reports whether a statement is of a selected issuer, or in a chain that goes
// on from one.
func (f Filter) selects(s *scitt.Statement, h *heirs) bool {
	return f.issuer(s.Issuer) || s.Chain != nil && h.has(s.Issuer, s.Chain.Name)
}

// takes reports whether a statement takes over a chain of a selected issuer.
func (f Filter) takes(s *scitt.Statement, h *heirs) bool {
	if s.Type != scitt.TypeHandover {
		return false
	}
	handover, err := s.Handover()
	return err == nil && s.Issuer == handover.To && (f.issuer(handover.From) || h.has(handover.From, handover.Chain))
}

// taken is what a statement says that takes over a chain; nil of every other one, and
// where another key than the named one signed it.
func taken(s *scitt.Statement) *scitt.Handover {
	if s.Type != scitt.TypeHandover {
		return nil
	}
	h, err := s.Handover()
	if err != nil || s.Issuer != h.To || !bytes.Equal(s.KeyID, h.Key) {
		return nil
	}
	return h
}

// Handover is a chain that went on under another issuer.
type Handover struct {
	Chain string   `json:"chain"`
	Entry EntryRef `json:"entry"` // by which the new issuer took it
	From  string   `json:"from"`
	To    string   `json:"to"`
}

// Handovers are the handovers of chains, in the order of the log.
func (r *Replay) Handovers() []Handover { return r.handovers }

// takeOver makes a record the head of its issuer's chain which takes over another
// issuer's. Where that was not given to it, the record has a flaw. Of an issuer who is not selected it is not
// known what it gave: the chain begins here.
func (r *Replay) takeOver(rec *record) {
	h := rec.takes
	key := chainKey{h.To, h.Chain}
	if !r.filter.issuer(h.From) && !r.heirs.has(h.From, h.Chain) {
		r.chains[key] = chainHead{Ref: rec.Ref, seq: rec.chain.Seq}
		return
	}
	head, ok := r.chains[chainKey{h.From, h.Chain}]
	given, err := h.Marshal()
	if err != nil || !ok || head.given != string(given) || rec.chain.Seq != head.seq+1 || !bytes.Equal(rec.chain.Prev, head.ID[:]) {
		if !r.filter.issuer(h.To) {
			return // a stranger's, which counts nowhere
		}
		rec.flaw, rec.detail = AnomalyChainHandover, fmt.Sprintf("it takes the chain %q of %s, which does not end with a handover to it", h.Chain, h.From)
		return
	}
	r.chains[key] = chainHead{Ref: rec.Ref, seq: rec.chain.Seq}
	r.intern(h.To)
	r.heirs.add(key)
	r.handovers = append(r.handovers, Handover{h.Chain, rec.entry(r.checkpoint.Origin), h.From, h.To})
}

// ended reports whether a record would go on with a chain that its issuer gave away. Such
// a record does not count: its key may be the reason for the handover.
func (r *Replay) ended(rec *record) bool {
	var name string
	switch {
	case rec.chain != nil:
		name = rec.chain.Name
	case rec.event != nil:
		name = string(rec.event.Kind)
	}
	head, ok := r.chains[chainKey{rec.issuer, name}]
	if !ok || head.given == "" {
		return false
	}
	rec.flaw, rec.detail = AnomalyChainHandover, fmt.Sprintf("its issuer handed the chain %q over with entry %d, and adds nothing to it any more", name, head.Index)
	return true
}
