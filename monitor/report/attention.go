package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
)

// finish orders what was found and says what needs attention.
func (m *maker) finish() {
	m.leavePostponed()
	out := &m.r.LeftOut
	for c, n := range m.left {
		c.Count = n
		out.Counts = append(out.Counts, c)
	}
	slices.SortFunc(out.Counts, func(a, b leftOutCount) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Reason, b.Reason))
	})
	m.attendLogs()
	m.attendAssessments()
	m.attendComparisons()
	m.attendStatements()
	slices.SortStableFunc(m.r.Attention, func(a, b attention) int { return slices.Index(levels, a.Level) - slices.Index(levels, b.Level) })
	if len(m.r.Attention) > 0 {
		m.r.Level = m.r.Attention[0].Level
	}
	m.commands()
	m.changed()
}

func (m *maker) attend(about string, level attentionLevel, format string, args ...any) {
	m.r.Attention = append(m.r.Attention, attention{about, level, fmt.Sprintf(format, args...)})
}

// states says what a log's state means.
var states = map[state]string{
	stateForked:      "it signed two histories that cannot both be true",
	stateRolledBack:  "it shows fewer entries than were seen of it",
	stateOtherLog:    "another log is at this place than before",
	stateKeysChanged: "it shows other keys than before",
	stateCorrupt:     "its files or its signatures do not verify",
	stateUnreachable: "it could not be read",
	stateUnwitnessed: "the quorum of witnesses that the policy demands is missing, or is too old",
}

func (m *maker) attendLogs() {
	for _, l := range m.logs {
		h := &l.health
		h.Level = levelNone
		tell := func(level attentionLevel, format string, args ...any) {
			if slices.Index(levels, level) < slices.Index(levels, h.Level) {
				h.Level = level
			}
			m.attend("log", level, "The log %s: %s", cmp.Or(m.r.log(h.Origin), h.Location), fmt.Sprintf(format, args...))
		}
		switch h.State {
		case stateGood:
		case stateUnreachable, stateRolledBack, stateUnwitnessed:
			tell(levelHigh, "%s. Nothing of it counts in this report.", states[h.State])
		default:
			tell(critical, "%s. Nothing of it counts in this report.", states[h.State])
		}
		if n := len(h.Proofs); n > 0 {
			tell(critical, "there %s that it signed two histories.", plural.Form(n, "is a proof", "are %d proofs"))
		}
		if h.Pins.Conflict > 0 {
			tell(critical, "measurements rest on a history that is not the one that it shows here (%s).", plural.Form(h.Pins.Conflict, "1 checkpoint", "%d checkpoints"))
		}
		if h.Pins.Ahead > 0 {
			tell(levelMedium, "measurers saw more of it than it shows here (%s).", plural.Form(h.Pins.Ahead, "1 checkpoint", "%d checkpoints"))
		}
		if h.Quiet {
			tell(levelMedium, "%s.", h.quiet())
		}
		if h.Keys == keysFirstUse {
			tell(levelLow, "its keys are believed because it shows them; it was not known before.")
		}
		m.r.Logs = append(m.r.Logs, *h)
	}
}

// quiet says why a checkpoint is not known to be fresh.
func (h *logHealth) quiet() string {
	switch {
	case h.AgeMS != nil:
		return fmt.Sprintf("its checkpoint is %s old", age(*h.AgeMS))
	case h.Signed == "":
		return "its checkpoint does not say when it was signed, so its age is not known"
	}
	return fmt.Sprintf("its checkpoint says that it was signed at %s, after this report was made, so its age is not known", h.Signed)
}

// objects names what a kind counts.
func objects(what monitor.Kind, n int) string {
	word := map[monitor.Kind]string{monitor.Inventory: "asset", monitor.Configuration: "configuration"}[what]
	_, noun, _ := strings.Cut(plural.Of(n, word), " ")
	return thousands(n) + " " + noun
}

func (m *maker) attendAssessments() {
	about := map[string]bool{}
	for _, a := range m.r.Assessments {
		about[a.Origin] = true
		for _, s := range a.Series {
			n := s.Newest()
			name := fmt.Sprintf("The %s of %s, as %s measured it", s.What, m.r.log(a.Origin), m.r.nameOf(a.Issuer))
			if s.Level == levelUnknown {
				m.attend("assessment", levelUnknown, "%s: there was no data.", name)
			} else if s.Level != levelNone {
				m.attend("assessment", s.Level, "%s: impact score %d; of %s, %s.", name, n.Impact, objects(s.What, n.Union), differences(n.Missing, n.Drift, n.Undisclosed, n.Late, n.Phantom))
			}
			if old := m.At.Sub(s.newest.claim.Interval.To); old > m.Stale {
				m.attend("assessment", levelMedium, "%s: the newest measurement ends %s before this report.", name, age(old.Milliseconds()))
			}
			switch s.Recomputed.State {
			case recomputedDiffers:
				m.attend("assessment", critical, "%s: computing it again from the logs gives another result.", name)
			case recomputedFailed:
				m.attend("assessment", levelMedium, "%s: it could not be computed again: %s.", name, s.Recomputed.Detail)
				if w := s.Recomputed.withheld; w != nil {
					m.attend("log", levelHigh, "The log %s: content that its records name, and that was there when it was measured, is not served any more: artifact %s.", m.r.log(w.Origin), w.Digest)
				}
			}
		}
	}
	for _, l := range m.logs {
		if origin := l.health.Origin; l.is(roleProvider) && l.good() && !about[origin] {
			about[origin] = true
			m.attend("assessment", levelUnknown, "The log %s: no measurement that counts is about it in this interval.", m.r.log(origin))
		}
	}
	if len(about) == 0 {
		m.attend("assessment", levelUnknown, "No measurement that counts lies in this interval: nothing can be said about completeness.")
	}
}

func (m *maker) attendComparisons() {
	for _, c := range m.r.Comparisons {
		name := fmt.Sprintf("Comparing %s with what %s observed", m.r.log(c.Reported.Checkpoint.Origin), m.r.log(c.Observed.Checkpoint.Origin))
		if c.State != stateDone {
			m.attend("comparison", levelMedium, "%s failed: %s", name, c.Detail)
			continue
		}
		unread := c.Reported.Unread.Plus(c.Observed.Unread)
		if unread.Any() {
			m.attend("comparison", levelMedium, "%s is incomplete, and what differs may be what these say: %s.", name, unread)
		}
		for _, what := range kinds {
			n := c.Metrics[what]
			level := levelOf(n.Severity())
			if unread.Any() && level != levelNone {
				level = levelMedium // nobody is accused of what is not known
			}
			if level != levelNone {
				m.attend("comparison", level, "%s: of %s, %s.%s", name, objects(what, n.Union), differences(n.Missing, n.Drift, n.Undisclosed, n.Late, n.Phantom), c.mostMissing(what, n.Missing))
			}
		}
	}
}

// mostMissing says of which type, account or region most of what is missing is; "" where no one of several has most.
func (c comparison) mostMissing(what monitor.Kind, missing int) (text string) {
	for _, b := range c.Breakdown {
		if b.What != what || len(b.Groups) < 2 || b.Groups[0].Name == "" || missing < 2 {
			continue
		}
		if n := b.Groups[0].Missing; 2*n > missing { // the group with the most comes first
			share := fmt.Sprintf("%s of the missing", thousands(n))
			if n == missing {
				share = "All the missing"
			}
			in := map[string]string{"type": "of type", "account": "in account", "region": "in region"}[b.By]
			text += fmt.Sprintf(" %s are %s %s.", share, in, shorten(b.Groups[0].Name, 80))
		}
	}
	return text
}

// differences counts what there is.
func differences(missing, drift, undisclosed, late, phantom int) string {
	var found []string
	for _, one := range []struct {
		n    int
		text string
	}{{missing, "missing"}, {drift, "drifting"}, {undisclosed, "hidden and maybe drifting"}, {late, "late"}, {phantom, "never observed"}} {
		if one.n > 0 {
			found = append(found, thousands(one.n)+" "+one.text)
		}
	}
	return strings.Join(found, ", ")
}

func worse(a, b attentionLevel) attentionLevel {
	if slices.Index(levels, b) < slices.Index(levels, a) {
		return b
	}
	return a
}

// levelOf is the level of a severity.
func levelOf(s monitor.Severity) attentionLevel {
	if s.ID() <= 1 {
		return levelNone
	}
	return attentionLevel(strings.ToLower(string(s)))
}

// attendStatements tells about endorsements, what was left out, and trust.
func (m *maker) attendStatements() {
	for _, c := range m.r.Endorsements.Standings {
		endorsement := plural.Form(c.Count, "1 endorsement", "%d endorsements")
		switch {
		case c.Verdict == monitor.Dispute && c.Standing == standing(monitor.Holds):
			m.attend("endorsement", levelHigh, "%s.", plural.Form(c.Count, "1 dispute holds", "%d disputes hold"))
		case c.Verdict == monitor.Dispute && c.Standing == standing(monitor.Unknown):
			m.attend("endorsement", levelMedium, "%s unknown: what may withdraw it could not be read or checked.", plural.Form(c.Count, "1 dispute is", "%d disputes are"))
		case c.Verdict == monitor.Dispute:
		case c.Standing == standing(monitor.Disputed):
			m.attend("endorsement", levelHigh, "%s disputed.", endorsement+plural.Form(c.Count, " is", " are"))
		case c.Standing == standing(monitor.Withdrawn):
			m.attend("endorsement", levelMedium, "%s withdrawn by the issuer.", endorsement+plural.Form(c.Count, " was", " were"))
		case c.Standing == standing(monitor.Unknown):
			m.attend("endorsement", levelMedium, "%s unknown: what may withdraw or dispute it could not be read or checked.", endorsement+plural.Form(c.Count, " is", " are"))
		case c.Standing == standing(monitor.Expired):
			m.attend("endorsement", levelMedium, "%s expired in this interval.", endorsement)
		case c.Standing == expiring:
			m.attend("endorsement", levelLow, "%s within %s.", endorsement+plural.Form(c.Count, " expires", " expire"), age(m.Expiring.Milliseconds()))
		}
	}
	if n := m.r.Endorsements.Astray; n > 0 {
		m.attend("endorsement", levelMedium, "%s an entry that its log does not have there.", plural.Form(n, "1 endorsement names", "%d endorsements name"))
	}
	for _, c := range m.r.LeftOut.Counts {
		n := fmt.Sprintf("%s left out:", plural.Form(c.Count, "1 "+c.Type+" is", "%d "+c.Type+"s are"))
		switch c.Reason {
		case reasonSignature:
			m.attend("trust", levelHigh, "%s the issuer that it names, whose word counts, did not sign it.", n)
		case reasonUnchecked:
			m.attend("trust", levelMedium, "%s the key of the issuer is not known, so the signature could not be checked (--issuer-key).", n)
		case reasonContent:
			m.attend("trust", levelMedium, "%s the content is withheld by who should serve it, or elsewhere.", n)
		case reasonDuplicate:
			m.attend("trust", levelLow, "%s its log has the same content already, which a service does not admit.", n)
		case reasonInvalid:
			m.attend("trust", levelLow, "%s not what the type says.", n)
		}
	}
	if w := m.r.Trust.MeasuredBy; !w.Named && len(w.Issuers) > 0 {
		m.attend("trust", levelLow, "Nobody was named whose measurements count, so those in the auditors' logs do, by %s.", plural.Form(len(w.Issuers), "1 issuer", "%d issuers"))
	}
	if w := m.r.Trust.EndorsedBy; !w.Named && len(w.Issuers) > 0 {
		m.attend("trust", levelLow, "Nobody was named whose endorsements count, so those in the auditors' logs do, by %s.", plural.Form(len(w.Issuers), "1 issuer", "%d issuers"))
	}
}

// nameOf is what the reader calls an issuer, in guillemets, or else how it calls itself,
// shortened, where nothing looks like such a name.
func (r *Report) nameOf(issuer string) string {
	own, named := r.called(issuer)
	// All keys of a kind begin alike.
	if rest, ok := strings.CutPrefix(own, "did:jwk:"); ok && !named && len(rest) > 16 {
		return "did:jwk:..." + strings.ToValidUTF8(rest[len(rest)-12:], "")
	}
	return shorten(own, 80)
}

// log is what the reader calls a log, or else its origin.
func (r *Report) log(origin string) string {
	own, _ := r.called(origin)
	return own
}

func (r *Report) called(id string) (name string, named bool) {
	for _, n := range r.Trust.Names {
		if n.Issuer == id {
			return "«" + n.Name + "»", true
		}
	}
	return strings.NewReplacer("«", `\u00ab`, "»", `\u00bb`).Replace(id), false
}
