package audit

import (
	"encoding/hex"
	"maps"
)

// Summary is what an audit came to.
type Summary struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`             // entries under the checkpoint
	Root   string `json:"root"`             // hexadecimal
	Signed int64  `json:"signed,omitempty"` // when the tree was signed, seconds since 1970
	Done   uint64 `json:"done"`             // entries that were audited
	Since  uint64 `json:"since"`            // the first that was judged

	Issuers     int           `json:"issuers"`                // different ones
	MoreIssuers bool          `json:"more_issuers,omitempty"` // MaxIssuers were counted, and there may be more
	Keys        []Registered  `json:"keys"`
	Policies    []PolicyRange `json:"policies"`

	Violations uint64            `json:"violations"`
	Checks     map[string]uint64 `json:"checks"`   // violations by check
	Unjudged   uint64            `json:"unjudged"` // entries whose artifacts could not be looked at
	// Unread is why an artifact of them was out of reach, the first in this pass.
	Unread string `json:"unread,omitempty"`
	// Complete says that everything was looked at: every entry up to the
	// checkpoint, the root, every tile, and every artifact that a policy asks for.
	Complete bool `json:"complete"`
}

// PolicyRange is a policy and the entries that it judges, From up to and with
// To. There are none yet when From is greater than To.
type PolicyRange struct {
	Registered
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Summary is what the audit came to so far, all of its states included.
func (a *Auditor) Summary() Summary {
	s := a.state
	out := Summary{
		Origin: s.Origin, Size: s.Size, Done: s.Next, Since: s.Since, Issuers: len(s.Issuers), MoreIssuers: len(s.Issuers) == MaxIssuers,
		Keys: s.Keys, Policies: []PolicyRange{}, Checks: maps.Clone(s.Counts), Unjudged: s.Unjudged + uint64(len(s.Unread)), Unread: a.reach,
		Complete: s.Closed && s.Unjudged == 0 && len(s.Unread) == 0 && len(a.stopped) == 0,
	}
	if cp, err := s.checkpoint(a.log.Verifiers); err == nil && cp != nil {
		out.Root = hex.EncodeToString(cp.Root)
		if cp.Tree != nil {
			out.Signed = cp.Tree.IssuedAt
		}
	}
	for i, p := range s.Policies {
		to := s.Next - 1
		if i+1 < len(s.Policies) {
			to = s.Policies[i+1].Index
		}
		out.Policies = append(out.Policies, PolicyRange{p, p.Index + 1, to})
	}
	for _, v := range a.stopped {
		out.Checks[v.Check]++
	}
	if a.shown != nil {
		out.Checks[a.shown.Check]++
	}
	for _, n := range out.Checks {
		out.Violations += n
	}
	return out
}
