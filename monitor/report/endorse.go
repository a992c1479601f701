package report

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// endorsements are the endorsements and disputes by those whose word counts.
type endorsements struct {
	// Astray is how many name an entry that its log does not have there.
	Astray int `json:"astray"`
	// Ended is how many had ended before the report's interval.
	Ended int           `json:"ended"`
	List  []endorsement `json:"list"` // what needs attention first
	More  int           `json:"more"`
	// Standings counts all of them but those that had ended: by verdict and
	// standing, such as "endorse holds".
	Standings []standingCount `json:"standings"`
}

// standingCount is how many have a standing.
type standingCount struct {
	Count    int             `json:"count"`
	Standing standing        `json:"standing"`
	Verdict  monitor.Verdict `json:"verdict"`
}

// standing is a monitor.Standing, or Expiring.
type standing string

// expiring is an endorsement that holds, and will soon not.
const expiring standing = "expiring"

// endorsement is one of them, and how it stands at the report's time.
type endorsement struct {
	AgeMS    int64           `json:"age_ms"` // since it was signed
	By       []EntryLink     `json:"by"`     // the withdrawal or the disputes
	Entry    EntryLink       `json:"entry"`  // its own
	From     string          `json:"from"`
	Issuer   string          `json:"issuer"`
	LeftMS   int64           `json:"left_ms"` // until it ends; 0 when it has, or has no end
	Level    attentionLevel  `json:"level"`
	Reason   string          `json:"reason,omitempty"`
	Scope    []string        `json:"scope"`
	Signed   string          `json:"signed"`
	Standing standing        `json:"standing"`
	Target   endorsedEntry   `json:"target"`
	Until    string          `json:"until,omitempty"`
	Verdict  monitor.Verdict `json:"verdict"`
	endsAt   time.Time       // or withdrawn
}

// The states of an endorsed entry.
const (
	targetFound   = "found"
	targetAbsent  = "absent"  // the log has another entry there, or none
	targetUnknown = "unknown" // the log was not given, or could not be read
)

// endorsedEntry is the entry that an endorsement is about.
type endorsedEntry struct {
	EntryLink
	State   string `json:"state"`             // found, absent or unknown
	Subject string `json:"subject,omitempty"` // sub of the statement, when it was found
}

// endorse says how endorsements and disputes stand at the report's time.
func (m *maker) endorse(ctx context.Context) error {
	out := &m.r.Endorsements
	out.List, out.Standings = []endorsement{}, []standingCount{}
	if err := m.locate(ctx); err != nil {
		return err
	}
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
	for _, p := range m.postponed {
		if p.Reason == reasonContent {
			m.unread = append(m.unread, unread(p.leftOutEntry, p.statement))
		}
	}
	slices.SortFunc(m.unread, func(a, b monitor.Anomaly) int { return compareRefs(a.Entry, b.Entry) })
	var all []endorsement
	for _, name := range entries {
		id, err := scitt.ParseEntryID(name)
		if err != nil {
			return err // ParseEndorsement has read it
		}
		statements := byEntry[name]
		for _, e := range byEntry[name] {
			statements = append(statements, withdrawals[e.Self.EntryID]...)
		}
		for _, s := range monitor.Evaluate(statements, m.unread, id, m.At) {
			e := m.standing(s, statements)
			e.Target = m.targets[s.Entry]
			if e.Target.State == targetAbsent {
				e.Level = worse(e.Level, levelMedium)
			}
			all = append(all, e)
		}
	}
	counts := map[standingCount]int{}
	all = slices.DeleteFunc(all, func(e endorsement) bool {
		if !e.endsAt.IsZero() && e.endsAt.Before(m.From) {
			out.Ended++
			return true
		}
		counts[standingCount{Standing: e.Standing, Verdict: e.Verdict}]++
		return false
	})
	for c, n := range counts {
		c.Count = n
		out.Standings = append(out.Standings, c)
	}
	slices.SortFunc(out.Standings, func(a, b standingCount) int {
		return cmp.Or(-cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Standing, b.Standing))
	})
	slices.SortFunc(all, func(a, b endorsement) int {
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
func (m *maker) standing(s monitor.Standings, all []monitor.Registered) endorsement {
	signed := unix(s.Issued)
	e := endorsement{
		AgeMS: max(0, m.At.Sub(signed).Milliseconds()), By: []EntryLink{}, Entry: m.linkTo(s.Self), From: timestamp(s.From), Issuer: s.Issuer,
		Level: levelNone, Reason: s.Reason, Scope: list(slices.Clone(s.Scope)), Signed: timestamp(signed), Standing: standing(s.Standing),
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
		e.Standing = expiring
	}
	switch {
	case s.Verdict == monitor.Dispute && s.Standing == monitor.Holds, s.Standing == monitor.Disputed:
		e.Level = levelHigh
	case s.Standing == monitor.Unknown, s.Verdict == monitor.Endorse && (s.Standing == monitor.Expired || s.Standing == monitor.Withdrawn):
		e.Level = levelMedium
	case e.Standing == expiring:
		e.Level = levelLow
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

// locate looks whether the entries that endorsements name are in their logs. It
// reads each bundle of entries once.
func (m *maker) locate(ctx context.Context) error {
	wanted := map[*log][]monitor.EntryRef{}
	for _, e := range m.endorsements {
		ref := e.Entry
		if _, known := m.targets[ref]; known || e.Verdict == monitor.Withdraw {
			continue
		}
		l := m.byOrigin(ref.Origin)
		m.targets[ref] = endorsedEntry{EntryLink: l.link(ref), State: targetUnknown}
		if l != nil {
			wanted[l] = append(wanted[l], ref)
		}
	}
	for l, refs := range wanted {
		slices.SortFunc(refs, compareRefs)
		for i := 0; i < len(refs); {
			bundle := refs[i].Index / tiles.Width
			end := i + 1
			for end < len(refs) && refs[end].Index/tiles.Width == bundle {
				end++
			}
			if err := m.locateIn(ctx, l, refs[i:end]); err != nil {
				return err
			}
			i = end
		}
	}
	return nil
}

// locateIn looks for entries of one bundle.
func (m *maker) locateIn(ctx context.Context, l *log, refs []monitor.EntryRef) error {
	size := l.log.Checkpoint.Size
	read := map[uint64]*scitt.Statement{}
	if first, last := refs[0].Index, min(refs[len(refs)-1].Index+1, size); first < last {
		for e, err := range l.log.Source.Entries(ctx, first, last) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return nil // of entries that cannot be read nothing is said
			}
			read[e.Index] = nil
			// A copy that its issuer did not sign is not what was endorsed.
			if s, err := scitt.DecodeEntry(e.Data); err == nil && !errors.Is(l.log.Verify(s), scitt.ErrSignature) {
				read[e.Index] = s
			}
		}
	}
	for _, ref := range refs {
		t := m.targets[ref]
		t.State = targetAbsent
		if s := read[ref.Index]; s != nil && s.ID().String() == ref.EntryID {
			t.State, t.Subject = targetFound, s.Subject
		}
		m.targets[ref] = t
	}
	return nil
}
