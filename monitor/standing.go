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
	f := Filter{Issuers: issuers}
	for e, err := range log.Source.Entries(ctx, 0, log.Checkpoint.Size) {
		if err != nil {
			return nil, nil, err
		}
		s, err := scitt.DecodeStatement(e.Data)
		if err != nil || s.Type != scitt.TypeEndorsement || !f.issuer(s.Issuer) {
			continue
		}
		self := EntryRef{s.ID().String(), e.Index, log.Checkpoint.Origin}
		if log.Verify != nil {
			if err := log.Verify(s); err != nil {
				bad = append(bad, Anomaly{Kind: AnomalySignature, Entry: self, Detail: limit(err.Error())})
				continue
			}
		}
		endorsement, kind, err := log.endorsement(ctx, s)
		switch {
		case kind != "":
			bad = append(bad, Anomaly{Kind: kind, Entry: self, Detail: limit(err.Error())})
		case err != nil:
			return nil, nil, err
		default:
			found = append(found, Registered{*endorsement, self, s.Issuer, s.IssuedAt})
		}
	}
	return found, bad, nil
}

// endorsement reads what the statement says. With a kind the error is about
// the statement, else about the storage.
func (l Log) endorsement(ctx context.Context, s *scitt.Statement) (*Endorsement, AnomalyKind, error) {
	content, err := l.Content(ctx, s)
	if err != nil {
		return nil, flaw(err), err
	}
	e, err := ParseEndorsement(content)
	if err != nil {
		return nil, AnomalyInvalid, err
	}
	return e, "", nil
}
