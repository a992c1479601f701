package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// Measured is a measurement as an entry of a log.
type Measured struct {
	*Claim
	Self    EntryRef
	Issuer  string
	Payload []byte
}

// asOf is the time that a measurement speaks of: the end of its interval, or
// when it was measured if that was before.
func (m Measured) asOf() time.Time {
	if m.Options.At.Before(m.Interval.To) {
		return m.Options.At
	}
	return m.Interval.To
}

// Carried reports whether it was read in another log than its home: see
// [Registered.Carried].
func (m Measured) Carried() bool { return m.Self.Origin != m.Options.Home }

// Measurements reads the measurements by the given issuers (by anybody when
// there are none) in a log. What is none although its type says so is listed
// as an anomaly.
func Measurements(ctx context.Context, log Log, issuers []string) (found []Measured, bad []Anomaly, err error) {
	return statements(ctx, log, Filter{issuers, []string{scitt.TypeMeasurement}}, func(s *scitt.Statement, self EntryRef, content []byte) (Measured, error) {
		c, err := ParseClaim(content)
		if err == nil {
			err = about(s, c)
		}
		return Measured{c, self, s.Issuer, content}, err
	})
}

// Requirements are what must be known of a record before somebody relies on
// it. What is not known does not satisfy them, and does not refuse either.
type Requirements struct {
	EndorsedBy []string // each of these issuers
	// Scope are the tokens that the endorsements must cover; any scope will do
	// when empty.
	Scope []string
	// MeasuredBy are the issuers whose measurements count; EndorsedBy when empty.
	MeasuredBy []string
	What       Kind          // of the objects that were measured
	Objects    Scope         // of the objects that were measured; measurements of another scope do not count
	MaxImpact  *int          // 0 to 100; nil asks for no measurement
	MaxAge     time.Duration // of the newest measurement; 0 for any
	// Beside are other records of the same asset, such as that of its configuration: a
	// dispute of one of them counts like one of the entry.
	Beside []scitt.EntryID
}

// Demand reads a scope: the tokens that the endorsements must cover, such as existence, and
// terms of the scope that the measurements must have, such as account=1. No token has "=" in
// it. Errors wrap ErrMalformed.
func (q *Requirements) Demand(scope []string) (err error) {
	var terms []string
	for _, s := range scope {
		if strings.Contains(s, "=") {
			terms = append(terms, s)
		} else {
			q.Scope = append(q.Scope, s)
		}
	}
	q.Objects, err = ParseScope(terms)
	return err
}

// Check refuses requirements that require nothing, or that nothing can satisfy.
func (q Requirements) Check() error {
	switch {
	case len(q.EndorsedBy) == 0 && !q.measured():
		return errors.New("nothing is required")
	case len(q.Objects) > 0 && !q.measured():
		return errors.New("a scope of objects is that of a measurement, and none is asked for")
	case q.measured() && len(q.measurers()) == 0:
		return errors.New("it does not say whose measurements count")
	case q.MaxImpact != nil && (*q.MaxImpact < 0 || *q.MaxImpact > 100):
		return errors.New("the largest impact is between 0 and 100")
	case q.MaxAge < 0:
		return errors.New("the largest age is negative")
	}
	for _, token := range q.Scope {
		if !isToken(token) {
			return fmt.Errorf("the scope's %.40q is not a token: a-z, 0-9 and . _ : / - up to %d", token, maxToken)
		}
	}
	return nil
}

func (q Requirements) measured() bool { return q.MaxImpact != nil || q.MaxAge > 0 }

func (q Requirements) measurers() []string {
	if len(q.MeasuredBy) > 0 {
		return q.MeasuredBy
	}
	return q.EndorsedBy
}

// Named are the issuers whose word counts: their disputes do as well.
func (q Requirements) Named() []string {
	all := slices.Sorted(slices.Values(slices.Concat(q.EndorsedBy, q.MeasuredBy)))
	return slices.Compact(all)
}

// Judgement is the outcome of one requirement.
type Judgement struct {
	Requirement string // endorsed, not disputed, measured, impact, age
	OK          bool
	Detail      string
	// Unread are statements of which it is not known what they say, and on which
	// the outcome depends: it is neither satisfied nor refused. OK is false then.
	Unread []Anomaly
}

// unless makes the outcome depend on statements, if there are any.
func (j Judgement) unless(unread []Anomaly) Judgement {
	for _, u := range unread {
		if slices.ContainsFunc(j.Unread, func(v Anomaly) bool { return v.Entry == u.Entry }) {
			continue
		}
		j.OK, j.Unread = false, append(j.Unread, u)
		j.Detail += fmt.Sprintf("; cannot be told: what %s by %s says is not known (%s: %s)", u.Entry, u.Issuer, u.Kind, u.Detail)
	}
	return j
}

// Judge holds an entry to the requirements at a time. The statements may be
// anybody's: only those of the named issuers count. The measurements must be of
// the log with this origin, which the entry is in. unread are endorsements and
// measurements of which it is not known what they say.
func (q Requirements) Judge(entry scitt.EntryID, origin string, statements []Registered, measured []Measured, unread []Anomaly, at time.Time) []Judgement {
	statements, unread = q.counting(statements), q.unread(unread)
	standings := Evaluate(statements, unread, entry, at)
	about := About(unread, entry.String())
	by := func(issuer string) func(Anomaly) bool { return func(u Anomaly) bool { return u.Issuer != issuer } }
	var out []Judgement
	for _, issuer := range q.EndorsedBy {
		j := q.endorsed(issuer, standings)
		if !j.OK {
			j = j.unless(slices.DeleteFunc(slices.Clone(about), by(issuer)))
			for _, s := range standings {
				if s.Verdict == Endorse && s.Issuer == issuer && s.Standing == Unknown {
					j = j.unless(named(unread, s.By))
				}
			}
		}
		out = append(out, j)
	}
	for _, id := range q.Beside {
		standings = append(standings, Evaluate(statements, unread, id, at)...)
		about = append(about, About(unread, id.String())...)
	}
	j := q.undisputed(standings)
	if j.OK {
		j = j.unless(about)
		for _, s := range standings {
			if s.Verdict == Dispute && s.Standing == Unknown && q.touches(s) {
				j = j.unless(named(unread, s.By))
			}
		}
	}
	out = append(out, j)
	if q.measured() {
		depends := q.depends(origin, statements, measured, unread, at)
		for _, j := range q.impact(statements, measured, at) {
			out = append(out, j.unless(depends))
		}
	}
	return out
}

// unread are the statements by named issuers of which it is not known what they say.
func (q Requirements) unread(list []Anomaly) []Anomaly {
	issuers := q.Named()
	return slices.DeleteFunc(slices.Clone(list), func(a Anomaly) bool { return !a.Unread() || !slices.Contains(issuers, a.Issuer) })
}

// named are the anomalies of these entries.
func named(list []Anomaly, entries []EntryRef) []Anomaly {
	return slices.DeleteFunc(slices.Clone(list), func(a Anomaly) bool { return !slices.Contains(entries, a.Entry) })
}

// depends are the statements that could make another measurement the newest that
// counts: measurements, disputes of one, and withdrawals of such disputes.
func (q Requirements) depends(origin string, statements []Registered, measured []Measured, unread []Anomaly, at time.Time) []Anomaly {
	subject := measurementSubject(q.What, origin)
	out := slices.DeleteFunc(slices.Clone(unread), func(u Anomaly) bool {
		return u.Subject != subject || !slices.Contains(q.measurers(), u.Issuer)
	})
	for _, m := range measured {
		out = append(out, About(unread, m.Self.EntryID)...)
		if id, err := scitt.ParseEntryID(m.Self.EntryID); err == nil {
			for _, s := range Evaluate(statements, unread, id, at) {
				if s.Verdict == Dispute && s.Standing == Unknown {
					out = append(out, named(unread, s.By)...)
				}
			}
		}
	}
	return out
}

// counting are the statements by named issuers.
func (q Requirements) counting(statements []Registered) []Registered {
	named := q.Named()
	return slices.DeleteFunc(Distinct(statements), func(r Registered) bool { return !slices.Contains(named, r.Issuer) })
}

// endorsed reports whether an issuer endorses the scope.
func (q Requirements) endorsed(issuer string, standings []Standings) Judgement {
	j := Judgement{Requirement: "endorsed"}
	var holding, others []string
	open := slices.Clone(q.Scope)
	for _, s := range standings {
		if s.Verdict != Endorse || s.Issuer != issuer {
			continue
		}
		if s.Standing != Holds {
			others = append(others, s.why())
			continue
		}
		open = slices.DeleteFunc(open, func(token string) bool { return slices.Contains(s.Scope, token) })
		holding = append(holding, fmt.Sprintf("%s until %s (%s)", strings.Join(s.Scope, ","), s.Until.Format(secondLayout), s.Self))
	}
	switch {
	case len(holding) > 0 && len(open) == 0:
		j.OK, j.Detail = true, fmt.Sprintf("by %s: %s", issuer, strings.Join(holding, "; "))
	case len(holding) > 0:
		j.Detail = fmt.Sprintf("by %s, and not %s: %s", issuer, strings.Join(open, ","), strings.Join(append(holding, others...), "; "))
	case slices.ContainsFunc(standings, func(s Standings) bool { return s.Verdict == Endorse && s.Issuer == issuer && s.Standing == Unknown }):
		j.Detail = fmt.Sprintf("by %s perhaps: %s", issuer, strings.Join(others, "; "))
	case len(others) > 0:
		j.Detail = fmt.Sprintf("not by %s any more, or not yet: %s", issuer, strings.Join(others, "; "))
	default:
		j.Detail = "not by " + issuer
	}
	return j
}

// String names an entry for people.
func (r EntryRef) String() string { return fmt.Sprintf("entry %d of %s", r.Index, r.Origin) }

// why says how an endorsement or a dispute stands.
func (s Standings) why() string {
	text := fmt.Sprintf("%s (%s)", s.Standing, s.Self)
	switch s.Standing {
	case Expired:
		text = fmt.Sprintf("expired at %s (%s)", s.Until.Format(secondLayout), s.Self)
	case NotYet:
		text = fmt.Sprintf("from %s on (%s)", s.From.Format(secondLayout), s.Self)
	case AsOfLog:
		text = fmt.Sprintf("only as of that log: %s; its home, which would know of a withdrawal, is %s", s.Self, s.Home)
	case Unknown:
		text = fmt.Sprintf("%s, unless %s takes that back", s.Self, s.By[0])
	case Withdrawn, Disputed:
		text = fmt.Sprintf("%s by %s (%s)", s.Standing, s.By[0], s.Self)
	}
	return text
}

// touches reports whether a dispute has a part of the scope that is asked for.
func (q Requirements) touches(s Standings) bool {
	return len(q.Scope) == 0 || overlap(s.Scope, slices.Sorted(slices.Values(q.Scope)))
}

// undisputed reports whether no dispute by a named issuer has a part of the scope.
func (q Requirements) undisputed(standings []Standings) Judgement {
	var found []string
	none := "nobody who is named disputes it"
	if len(q.Beside) > 0 {
		none = "nobody who is named disputes it, or the configuration of the asset"
	}
	for _, s := range standings {
		if s.Verdict == Dispute && s.Standing == AsOfLog {
			none += "; " + s.why()
		}
		if s.Verdict != Dispute || s.Standing != Holds || !q.touches(s) {
			continue
		}
		text := fmt.Sprintf("%s by %s (%s)", strings.Join(s.Scope, ","), s.Issuer, s.Self)
		if s.Reason != "" {
			text += ": " + s.Reason
		}
		found = append(found, text)
	}
	if len(found) > 0 {
		return Judgement{Requirement: "not disputed", Detail: strings.Join(found, "; ")}
	}
	return Judgement{Requirement: "not disputed", OK: true, Detail: none}
}

// Newest is the measurement that counts at a time: of those by the issuers
// whose measurements do, read in their home, of the required kind, made by then and
// neither disputed by a named issuer nor withdrawn, the one that speaks of the latest
// time. nil when there is none.
func (q Requirements) Newest(statements []Registered, measured []Measured, at time.Time) *Measured {
	statements = q.counting(statements)
	var newest *Measured
	for i := range measured {
		m := &measured[i]
		id, err := scitt.ParseEntryID(m.Self.EntryID)
		if err != nil || m.Carried() || m.Options.What != q.What || !slices.Equal(m.Interval.Scope, q.Objects) || m.Options.At.After(at) || !slices.Contains(q.measurers(), m.Issuer) || disputed(statements, id, at) {
			continue
		}
		if newest == nil || m.asOf().After(newest.asOf()) || m.asOf().Equal(newest.asOf()) && m.Options.At.After(newest.Options.At) ||
			m.asOf().Equal(newest.asOf()) && m.Options.At.Equal(newest.Options.At) && compareRefs(m.Self, newest.Self) > 0 {
			newest = m
		}
	}
	return newest
}

func disputed(statements []Registered, entry scitt.EntryID, at time.Time) bool {
	return slices.ContainsFunc(Evaluate(statements, nil, entry, at), func(s Standings) bool { return s.Verdict == Dispute && s.Standing == Holds })
}

// impact judges the newest measurement.
func (q Requirements) impact(statements []Registered, measured []Measured, at time.Time) []Judgement {
	m := q.Newest(statements, measured, at)
	if m == nil {
		detail := fmt.Sprintf("no measurement of the %s by %s", q.What, strings.Join(q.measurers(), " or "))
		for _, m := range measured {
			if slices.Contains(q.measurers(), m.Issuer) && m.Options.What == q.What && !slices.Equal(m.Interval.Scope, q.Objects) {
				detail += fmt.Sprintf("; in another scope: %s, of %s", m.Self, m.Interval.Scope)
			}
			if m.Carried() && slices.Contains(q.measurers(), m.Issuer) {
				detail += fmt.Sprintf("; only as of that log: %s; its home is %s", m.Self, m.Options.Home)
			}
		}
		return []Judgement{{Requirement: "measured", Detail: detail}}
	}
	by := fmt.Sprintf("by %s (%s)", m.Issuer, m.Self)
	if !m.Data {
		return []Judgement{{Requirement: "measured", Detail: "no data: neither side had anything in the interval, measured " + by}}
	}
	out := []Judgement{{Requirement: "measured", OK: true, Detail: by}}
	if q.MaxImpact != nil {
		out = append(out, Judgement{Requirement: "impact", OK: m.Impact <= *q.MaxImpact, Detail: fmt.Sprintf("%d, and %d is allowed", m.Impact, *q.MaxImpact)})
	}
	if q.MaxAge > 0 {
		age := at.Sub(m.asOf())
		out = append(out, Judgement{Requirement: "age", OK: age <= q.MaxAge, Detail: fmt.Sprintf("%s old, of %s, and %s is allowed", age.Round(time.Second), m.asOf().Format(time.RFC3339), q.MaxAge)})
	}
	return out
}
