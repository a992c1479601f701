package report

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

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
	l := &log{Source: s, pins: map[string]Pin{}, health: LogHealth{
		Location: s.Location, Roles: slices.Clone(s.Roles), State: s.State, Detail: s.Detail,
		Keys: s.Keys, VKeys: list(slices.Sorted(slices.Values(s.VKeys))), Proofs: list(slices.Clone(s.Proofs)),
	}}
	slices.Sort(l.health.Roles)
	if s.Log == nil {
		return l
	}
	cp := s.Log.Checkpoint
	l.health.State, l.health.Origin = StateGood, cp.Origin
	l.health.Checkpoint, l.health.SeenBefore = pinned(cp), s.SeenBefore
	if cp.Tree != nil && cp.Tree.IssuedAt > 0 && cp.Tree.IssuedAt <= lastSecond {
		signed := unix(cp.Tree.IssuedAt)
		l.health.Signed = timestamp(signed)
		l.health.AgeMS = max(0, o.At.Sub(signed).Milliseconds())
		l.health.Quiet = o.At.Sub(signed) > o.Stale
	}
	return l
}

func pinned(cp *scitt.Checkpoint) *Checkpoint {
	return &Checkpoint{cp.Origin, hex.EncodeToString(cp.Root), cp.Size}
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
		if err := m.take(ctx, l, f.index, f.statement); err != nil {
			return err
		}
	}
	return nil
}

type entry struct {
	index     uint64
	statement *scitt.Statement
}

func (m *maker) scan(ctx context.Context, l *log) (found []entry, err error) {
	size := l.Log.Checkpoint.Size
	var newest int64
	for e, err := range l.Log.Source.Entries(ctx, 0, size) {
		if err != nil {
			return nil, err
		}
		if m.Progress != nil && e.Index%256 == 0 {
			m.Progress(l.Location, e.Index, size)
		}
		s, err := scitt.DecodeStatement(e.Data)
		if err != nil {
			continue // no statement of anybody
		}
		if s.IssuedAt > 0 && s.IssuedAt <= lastSecond {
			signed := unix(s.IssuedAt)
			newest = max(newest, s.IssuedAt)
			if !signed.Before(m.From) && !signed.After(m.To) {
				l.health.Grown++
			}
		}
		switch s.Type {
		case scitt.TypeRecord:
			l.records = true
		case scitt.TypeObservation:
			l.observations = true
		case scitt.TypeMeasurement, scitt.TypeEndorsement:
			found = append(found, entry{e.Index, s})
		}
	}
	if newest > 0 {
		l.health.Newest = timestamp(unix(newest))
	}
	return found, nil
}

// take counts a statement, or says why not.
func (m *maker) take(ctx context.Context, l *log, index uint64, s *scitt.Statement) error {
	ref := monitor.EntryRef{EntryID: s.ID().String(), Index: index, Origin: l.health.Origin}
	if p, ok := m.seen[s.ID()]; ok {
		if ref.Origin != p.link.Origin && !slices.Contains(p.alsoIn, ref.Origin) {
			p.alsoIn = append(p.alsoIn, ref.Origin)
		}
		return nil
	}
	p := &place{log: l, link: l.link(ref)}
	word, kind := &m.r.Trust.MeasuredBy, "measurement"
	if s.Type == scitt.TypeEndorsement {
		word, kind = &m.r.Trust.EndorsedBy, "endorsement"
	}
	leave := func(why Reason, format string, args ...any) {
		e := LeftOutEntry{fmt.Sprintf(format, args...), p.link, s.Issuer, why, kind}
		if why == ReasonContent { // another log may have it
			m.unread[s.ID()] = e
			return
		}
		m.seen[s.ID()] = p
		m.leave(e)
	}
	switch {
	case !word.counts(s.Issuer, l):
		// It may stand in the log of the auditor as well, and then counts.
		if word.Named {
			leave(ReasonStranger, "the issuer is none of those whose word counts")
		} else {
			leave(ReasonStranger, "nobody was named whose word counts, and this log is neither the auditor's nor the own one")
		}
		return nil
	case s.IssuedAt <= 0 || s.IssuedAt > lastSecond:
		leave(ReasonInvalid, "iat %d: it does not say when it was signed", s.IssuedAt)
		return nil
	case unix(s.IssuedAt).After(m.At):
		leave(ReasonLater, "it was signed at %s", timestamp(unix(s.IssuedAt)))
		return nil
	}
	if err := l.Log.Verify(s); err != nil {
		leave(ReasonSignature, "%v", err)
		return nil
	}
	content, err := l.Log.Content(ctx, s)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, monitor.ErrMalformed):
		leave(ReasonInvalid, "%v", err)
		return nil
	case errors.Is(err, fs.ErrNotExist):
		leave(ReasonContent, "%v", err)
		return nil
	case err != nil:
		leave(ReasonContent, "its content could not be read: %v", err)
		return nil
	}
	if kind == "measurement" {
		err = m.measured(p, s, content)
	} else {
		err = m.endorsed(p, s, content)
	}
	if err != nil {
		leave(ReasonInvalid, "%v", err)
		return nil
	}
	word.add(s.Issuer)
	m.seen[s.ID()] = p
	delete(m.unread, s.ID())
	return nil
}

// measured takes a measurement.
func (m *maker) measured(p *place, s *scitt.Statement, content []byte) error {
	claim, err := monitor.ParseClaim(content)
	if err != nil {
		return err
	}
	if want := "measurement/" + string(claim.Options.What) + "/" + claim.Reported.Origin; s.Subject != want {
		return fmt.Errorf("its subject is %q, and it is about %q", s.Subject, want)
	}
	if to := claim.Interval.To; to.Before(m.From) || to.After(m.To) {
		m.r.LeftOut.Outside++
		return nil
	}
	m.measurements = append(m.measurements, measurement{p, claim, s.Issuer, content})
	return nil
}

// endorsed takes an endorsement, a dispute or a withdrawal.
func (m *maker) endorsed(p *place, s *scitt.Statement, content []byte) error {
	e, err := monitor.ParseEndorsement(content)
	if err != nil {
		return err
	}
	if s.Subject != e.Subject() {
		return fmt.Errorf("its subject is %q, and it is about %q", s.Subject, e.Subject())
	}
	m.endorsements = append(m.endorsements, monitor.Registered{Endorsement: *e, Self: p.link.EntryRef, Issuer: s.Issuer, Issued: s.IssuedAt})
	return nil
}

// leaveUnread leaves out what no log had the content of.
func (m *maker) leaveUnread() {
	entries := slices.Collect(maps.Values(m.unread))
	slices.SortFunc(entries, func(a, b LeftOutEntry) int { return compareRefs(a.Entry.EntryRef, b.Entry.EntryRef) })
	for _, e := range entries {
		m.leave(e)
	}
}

func compareRefs(a, b monitor.EntryRef) int {
	return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Index, b.Index), cmp.Compare(a.EntryID, b.EntryID))
}

// maxDetail bounds the runes of an explanation.
const maxDetail = 300

func (m *maker) leave(e LeftOutEntry) {
	m.left[LeftOutCount{Reason: e.Reason, Type: e.Type}]++
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
