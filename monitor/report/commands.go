package report

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// commands are how everything here can be computed again.
func (m *maker) commands() {
	add := func(text string, words ...string) {
		m.r.Commands = append(m.r.Commands, command{commandLine(words...), text})
	}
	if m.Command != "" {
		m.r.Commands = append(m.r.Commands, command{m.Command, "Make this report again"})
	}
	for _, a := range m.r.Assessments {
		for _, s := range a.Series {
			n := s.Newest()
			words := []string{"conmotion", "measure", "--recompute", n.Entry.EntryID, "--log", s.newest.log.location}
			if n.Entry.URL != "" {
				words = []string{"conmotion", "measure", "--recompute", n.Entry.URL}
			}
			for _, side := range []struct{ flag, origin string }{{"--reported", n.Reported.Checkpoint.Origin}, {"--observed", n.Observed.Checkpoint.Origin}} {
				if l := m.byOrigin(side.origin); l != nil {
					words = append(words, side.flag, l.location)
				}
			}
			add(fmt.Sprintf("Compute the newest measurement of the %s of %s again", s.What, a.Origin), words...)
		}
	}
	for _, c := range m.r.Comparisons {
		words := []string{"conmotion", "compare", "--reported", c.Reported.Location, "--observed", c.Observed.Location, "--from", c.From, "--to", c.To, "--grace", m.Grace.String()}
		for _, term := range m.Scope {
			words = append(words, "--scope", term)
		}
		for _, iss := range c.Reported.Issuers {
			words = append(words, "--reported-issuer", iss)
		}
		for _, iss := range c.Observed.Issuers {
			words = append(words, "--observed-issuer", iss)
		}
		for _, side := range []struct {
			flag, usual string
			types       []string
		}{{"--reported-types", scitt.TypeRecord, c.Reported.Types}, {"--observed-types", scitt.TypeObservation, c.Observed.Types}} {
			if !slices.Equal(side.types, []string{side.usual}) {
				var names []string
				for _, typ := range side.types {
					names = append(names, typeText(typ))
				}
				words = append(words, side.flag, strings.Join(names, ","))
			}
		}
		add(fmt.Sprintf("Compare %s with %s", c.Reported.Checkpoint.Origin, c.Observed.Checkpoint.Origin), words...)
	}
	for _, l := range m.logs {
		if l.good() {
			add("Replay every admission of "+l.health.Origin, "conmotion", "audit", l.location)
		}
	}
}

// Given is what was given for a report beside its options and locations, and that the flags of
// conmotion report of the same names repeat.
type Given struct {
	VKeys, IssuerKeys, Names  []string
	Artifacts, Before, Format string // "" where they were not given
}

// Invocation is the command line that makes the same report, whenever it is run.
func (o Options) Invocation(l Locations, g Given) string {
	words := []string{"conmotion", "report"}
	add := func(flag string, values ...string) {
		for _, v := range values {
			if v != "" {
				words = append(words, "--"+flag, v)
			}
		}
	}
	add("provider", l.Provider...)
	add("auditor", l.Auditor...)
	add("own", l.Own...)
	add("log", l.Other...)
	add("vkey", g.VKeys...)
	add("issuer-key", g.IssuerKeys...)
	add("measured-by", o.MeasuredBy...)
	add("endorsed-by", o.EndorsedBy...)
	add("reported-by", o.ReportedBy...)
	add("observed-by", o.ObservedBy...)
	add("name", g.Names...)
	add("scope", o.Scope...)
	add("artifacts", g.Artifacts)
	add("before", g.Before)
	add("from", o.From.UTC().Format(time.RFC3339Nano))
	add("to", o.To.UTC().Format(time.RFC3339Nano))
	add("at", o.At.UTC().Format(time.RFC3339Nano))
	add("grace", o.Grace.String())
	add("expiring", o.Expiring.String())
	add("stale", o.Stale.String())
	if !o.Compare {
		words = append(words, "--compare=false")
	}
	if !o.Recompute {
		words = append(words, "--recompute=false")
	}
	add("format", g.Format)
	return commandLine(words...)
}

// commandLine writes words for a shell (bash), each as one word whatever is in
// it.
func commandLine(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

func quote(w string) string {
	plain := func(r rune) bool {
		return r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./:=@%+,", r))
	}
	switch {
	case w != "" && strings.IndexFunc(w, func(r rune) bool { return !plain(r) }) < 0:
		return w
	case strings.IndexFunc(w, func(r rune) bool { return !unicode.IsPrint(r) }) < 0:
		return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for _, r := range w {
		switch {
		case r == '\'' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String() + "'"
}

// kinds are the kinds in the order of the report.
var kinds = []monitor.Kind{monitor.Inventory, monitor.Configuration}
