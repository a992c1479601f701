package report

import "fmt"

// Verdict reports whether what the report rests on is good: what of it contradicts itself,
// and what could not be read or checked. It says nothing about the provider.
func (r *Report) Verdict() (contradictions, unread []string) {
	for _, l := range r.Logs {
		name := l.Location
		switch {
		case l.State == stateUnwitnessed:
			unread = append(unread, fmt.Sprintf("%s does not count: %s", name, l.Detail))
		case l.State == stateUnreachable, l.State == stateRolledBack:
			unread = append(unread, fmt.Sprintf("%s could not be read: %s", name, l.Detail))
		case l.State != stateGood:
			contradictions = append(contradictions, fmt.Sprintf("%s: %s: %s", name, l.State, l.Detail))
		case len(l.Proofs) > 0:
			contradictions = append(contradictions, name+" signed two histories")
		case l.Pins.Conflict > 0:
			contradictions = append(contradictions, fmt.Sprintf("%s is not the history that %d measured checkpoints are of", name, l.Pins.Conflict))
		case l.Pins.Ahead > 0:
			unread = append(unread, name+" shows fewer entries than were measured")
		}
	}
	for _, as := range r.Assessments {
		for _, s := range as.Series {
			name := fmt.Sprintf("the measurement of the %s of %s, entry %d of %s", s.What, as.Origin, s.Newest().Entry.Index, s.Newest().Entry.Origin)
			switch s.Recomputed.State {
			case recomputedDiffers:
				contradictions = append(contradictions, name+", comes out differently")
			case recomputedFailed:
				unread = append(unread, name+", could not be computed again: "+s.Recomputed.Detail)
			}
		}
	}
	for _, c := range r.Comparisons {
		if u := c.Reported.Unread.Plus(c.Observed.Unread); u.Any() {
			unread = append(unread, fmt.Sprintf("the comparison of %s with %s is incomplete: %s", c.Reported.Checkpoint.Origin, c.Observed.Checkpoint.Origin, u))
		}
	}
	return contradictions, unread
}
