package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// commands are how everything here can be computed again.
func (m *maker) commands() {
	add := func(text string, words ...string) {
		m.r.Commands = append(m.r.Commands, command{CommandLine(words...), text})
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

// CommandLine writes words for a shell (bash), each as one word whatever is in
// it.
func CommandLine(words ...string) string {
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
