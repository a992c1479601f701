package report

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// endorse says how endorsements and disputes stand at the report's time.
func (m *maker) endorse(ctx context.Context) error {
	out := &m.r.Endorsements
	out.List, out.Standings = []Endorsement{}, []StandingCount{}
	byEntry := map[string][]monitor.Registered{}
	var entries []string
	withdrawals := map[string][]monitor.Registered{}
	for _, e := range m.endorsements {
		if e.Verdict == monitor.Withdraw {
			withdrawals[e.Entry.EntryID] = append(withdrawals[e.Entry.EntryID], e)
			continue
		}
		if len(byEntry[e.Entry.EntryID]) == 0 {
			entries = append(entries, e.Entry.EntryID)
		}
		byEntry[e.Entry.EntryID] = append(byEntry[e.Entry.EntryID], e)
	}
	slices.Sort(entries)
	var all []Endorsement
	for _, name := range entries {
		id, err := scitt.ParseEntryID(name)
		if err != nil {
			return err // ParseEndorsement has read it
		}
		statements := byEntry[name]
		for _, e := range byEntry[name] {
			statements = append(statements, withdrawals[e.Self.EntryID]...)
		}
		for _, s := range monitor.Evaluate(statements, id, m.At) {
			e := m.standing(s, statements)
			if e.Target, err = m.target(ctx, s.Entry); err != nil {
				return err
			}
			if e.Target.State == targetAbsent {
				e.Level = worse(e.Level, Medium)
			}
			all = append(all, e)
		}
	}
	counts := map[StandingCount]int{}
	all = slices.DeleteFunc(all, func(e Endorsement) bool {
		if !e.endsAt.IsZero() && e.endsAt.Before(m.From) {
			out.Ended++
			return true
		}
		counts[StandingCount{Standing: e.Standing, Verdict: e.Verdict}]++
		return false
	})
	for c, n := range counts {
		c.Count = n
		out.Standings = append(out.Standings, c)
	}
	slices.SortFunc(out.Standings, func(a, b StandingCount) int {
		return cmp.Or(-cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Standing, b.Standing))
	})
	slices.SortFunc(all, func(a, b Endorsement) int {
		return cmp.Or(cmp.Compare(slices.Index(levels, a.Level), slices.Index(levels, b.Level)), a.endsAt.Compare(b.endsAt), compareRefs(a.Entry.EntryRef, b.Entry.EntryRef))
	})
	out.More = max(0, len(all)-maxEndorsements)
	out.List = append(out.List, all[:len(all)-out.More]...)
	for _, e := range all {
		if e.Target.State == targetAbsent {
			out.Astray++
		}
	}
	return nil
}

// standing is an endorsement as the report shows it.
func (m *maker) standing(s monitor.Standings, all []monitor.Registered) Endorsement {
	signed := unix(s.Issued)
	e := Endorsement{
		AgeMS: max(0, m.At.Sub(signed).Milliseconds()), By: []EntryLink{}, Entry: m.linkTo(s.Self), From: timestamp(s.From), Issuer: s.Issuer,
		Level: None, Reason: s.Reason, Scope: list(slices.Clone(s.Scope)), Signed: timestamp(signed), Standing: Standing(s.Standing),
		Verdict: s.Verdict, endsAt: s.Until,
	}
	for _, by := range s.By {
		e.By = append(e.By, m.linkTo(by))
	}
	if !s.Until.IsZero() {
		e.Until = timestamp(s.Until)
		if m.At.Before(s.Until) {
			e.LeftMS = s.Until.Sub(m.At).Milliseconds()
		}
	}
	if s.Standing == monitor.Holds && s.Verdict == monitor.Endorse && s.Until.Sub(m.At) <= m.Expiring {
		e.Standing = Expiring
	}
	switch {
	case s.Verdict == monitor.Dispute && s.Standing == monitor.Holds, s.Standing == monitor.Disputed:
		e.Level = High
	case s.Verdict == monitor.Endorse && (s.Standing == monitor.Expired || s.Standing == monitor.Withdrawn):
		e.Level = Medium
	case e.Standing == Expiring:
		e.Level = Low
	}
	if s.Standing == monitor.Withdrawn {
		e.endsAt = withdrawn(all, s)
	}
	return e
}

// withdrawn is since when an endorsement is withdrawn.
func withdrawn(all []monitor.Registered, s monitor.Standings) (since time.Time) {
	for _, w := range all {
		if slices.Contains(s.By, w.Self) && (since.IsZero() || w.From.Before(since)) {
			since = w.From
		}
	}
	return since
}

// target looks whether the entry that an endorsement names is in its log.
func (m *maker) target(ctx context.Context, ref monitor.EntryRef) (EndorsedEntry, error) {
	if t, ok := m.targets[ref]; ok {
		return t, nil
	}
	l := m.byOrigin(ref.Origin)
	t := EndorsedEntry{EntryLink: l.link(ref), State: targetUnknown}
	if l != nil && ref.Index >= l.Log.Checkpoint.Size {
		t.State = targetAbsent
	} else if l != nil {
		for e, err := range l.Log.Source.Entries(ctx, ref.Index, ref.Index+1) {
			if ctx.Err() != nil {
				return t, ctx.Err()
			}
			if err != nil {
				break
			}
			t.State = targetAbsent
			if s, err := scitt.DecodeStatement(e.Data); err == nil && s.ID().String() == ref.EntryID {
				t.State, t.Subject = targetFound, s.Subject
			}
		}
	}
	m.targets[ref] = t
	return t, nil
}
