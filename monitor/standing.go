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

// Carried reports whether it was read in another log than its home. There it may
// have been withdrawn or replaced, so it does not count: it is what was said as of
// the log that it was read in.
func (r Registered) Carried() bool { return r.Self.Origin != r.Home }

// The standings; the first that applies counts. Unknown is what would hold, and a
// statement of which it is not known what it says may withdraw or dispute it.
const (
	Withdrawn Standing = "withdrawn" // by its issuer
	Expired   Standing = "expired"
	NotYet    Standing = "not_yet"   // it begins later
	AsOfLog   Standing = "as_of_log" // it was read in another log than its home: see Registered.Carried
	Disputed  Standing = "disputed"  // by a dispute that holds and has a part of the scope
	Unknown   Standing = "unknown"
	Holds     Standing = "holds"
)

// Standings is an endorsement or a dispute, and how it stands.
type Standings struct {
	Registered
	Standing Standing
	By       []EntryRef // the withdrawal or the disputes, or what may be one
}

// Evaluate says which of the endorsements and disputes of an entry hold at a
// time, in the order of their logs' origins and indices. The caller gives only
// statements of those whose word counts for him: anybody may dispute.
//
// The entry is told by its id alone: the same statement has it in every log. A
// withdrawal cannot be taken back, so it counts in whatever log it is read.
//
// unread are statements by the same people of which it is not known what they say.
// Whom they speak of is in their subject: with another one they would not count.
func Evaluate(statements []Registered, unread []Anomaly, entry scitt.EntryID, at time.Time) []Standings {
	var out []Standings
	for _, s := range statements {
		if s.Verdict != Withdraw && s.Entry.EntryID == entry.String() {
			out = append(out, s.standing(statements, unread, at))
		}
	}
	disputes := slices.Clone(out)
	for i := range out {
		e := &out[i]
		if e.Verdict != Endorse || e.Standing != Holds {
			continue
		}
		var maybe []EntryRef
		for _, d := range disputes {
			switch {
			case d.Verdict != Dispute || !overlap(d.Scope, e.Scope):
			case d.Standing == Holds:
				e.Standing, e.By = Disputed, append(e.By, d.Self)
			case d.Standing == Unknown:
				maybe = append(maybe, d.By...)
			}
		}
		if e.Standing == Holds {
			e.mayBe(append(maybe, entries(About(unread, entry.String()))...))
		}
		slices.SortFunc(e.By, compareRefs)
	}
	slices.SortFunc(out, func(a, b Standings) int { return compareRefs(a.Self, b.Self) })
	return out
}

// About are those statements that may endorse or dispute an entry, or withdraw
// what it is.
func About(unread []Anomaly, entry string) []Anomaly {
	subject := (&Endorsement{Entry: EntryRef{EntryID: entry}}).Subject()
	return slices.DeleteFunc(slices.Clone(unread), func(a Anomaly) bool { return a.Subject != subject })
}

// mayBe notes what may withdraw or dispute a statement that else holds.
func (s *Standings) mayBe(unread []EntryRef) {
	if len(unread) > 0 {
		s.Standing, s.By = Unknown, unread
	}
}

func entries(unread []Anomaly) (refs []EntryRef) {
	for _, u := range unread {
		refs = append(refs, u.Entry)
	}
	return refs
}

func compareRefs(a, b EntryRef) int {
	return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Index, b.Index), cmp.Compare(a.EntryID, b.EntryID))
}

// standing is how a statement stands by itself.
func (s Registered) standing(all []Registered, unread []Anomaly, at time.Time) Standings {
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
	case s.Carried():
		out.Standing = AsOfLog
	default:
		out.mayBe(entries(slices.DeleteFunc(About(unread, s.Self.EntryID), func(u Anomaly) bool { return u.Issuer != s.Issuer })))
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
		if err == nil {
			err = about(s, e)
		}
		if err != nil {
			return Registered{}, err
		}
		return Registered{*e, self, s.Issuer, s.IssuedAt}, nil
	})
}

// about holds a statement's sub to what its payload is about.
func about(s *scitt.Statement, payload interface{ Subject() string }) error {
	if want := payload.Subject(); s.Subject != want {
		return malformed("its subject is %q, and it is about %q", s.Subject, want)
	}
	return nil
}

// Distinct returns each statement once. Registered in several logs it is the
// same one: that of its home stands for it, or else the first that is given.
func Distinct(statements []Registered) []Registered {
	var out []Registered
	at := map[string]int{}
	for _, r := range statements {
		i, again := at[r.Self.EntryID]
		switch {
		case !again:
			at[r.Self.EntryID] = len(out)
			out = append(out, r)
		case out[i].Carried() && !r.Carried():
			out[i] = r
		}
	}
	return out
}

// statements reads the statements of a log that the filter selects, each content
// once, in order. Those that their issuer did not sign, that are there already,
// whose content is not available, or that cannot be parsed, are listed as
// anomalies, and so is what is nobody's statement.
func statements[T any](ctx context.Context, log Log, f Filter, parse func(s *scitt.Statement, self EntryRef, content []byte) (T, error)) (all []T, bad []Anomaly, err error) {
	type content struct {
		data []byte
		err  error
	}
	read := func(ctx context.Context, s *scitt.Statement) (content, error) {
		data, err := log.Content(ctx, s)
		if err != nil && flaw(err) == "" {
			return content{}, err // the storage's
		}
		return content{data, err}, nil
	}
	want := func(s *scitt.Statement) bool { return slices.Contains(f.Types, s.Type) && f.issuer(s.Issuer) }
	for e, err := range walk(ctx, log, NewOnce(), 0, log.Checkpoint.Size, want, read) {
		if err != nil {
			return nil, nil, err
		}
		if e.Statement == nil {
			bad = append(bad, noStatement(e.Index, log.Checkpoint.Origin, e.Detail))
		}
		if !e.wanted {
			continue
		}
		self := EntryRef{e.Statement.ID().String(), e.Index, log.Checkpoint.Origin}
		a := Anomaly{Kind: e.Flaw, Entry: self, Detail: e.Detail, Issuer: e.Statement.Issuer, Subject: e.Statement.Subject}
		if e.Flaw == AnomalyDuplicate {
			a.Previous = &EntryRef{self.EntryID, e.First, self.Origin}
		}
		if a.Kind == "" && e.value.err != nil {
			a.Kind, a.Detail = flaw(e.value.err), e.value.err.Error()
		}
		if a.Kind == "" {
			value, err := parse(e.Statement, self, e.value.data)
			if err == nil {
				all = append(all, value)
				continue
			}
			a.Kind, a.Detail = AnomalyInvalid, err.Error()
		}
		a.Detail = limit(a.Detail)
		bad = append(bad, a)
	}
	return all, bad, nil
}
