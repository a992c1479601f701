package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/identity"
	"github.com/conmotion/conmotion/monitor/party"
)

// shownFindings is how many findings people are shown.
const shownFindings = 200

// compared is a comparison as --json prints it: in its canonical form, and with
// --confirm the confirmations on a line behind it.
type compared struct {
	comparison *monitor.Comparison
	confirm    int
	confirmed  []party.Confirmation
}

// confirmations follow a comparison that --json --confirm prints.
type confirmations struct {
	Confirmations []party.Confirmation `json:"confirmations"`
}

// Write writes the documents.
func (c compared) Write(w io.Writer) error {
	if err := c.comparison.Write(w); err != nil || c.confirm == 0 {
		return err
	}
	_, err := io.WriteString(w, "\n")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return errors.Join(err, enc.Encode(confirmations{c.confirmed}))
}

// showComparison shows the comparison, and what the search says of the missing
// objects, of which confirm were to be asked for.
func showComparison(p *cli.Page, c *monitor.Comparison, confirm int, confirmed []party.Confirmation) {
	rows := [][]string{{"interval", spanOf(c.Interval)}}
	for _, side := range []struct {
		name string
		side monitor.Side
	}{{"reported", c.Reported}, {"observed", c.Observed}} {
		filter := monitor.Filter{Issuers: side.side.Issuers, Types: side.side.Types}
		rows = append(rows, []string{side.name, fmt.Sprintf("%s, %d entries: %s", side.side.Checkpoint.Origin, side.side.Checkpoint.Size, filter)})
	}
	p.Rows(rows)
	showMetrics(p, c)
	showCoverage(p, monitor.Inventory, c.Metrics[monitor.Inventory])
	showCoverage(p, monitor.Configuration, c.Metrics[monitor.Configuration])
	showFindings(p, c)
	showConfirmations(p, c, confirm, confirmed)
	showAnomalies(p, "ANOMALY IN THE REPORTS", c.Reported.Anomalies, c.Reported.AnomaliesMore)
	showAnomalies(p, "ANOMALY IN THE OBSERVATIONS", c.Observed.Anomalies, c.Observed.AnomaliesMore)
	result, _ := compareResult(c)
	p.Line("")
	p.Line("%s", result)
}

func showMetrics(p *cli.Page, c *monitor.Comparison) {
	i, f := c.Metrics[monitor.Inventory], c.Metrics[monitor.Configuration]
	row := func(name string, get func(*monitor.Metrics) int) []string {
		return []string{name, fmt.Sprint(get(i)), fmt.Sprint(get(f))}
	}
	p.Table([]string{"", "INVENTORY", "CONFIGURATION"}, [][]string{
		row("observed", func(m *monitor.Metrics) int { return m.Observed }),
		row("reported", func(m *monitor.Metrics) int { return m.Reported }),
		row("missing", func(m *monitor.Metrics) int { return m.Missing }),
		row("phantom", func(m *monitor.Metrics) int { return m.Phantom }),
		row("drift", func(m *monitor.Metrics) int { return m.Drift }),
		row("inferred", func(m *monitor.Metrics) int { return m.Inferred }),
		row("undisclosed", func(m *monitor.Metrics) int { return m.Undisclosed }),
		row("late", func(m *monitor.Metrics) int { return m.Late }),
		row("pending", func(m *monitor.Metrics) int { return m.Pending }),
		{"longest lag", lag(i.LagLongest), lag(f.LagLongest)},
		{"median lag", lag(i.LagMedian), lag(f.LagMedian)},
	})
}

// showCoverage shows what stands beside a score: coverage by type of object and by time.
func showCoverage(p *cli.Page, what monitor.Kind, m *monitor.Metrics) {
	if m.Observed == 0 {
		return
	}
	var rows [][]string
	for _, t := range m.ByType {
		rows = append(rows, []string{cmp.Or(t.Type, "without a type"), fmt.Sprint(t.Observed), fmt.Sprint(t.Reported), fmt.Sprint(t.Missing), orDash(monitor.Percent(t.Coverage()))})
	}
	p.Table([]string{"COVERAGE, " + strings.ToUpper(string(what)), "OBSERVED", "REPORTED", "MISSING", "OF TIME"}, rows)
	rows = nil
	for _, t := range m.ByTime {
		rows = append(rows, []string{t.From, t.To, orDash(monitor.Percent(t.Coverage()))})
	}
	p.Table([]string{"FROM", "TO", "OF TIME"}, rows)
}

func lag(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }

func showFindings(p *cli.Page, c *monitor.Comparison) {
	var rows [][]string
	for _, f := range c.Findings[:min(len(c.Findings), shownFindings)] {
		detail := fmt.Sprintf("from %s to %s", f.From, f.To)
		if f.Kind == monitor.Late {
			detail = fmt.Sprintf("observed %s, reported %s later", f.From, lag(f.LagMS))
		}
		if len(f.Paths) > 0 {
			detail += " at " + strings.Join(differences(f), ", ")
		}
		if f.PathsMore > 0 {
			detail += fmt.Sprintf(" and %d more", f.PathsMore)
		}
		if f.Inferred {
			detail += "; an end is inferred from a scan"
		}
		if identity.Local(f.UID) {
			detail += "; the name is of one source, and others may have another for it"
		}
		rows = append(rows, []string{string(f.Kind), string(f.What), f.UID, place(f.Reported), place(f.Observed), detail})
	}
	p.Table([]string{"FINDING", "WHAT", "UID", "REPORTED", "OBSERVED", "DETAIL"}, rows)
	if left := len(c.Findings) - len(rows); left > 0 {
		p.Notice("and %s more; --json has them all", plural.Of(left, "finding"))
	}
}

// differences are the places where a finding's configurations differ, with what both sides have there.
func differences(f monitor.Finding) []string {
	places := slices.Clone(f.Paths)
	for i, v := range f.Values {
		places[i] += fmt.Sprintf(" (reported %s, observed %s)", cmp.Or(v[0], "nothing"), cmp.Or(v[1], "nothing"))
	}
	return places
}

func place(e *monitor.EntryRef) string {
	if e == nil {
		return "-"
	}
	return fmt.Sprintf("entry %d", e.Index)
}

// showConfirmations says how the missing objects were confirmed: by the
// search, and by the tiles, of which every entry has been read.
func showConfirmations(p *cli.Page, c *monitor.Comparison, confirm int, confirmed []party.Confirmation) {
	missing := 0
	for _, f := range c.Findings {
		if f.Kind == monitor.Missing {
			missing++
		}
	}
	if missing == 0 {
		return
	}
	p.Line("")
	p.Line("All %d entries up to the checkpoint of the reporting log were read and proven to be in its tree: none reports the %d missing in time.",
		c.Reported.Checkpoint.Size, missing)
	var rows [][]string
	for _, f := range confirmed {
		switch f.Search {
		case party.SearchUnknown:
			rows = append(rows, []string{string(f.What), f.UID, fmt.Sprintf("the provider's search does not know it, over %d entries", f.Size)})
		case party.SearchKnows:
			for _, e := range f.Entries {
				rows = append(rows, []string{string(f.What), f.UID, fmt.Sprintf("the provider's search knows it: entry %d; %s", e.Index, e.Why)})
			}
			if f.More {
				rows = append(rows, []string{string(f.What), f.UID, "and it knows more"})
			}
		default:
			rows = append(rows, []string{string(f.What), f.UID, "the provider's search says nothing: " + f.Detail})
		}
	}
	if left := missing - len(confirmed); left > 0 && confirm > 0 {
		p.Notice("the search was not asked for %s; see --confirm", plural.Of(left, "more missing object"))
	}
	p.Table([]string{"MISSING", "UID", "SEARCH"}, rows)
}
