package report

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// measurement is one that counts.
type measurement struct {
	*place
	claim   *monitor.Claim
	issuer  string
	payload []byte
}

func newLog(s *Source, o Options) *log {
	l := &log{Source: s, pins: map[string]logPin{}, health: logHealth{
		Location: s.location, Roles: slices.Clone(s.roles), State: s.state, Detail: s.detail,
		Keys: s.keys, VKeys: list(slices.Sorted(slices.Values(s.vkeys))), Proofs: list(slices.Clone(s.proofs)),
	}}
	slices.Sort(l.health.Roles)
	if s.log == nil {
		return l
	}
	cp := s.log.Checkpoint
	l.health.State, l.health.Origin = stateGood, cp.Origin
	l.health.Checkpoint, l.health.SeenBefore = pinned(cp), s.seenBefore
	if c := s.cosigned; c != nil {
		l.health.Witnesses = &witnesses{By: []cosignature{}, Needed: c.Rule()}
		for _, w := range c.By {
			by := cosignature{Name: w.Witness}
			if !w.At.IsZero() {
				by.At = timestamp(w.At)
			}
			l.health.Witnesses.By = append(l.health.Witnesses.By, by)
		}
	}
	l.health.Quiet = true // unless its age is known
	if cp.Tree != nil && cp.Tree.IssuedAt > 0 && cp.Tree.IssuedAt <= lastSecond {
		signed := unix(cp.Tree.IssuedAt)
		l.health.Signed = timestamp(signed)
		if since := o.At.Sub(signed); since > -maxSkew {
			ms := max(0, since.Milliseconds())
			l.health.AgeMS, l.health.Quiet = &ms, since > o.Stale
		}
	}
	return l
}

// maxSkew is how far a log's clock may be ahead of the reader's.
const maxSkew = 5 * time.Minute

func pinned(cp *scitt.Checkpoint) *checkpoint {
	return &checkpoint{cp.Origin, hex.EncodeToString(cp.Root), cp.Size}
}

// read reads a log from its first entry to its last. A log that fails midway
// counts for nothing: what was not read could take back what was.
func (m *maker) read(ctx context.Context, l *log) error {
	if !l.good() {
		return nil
	}
	found, err := m.scan(ctx, l)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		l.fail(err)
		return nil
	}
	for _, f := range found {
		if err := m.take(ctx, l, f); err != nil {
			return err
		}
	}
	return nil
}

// word is whose statements of a type count, and what the report calls them.
func (m *maker) word(typ string) (word *countedIssuers, kind string) {
	if typ == scitt.TypeEndorsement {
		return &m.r.Trust.EndorsedBy, "endorsement"
	}
	return &m.r.Trust.MeasuredBy, "measurement"
}

func spokenOf(s *scitt.Statement) bool {
	return s.Type == scitt.TypeMeasurement || s.Type == scitt.TypeEndorsement
}

// scan reads a log and returns its measurements and endorsements. The signatures
// of those by issuers whose word counts have been verified.
func (m *maker) scan(ctx context.Context, l *log) (found []*monitor.Found, err error) {
	size := l.log.Checkpoint.Size
	var newest int64
	want := func(s *scitt.Statement) bool {
		word, _ := m.word(s.Type)
		return spokenOf(s) && word.counts(s.Issuer, l)
	}
	for f, err := range l.log.Walk(ctx, monitor.NewOnce(), 0, size, want) {
		if err != nil {
			return nil, err
		}
		if m.Progress != nil && f.Index%256 == 0 {
			m.Progress(l.location, f.Index, size)
		}
		s := f.Statement
		if s == nil {
			continue // no statement of anybody
		}
		if s.IssuedAt > 0 && s.IssuedAt <= lastSecond {
			signed := unix(s.IssuedAt)
			newest = max(newest, s.IssuedAt)
			if !signed.Before(m.From) && !signed.After(m.To) {
				l.health.Grown++
			}
		}
		switch {
		case s.Type == scitt.TypeRecord:
			l.records = true
		case s.Type == scitt.TypeObservation:
			l.observations = true
		case spokenOf(s):
			found = append(found, f)
		}
	}
	if newest > 0 {
		l.health.Newest = timestamp(unix(newest))
	}
	return found, nil
}

// take counts a statement, or says why not.
func (m *maker) take(ctx context.Context, l *log, f *monitor.Found) error {
	s := f.Statement
	ref := monitor.EntryRef{EntryID: s.ID().String(), Index: f.Index, Origin: l.health.Origin}
	p := &place{log: l, link: l.link(ref)}
	word, kind := m.word(s.Type)
	old := m.postponed[s.ID()]
	var content []byte
	leave := func(why reason, format string, args ...any) error {
		e := leftOutEntry{fmt.Sprintf(format, args...), p.link, s.Issuer, why, kind}
		switch why {
		case reasonContent, reasonAsOfLog: // another log may have it
			if old == nil {
				m.postponed[s.ID()] = &postponed{e, p, s, content}
			} else if old.content == nil {
				old.content = content
			}
		case reasonUnchecked:
			m.unread = append(m.unread, unread(e, f.Statement))
			m.leave(e)
		case reasonSignature, reasonDuplicate: // it takes nothing from the one that counts
			m.leave(e)
		default:
			m.seen[s.ID()] = p
			m.leave(e)
		}
		return nil
	}
	switch f.Flaw {
	case monitor.AnomalySignature:
		return leave(reasonSignature, "%s", f.Detail)
	case monitor.AnomalyUnchecked:
		return leave(reasonUnchecked, "%s", f.Detail)
	case monitor.AnomalyDuplicate:
		return leave(reasonDuplicate, "%s", f.Detail)
	}
	if p, ok := m.seen[s.ID()]; ok {
		if ref.Origin != p.link.Origin && !slices.Contains(p.alsoIn, ref.Origin) {
			p.alsoIn = append(p.alsoIn, ref.Origin)
		}
		return nil
	}
	switch {
	case !word.counts(s.Issuer, l):
		// It may stand in the log of the auditor as well, and then counts.
		if word.Named {
			return leave(reasonStranger, "the issuer is none of those whose word counts")
		}
		return leave(reasonStranger, "nobody was named whose word counts, and this log is neither the auditor's nor your own")
	case s.IssuedAt <= 0 || s.IssuedAt > lastSecond:
		return leave(reasonInvalid, "iat %d: it does not say when it was signed", s.IssuedAt)
	case unix(s.IssuedAt).After(m.At):
		return leave(reasonLater, "it was signed at %s", timestamp(unix(s.IssuedAt)))
	}
	var err error
	if content, err = l.log.Content(ctx, s); monitor.Withheld(err) && old != nil && old.content != nil {
		content, err = old.content, nil
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, monitor.ErrMalformed):
		return leave(reasonInvalid, "%v", err)
	case err != nil:
		return leave(reasonContent, "its content could not be read: %v", err)
	}
	take := m.measured
	if s.Type == scitt.TypeEndorsement {
		take = m.endorsed
	}
	home, err := take(p, s, content)
	if home != "" && old != nil && old.place.link.Origin == home {
		p = old.place
		home, err = take(p, s, content)
	}
	if errors.Is(err, errScope) {
		return leave(reasonScope, "%v", err)
	}
	if err != nil {
		return leave(reasonInvalid, "%v", err)
	}
	if home != "" {
		return leave(reasonAsOfLog, "its home is %s: there it may have been withdrawn or replaced", home)
	}
	word.add(s.Issuer)
	m.seen[s.ID()] = p
	delete(m.postponed, s.ID())
	return nil
}

// errScope is wrapped when a measurement is of other objects than the report.
var errScope = errors.New("it is of another scope than the report")

// measured takes a measurement. It returns the home of one that was carried to
// this log, and does not take that.
func (m *maker) measured(p *place, s *scitt.Statement, content []byte) (home string, err error) {
	claim, err := monitor.ParseClaim(content)
	if err != nil {
		return "", err
	}
	if want := claim.Subject(); s.Subject != want {
		return "", fmt.Errorf("its subject is %q, and it is about %q", s.Subject, want)
	}
	if (monitor.Measured{Claim: claim, Self: p.link.EntryRef}).Carried() {
		return claim.Options.Home, nil
	}
	if !slices.Equal(claim.Interval.Scope, m.Scope) {
		return "", fmt.Errorf("%w: %q", errScope, []string(claim.Interval.Scope))
	}
	if to := claim.Interval.To; to.Before(m.From) || to.After(m.To) {
		m.r.LeftOut.Outside++
		return "", nil
	}
	m.measurements = append(m.measurements, measurement{p, claim, s.Issuer, content})
	return "", nil
}

// endorsed takes an endorsement, a dispute or a withdrawal. It returns the home of
// an endorsement or a dispute that was carried to this log, and does not take that. A
// withdrawal cannot be taken back, so it counts wherever it is.
func (m *maker) endorsed(p *place, s *scitt.Statement, content []byte) (home string, err error) {
	e, err := monitor.ParseEndorsement(content)
	if err != nil {
		return "", err
	}
	if s.Subject != e.Subject() {
		return "", fmt.Errorf("its subject is %q, and it is about %q", s.Subject, e.Subject())
	}
	r := monitor.Registered{Endorsement: *e, Self: p.link.EntryRef, Issuer: s.Issuer, Issued: s.IssuedAt}
	if r.Carried() && e.Verdict != monitor.Withdraw {
		return e.Home, nil
	}
	m.endorsements = append(m.endorsements, r)
	return "", nil
}

// unread is a statement that was left out because it is not known what it says.
func unread(e leftOutEntry, s *scitt.Statement) monitor.Anomaly {
	return monitor.Anomaly{Kind: monitor.AnomalyKind(e.Reason), Entry: e.Entry.EntryRef, Detail: e.Detail, Issuer: s.Issuer, Subject: s.Subject}
}

// leavePostponed leaves out what counts in no log.
func (m *maker) leavePostponed() {
	entries := slices.Collect(maps.Values(m.postponed))
	slices.SortFunc(entries, func(a, b *postponed) int { return compareRefs(a.Entry.EntryRef, b.Entry.EntryRef) })
	for _, e := range entries {
		m.leave(e.leftOutEntry)
	}
}

func compareRefs(a, b monitor.EntryRef) int {
	return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Index, b.Index), cmp.Compare(a.EntryID, b.EntryID))
}

// maxDetail bounds the runes of an explanation.
const maxDetail = 300

func (m *maker) leave(e leftOutEntry) {
	m.left[leftOutCount{Reason: e.Reason, Type: e.Type}]++
	if len(m.r.LeftOut.List) == maxLeftOut {
		m.r.LeftOut.More++
		return
	}
	e.Detail = shorten(e.Detail, maxDetail)
	m.r.LeftOut.List = append(m.r.LeftOut.List, e)
}

// shorten cuts a text for people.
func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + " ..."
	}
	return s
}
