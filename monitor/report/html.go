package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
)

//go:embed *.html.tmpl
var templates embed.FS

//go:embed report.css
var style string

// maxRows bounds what a page shows; the JSON document has more.
const maxRows = 100 // measurements of one table

// HTML is the report as one file that needs nothing else: no script, no
// request.
func (r *Report) HTML() ([]byte, error) { return r.page(func(e EntryLink) string { return e.URL }) }

// page is the report's page, with these links to entries.
func (r *Report) page(href func(EntryLink) string) ([]byte, error) {
	return r.render("report", r, href)
}

// render makes a page by one of the templates.
func (r *Report) render(name string, data any, href func(EntryLink) string) ([]byte, error) {
	sum := sha256.Sum256([]byte(style))
	t, err := template.New("").Funcs(template.FuncMap{
		"visible": visible, "lines": lines, "folded": fold, "when": when, "date": date, "percent": coverage, "ago": age, "title": title, "objects": objects,
		"short": short, "levelName": levelName, "charts": r.charts, "name": r.nameOf, "log": r.log, "named": r.named, "rows": rows, "change": coverageChange, "lower": strings.ToLower,
		"plural": plural.Form[int], "thousands": thousands, "entries": entries, "stateText": stateText, "reasonText": reasonText, "typeText": typeText, "kinds": func() []monitor.Kind { return kinds },
		"standingText": standingText, "roleText": roleText, "keysText": keysText, "kindText": kindText, "kindLevel": kindLevel,
		"link": func(ref *monitor.EntryRef, url string) EntryLink { return EntryLink{*ref, url} }, "href": href,
		"add": func(a, b int) int { return a + b }, "intOf": func(n uint64) int { return int(n) },
		"interval": interval, "differences": differences, "tiles": r.tiles, "panels": panels, "assets": assets, "assetGroups": assetGroups, "differing": func() []monitor.FindingKind {
			return []monitor.FindingKind{monitor.Missing, monitor.Drift, monitor.Late, ""}
		},
		"changedAssets": changedAssets, "figuresAbout": figuresAbout, "kindCounts": kindCounts, "words": func(k monitor.AnomalyKind) string { return strings.ReplaceAll(string(k), "_", " ") }, "firstOf": firstOf, "value": comparedFinding.value,
		"section": func(about string) string { return sections[about][0] }, "sectionName": func(about string) string { return sections[about][1] },
		"text": func(v any) string { return fmt.Sprint(v) },
		// The style is this package's own file. The Content-Security-Policy allows it and nothing else: neither
		// scripts nor anything from elsewhere.
		"style": func() template.CSS { return template.CSS(style) }, "styleHash": func() string { return base64.StdEncoding.EncodeToString(sum[:]) },
	}).ParseFS(templates, "*.html.tmpl")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name+".html.tmpl", data); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}

// visible makes text that came from outside readable as what it is: marks that
// change the direction of writing, and what cannot be seen, are written out.
func visible(v any) string {
	var b strings.Builder
	for _, r := range fmt.Sprint(v) {
		if r == ' ' || unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// lines is visible of a text with lines.
func lines(text string) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range all {
		all[i] = visible(all[i])
	}
	return strings.Join(all, "\n")
}

// folded is a text, and whether it is long.
type folded struct {
	Start, Whole string
	Bytes        int
}

// fold makes text from outside visible, and folds away what is longer than
// most runes.
func fold(v any, most int) folded {
	f := folded{Whole: visible(v), Bytes: len(fmt.Sprint(v))}
	if runes := []rune(f.Whole); len(runes) > most {
		f.Start = string(runes[:most*2/3])
	}
	return f
}

// when writes a time of the report for people, to the second.
func when(text string) string {
	t, err := time.Parse(timeLayout, text)
	if err != nil {
		return text
	}
	return t.Format("2006-01-02 15:04:05") + " UTC"
}

// date is the day of a time, or the time when it is not midnight.
func date(text string) string {
	if t, err := time.Parse(timeLayout, text); err == nil && t.Equal(t.Truncate(24*time.Hour)) {
		return t.Format("2 January 2006")
	}
	return when(text)
}

// interval writes two times for people, days when they are that.
func interval(from, to string) string {
	a, errA := time.Parse(timeLayout, from)
	b, errB := time.Parse(timeLayout, to)
	if errA == nil && errB == nil && a.Equal(a.Truncate(24*time.Hour)) && b.Equal(b.Truncate(24*time.Hour)) {
		return a.Format(time.DateOnly) + " to " + b.Format(time.DateOnly)
	}
	return when(from) + " to " + when(to)
}

// coverage writes a fraction as percent.
func coverage(fraction string) string { return cmp.Or(monitor.Percent(fraction), "no data") }

// short is an entry id that people can tell from others.
func short(id string) string { return id[:min(12, len(id))] }

// sections are where the page says more about what needs attention.
var sections = map[string][2]string{
	"assessment": {"completeness", "Completeness ↓"}, "comparison": {"differences", "Differences ↓"},
	"endorsement": {"endorsements", "Endorsements ↓"}, "log": {"logs", "Logs ↓"}, "trust": {"trust", "Whose word counts ↓"},
}

func levelName(l attentionLevel) string {
	return map[attentionLevel]string{critical: "Critical", levelHigh: "High", levelMedium: "Medium", levelUnknown: "Unknown", levelLow: "Low", levelNone: "Good"}[l]
}

// rows are the points that a table shows, the newest first.
func rows(s series) []point {
	out := make([]point, 0, min(maxRows, len(s.Points)))
	for i := len(s.Points) - 1; i >= 0 && len(out) < maxRows; i-- {
		out = append(out, s.Points[i])
	}
	return out
}

// coverageChange says how the newest coverage differs from the one before.
func coverageChange(s series) string {
	if len(s.Points) < 2 {
		return ""
	}
	now, err := strconv.ParseFloat(s.Newest().Coverage, 64)
	before, errBefore := strconv.ParseFloat(s.Points[len(s.Points)-2].Coverage, 64)
	if err != nil || errBefore != nil {
		return ""
	}
	switch points := (now - before) * 100; {
	case points >= 0.005:
		return fmt.Sprintf("▲ %.2f points up", points)
	case points <= -0.005:
		return fmt.Sprintf("▼ %.2f points down", -points)
	}
	return "as before"
}

// thousands writes a number with a comma between thousands.
func thousands(v any) string {
	digits := fmt.Sprint(v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func entries(n uint64) string {
	if n == 1 {
		return "1 entry"
	}
	return thousands(n) + " entries"
}

func stateText(s state) string {
	if s == stateGood {
		return "Read and verified"
	}
	return strings.ToUpper(states[s][:1]) + states[s][1:]
}

func reasonText(r reason) string {
	return map[reason]string{
		reasonSignature: "Not signed by its issuer", reasonUnchecked: "Not checked: the issuer's key is not known", reasonStranger: "By somebody whose word does not count", reasonInvalid: "Not what its type says",
		reasonContent: "Content not available", reasonLater: "Signed after this report's time",
		reasonDuplicate: "In this log already", reasonAsOfLog: "Only as of this log, which is not its home", reasonScope: "Measured in another scope",
	}[r]
}

func standingText(s standing) string {
	return map[standing]string{
		standing(monitor.Holds): "in force", expiring: "expiring", standing(monitor.Expired): "expired", standing(monitor.Disputed): "disputed",
		standing(monitor.Withdrawn): "withdrawn", standing(monitor.NotYet): "not yet in force", standing(monitor.Unknown): "unknown",
	}[s]
}

func roleText(r role) string {
	return map[role]string{roleProvider: "a provider's log", roleAuditor: "an auditor's log", roleOwn: "your log", roleOther: "a log without a role"}[r]
}

func keysText(k keys) string {
	return map[keys]string{
		keysGiven: "Given by the reader", keysRemembered: "Remembered from when the log was first opened",
		keysFirstUse: "Taken on first use, in making this report", keysUnknown: "Not known",
	}[k]
}

// typeText is the kind in a media type of this project.
func typeText(typ string) string {
	return strings.TrimSuffix(strings.TrimPrefix(typ, "application/vnd.conmotion."), "+cose")
}

// named is a text in which issuers and logs that the reader named are called by their names.
func (r *Report) named(text string) string {
	for _, n := range r.Trust.Names {
		text = strings.ReplaceAll(text, n.Issuer, "«"+n.Name+"»")
	}
	return text
}

func kindText(k monitor.FindingKind) string {
	return map[monitor.FindingKind]string{
		monitor.Missing: "Missing", monitor.Drift: "Drifting", monitor.Undisclosed: "Hidden", monitor.Late: "Late", monitor.Phantom: "Never observed",
	}[k]
}

func kindLevel(k monitor.FindingKind) attentionLevel {
	return map[monitor.FindingKind]attentionLevel{monitor.Missing: levelHigh, monitor.Drift: levelMedium}[k]
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// firstOf are the first of a list.
func firstOf(list any, n int) any {
	v := reflect.ValueOf(list)
	return v.Slice(0, min(v.Len(), n)).Interface()
}
