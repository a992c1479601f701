package audit

import (
	"encoding/hex"
	"fmt"
	"maps"

	"github.com/conmotion/conmotion/internal/plural"
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
	MoreIssuers bool          `json:"more_issuers,omitempty"` // maxIssuers were counted, and there may be more
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

	noArtifacts bool // no storage was given to look for them
}

// Outcome is what an audit says of the log.
type Outcome string

// The outcomes. A log that is Bad is so whatever was not looked at.
const (
	Good       Outcome = "good"       // every entry that was to be judged was admitted by the policy in force at its index
	Bad        Outcome = "BAD"        // there are violations, and not duplicates only
	Incomplete Outcome = "INCOMPLETE" // not everything could be looked at, and what could is good, or Faulty
	Faulty     Outcome = "FAULTY"     // there are duplicates, and no other violations
)

// Outcome is the verdict on the log, what it is for people, and why it is not good; nil where
// it is.
func (s Summary) Outcome() (outcome Outcome, text string, why error) {
	violations, duplicates := plural.Of(s.Violations, "violation"), plural.Of(s.Checks[CheckDuplicate], "duplicate")
	switch {
	case s.Violations > s.Checks[CheckDuplicate]:
		outcome, text = Bad, violations
		why = fmt.Errorf("the log is not what an honest service would have written: %s", violations)
	case !s.Complete:
		if s.Violations == 0 {
			duplicates = "no violations"
		}
		outcome, text = Incomplete, fmt.Sprintf("%d of %d entries audited, %d without their artifacts; %s", s.Done, s.Size, s.Unjudged, duplicates)
		why = fmt.Errorf("the audit is incomplete: %s", s.missing())
	case s.Violations > 0:
		outcome, text = Faulty, duplicates+", and nothing else: each content was admitted once"
		why = fmt.Errorf("the log has %s: its service did not notice that it had their contents already", duplicates)
	case s.Since > 0:
		outcome, text = Good, fmt.Sprintf("every entry from entry %d on was admitted by the policy in force at its index; those before were not judged", s.Since)
	default:
		outcome, text = Good, "every entry was admitted by the policy in force at its index"
	}
	return outcome, string(outcome) + ": " + text, why
}

// missing says what was not looked at, and why.
func (s Summary) missing() string {
	switch entries := plural.Of(s.Unjudged, "entry"); {
	case s.Unjudged > 0 && s.noArtifacts:
		return plural.Verb(s.Unjudged, "entry", "needs", "need") + " --artifacts to be judged"
	case s.Unread != "":
		return fmt.Sprintf("artifacts of %s cannot be read: %s", entries, s.Unread)
	case s.Unjudged > 0:
		return fmt.Sprintf("the artifacts of %s are not in the storage, or not within the limits, or are not what was signed", entries)
	}
	return fmt.Sprintf("it ended at entry %d of %d", s.Done, s.Size)
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
		Origin: s.Origin, Size: s.Size, Done: s.Next, Since: s.Since, Issuers: len(s.Issuers), MoreIssuers: len(s.Issuers) == maxIssuers,
		Keys: s.Keys, Policies: []PolicyRange{}, Checks: maps.Clone(s.Counts), Unjudged: s.Unjudged + uint64(len(s.Unread)), Unread: a.reach,
		noArtifacts: a.o.Artifacts == nil, Complete: s.Closed && s.Unjudged == 0 && len(s.Unread) == 0 && len(a.stopped) == 0,
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
