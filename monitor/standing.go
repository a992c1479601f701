package monitor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// Registered is an endorsement as an entry of a log.
type Registered struct {
	Endorsement
	Self   EntryRef // its own entry
	Issuer string   // who says so
	Issued int64    // the statement's iat: seconds since 1970
}

// Standing is whether an endorsement or a dispute holds.
type Standing string

// The standings; the first that applies counts.
const (
	Withdrawn Standing = "withdrawn" // by its issuer
	Expired   Standing = "expired"
	NotYet    Standing = "not_yet"  // it begins later
	Disputed  Standing = "disputed" // by a dispute that holds and has a part of the scope
	Holds     Standing = "holds"
)

// Standings is an endorsement or a dispute, and how it stands.
type Standings struct {
	Registered
	Standing Standing
	By       []EntryRef // the withdrawal or the disputes
}

// Evaluate says which of the endorsements and disputes of an entry hold at a
// time, in the order of their logs' origins and indices. The caller gives only
// statements of those whose word counts for him: anybody may dispute.
//
// The entry is told by its id alone: the same statement has it in every log.
func Evaluate(statements []Registered, entry scitt.EntryID, at time.Time) []Standings {
	var out []Standings
	for _, s := range statements {
		if s.Verdict != Withdraw && s.Entry.EntryID == entry.String() {
			out = append(out, s.standing(statements, at))
		}
	}
	for i := range out {
		e := &out[i]
		if e.Verdict != Endorse || e.Standing != Holds {
			continue
		}
		for _, d := range out {
			if d.Verdict == Dispute && d.Standing == Holds && overlap(d.Scope, e.Scope) {
				e.By = append(e.By, d.Self)
			}
		}
		if len(e.By) > 0 {
			e.Standing = Disputed
		}
		slices.SortFunc(e.By, compareRefs)
	}
	slices.SortFunc(out, func(a, b Standings) int { return compareRefs(a.Self, b.Self) })
	return out
}

func compareRefs(a, b EntryRef) int {
	return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Index, b.Index), cmp.Compare(a.EntryID, b.EntryID))
}

// standing is how a statement stands by itself.
func (s Registered) standing(all []Registered, at time.Time) Standings {
	out := Standings{Registered: s, Standing: Holds}
	for _, w := range all {
		if w.Verdict == Withdraw && w.Issuer == s.Issuer && w.Entry.EntryID == s.Self.EntryID && !w.From.After(at) {
			out.By = append(out.By, w.Self)
		}
	}
	slices.SortFunc(out.By, compareRefs)
	switch {
	case len(out.By) > 0:
		out.Standing = Withdrawn
	case !s.Until.IsZero() && !at.Before(s.Until):
		out.Standing = Expired
	case at.Before(s.From):
		out.Standing = NotYet
	}
	return out
}

// overlap says that two ordered scopes have a token in common.
func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(token string) bool {
		_, found := slices.BinarySearch(b, token)
		return found
	})
}

// Endorsements reads the endorsements, disputes and withdrawals by the given
// issuers (by anybody when there are none) in a log. Statements that are none
// although their type says so are listed as anomalies.
func Endorsements(ctx context.Context, log Log, issuers []string) (found []Registered, bad []Anomaly, err error) {
	return statements(ctx, log, Filter{issuers, []string{scitt.TypeEndorsement}}, func(s *scitt.Statement, self EntryRef, content []byte) (Registered, error) {
		e, err := ParseEndorsement(content)
		if err != nil {
			return Registered{}, err
		}
		return Registered{*e, self, s.Issuer, s.IssuedAt}, nil
	})
}

// Distinct gives each statement once: registered in several logs it is the
// same one, and the first that is given stands for it.
func Distinct(statements []Registered) []Registered {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(statements), func(r Registered) bool {
		again := seen[r.Self.EntryID]
		seen[r.Self.EntryID] = true
		return again
	})
}

// statements reads the statements of a log that the filter selects. Those that
// their issuer did not sign, whose content is not to be had, or that cannot be
// parsed, are listed as anomalies.
func statements[T any](ctx context.Context, log Log, f Filter, parse func(s *scitt.Statement, self EntryRef, content []byte) (T, error)) (found []T, bad []Anomaly, err error) {
	for e, err := range log.Source.Entries(ctx, 0, log.Checkpoint.Size) {
		if err != nil {
			return nil, nil, err
		}
		s, err := scitt.DecodeStatement(e.Data)
		if err != nil || !slices.Contains(f.Types, s.Type) || !f.issuer(s.Issuer) {
			continue
		}
		self := EntryRef{s.ID().String(), e.Index, log.Checkpoint.Origin}
		if log.Verify != nil {
			if err := log.Verify(s); err != nil {
				bad = append(bad, Anomaly{Kind: AnomalySignature, Entry: self, Detail: limit(err.Error())})
				continue
			}
		}
		content, err := log.Content(ctx, s)
		kind := flaw(err)
		if err == nil {
			var value T
			if value, err = parse(s, self, content); err == nil {
				found = append(found, value)
				continue
			}
			kind = AnomalyInvalid
		}
		if kind == "" {
			return nil, nil, err // the storage's
		}
		bad = append(bad, Anomaly{Kind: kind, Entry: self, Detail: limit(err.Error())})
	}
	return found, bad, nil
}
