package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/identity"
)

// shownFindings is how many findings people are shown.
const shownFindings = 200

// confirmations follow a comparison that --json --confirm prints.
type confirmations struct {
	Confirmations []confirmation `json:"confirmations"`
}

// printComparison prints the comparison, and what the search says of the
// missing objects, of which confirm were to be asked for.
func (a *app) printComparison(c *monitor.Comparison, confirm int, confirmed []confirmation) error {
	if a.JSON {
		if err := c.Write(a.Stdout); err != nil || confirm == 0 {
			return err
		}
		if _, err := fmt.Fprintln(a.Stdout); err != nil {
			return err
		}
		return a.PrintJSONLine(confirmations{confirmed})
	}
	in := c.Interval
	rows := [][]string{{"interval", fmt.Sprintf("%s to %s, grace %v", moment(in.From.UnixMilli()), moment(in.To.UnixMilli()), in.Grace)}}
	for _, side := range []struct {
		name string
		side monitor.Side
	}{{"reported", c.Reported}, {"observed", c.Observed}} {
		filter := monitor.Filter{Issuers: side.side.Issuers, Types: side.side.Types}
		rows = append(rows, []string{side.name, fmt.Sprintf("%s, %d entries: %s", side.side.Checkpoint.Origin, side.side.Checkpoint.Size, selection(filter))})
	}
	if err := a.PrintRows(rows); err != nil {
		return err
	}
	if err := a.printMetrics(c); err != nil {
		return err
	}
	if err := a.printFindings(c); err != nil {
		return err
	}
	if err := a.printConfirmations(c, confirm, confirmed); err != nil {
		return err
	}
	if err := a.printAnomalies("ANOMALY IN THE REPORTS", c.Reported.Anomalies, c.Reported.AnomaliesMore); err != nil {
		return err
	}
	if err := a.printAnomalies("ANOMALY IN THE OBSERVATIONS", c.Observed.Anomalies, c.Observed.AnomaliesMore); err != nil {
		return err
	}
	result := "nothing differs"
	found, anomalies := differs(c)
	counts := plural.Of(found, "finding") + ", " + plural.Of(anomalies, "anomaly")
	switch {
	case c.Unread().Any():
		result = fmt.Sprintf("INCOMPLETE: %s; so far %s", c.Unread(), counts)
	case found+anomalies > 0:
		result = "DIFFERENT: " + counts
	}
	_, err := fmt.Fprintf(a.Stdout, "\n%s\n", result)
	return err
}

func (a *app) printMetrics(c *monitor.Comparison) error {
	i, f := c.Metrics[monitor.Inventory], c.Metrics[monitor.Configuration]
	row := func(name string, get func(*monitor.Metrics) int) []string {
		return []string{name, fmt.Sprint(get(i)), fmt.Sprint(get(f))}
	}
	return a.table([]string{"", "INVENTORY", "CONFIGURATION"}, [][]string{
		row("observed", func(m *monitor.Metrics) int { return m.Observed }),
		row("reported", func(m *monitor.Metrics) int { return m.Reported }),
		row("missing", func(m *monitor.Metrics) int { return m.Missing }),
		row("phantom", func(m *monitor.Metrics) int { return m.Phantom }),
		row("drift", func(m *monitor.Metrics) int { return m.Drift }),
		row("inferred", func(m *monitor.Metrics) int { return m.Inferred }),
		row("late", func(m *monitor.Metrics) int { return m.Late }),
		row("pending", func(m *monitor.Metrics) int { return m.Pending }),
		{"longest lag", lag(i.LagLongest), lag(f.LagLongest)},
		{"median lag", lag(i.LagMedian), lag(f.LagMedian)},
	})
}

func lag(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }

func (a *app) printFindings(c *monitor.Comparison) error {
	var rows [][]string
	for _, f := range c.Findings[:min(len(c.Findings), shownFindings)] {
		detail := fmt.Sprintf("from %s to %s", f.From, f.To)
		if f.Kind == monitor.Late {
			detail = fmt.Sprintf("observed %s, reported %s later", f.From, lag(f.LagMS))
		}
		if len(f.Paths) > 0 {
			detail += " at " + strings.Join(f.Paths, ", ")
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
		rows = append(rows, []string{string(f.Kind), string(f.What), cell(f.UID), place(f.Reported), place(f.Observed), cell(detail)})
	}
	if err := a.table([]string{"FINDING", "WHAT", "UID", "REPORTED", "OBSERVED", "DETAIL"}, rows); err != nil {
		return err
	}
	if left := len(c.Findings) - len(rows); left > 0 {
		a.Notice("and %d findings more; --json has them all", left)
	}
	return nil
}

func place(e *monitor.EntryRef) string {
	if e == nil {
		return "-"
	}
	return fmt.Sprintf("entry %d", e.Index)
}

// printConfirmations says how the missing objects were confirmed: by the
// search, and by the tiles, of which every entry has been read.
func (a *app) printConfirmations(c *monitor.Comparison, confirm int, confirmed []confirmation) error {
	missing := 0
	for _, f := range c.Findings {
		if f.Kind == monitor.Missing {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(a.Stdout, "\nAll %d entries up to the checkpoint of the reporting log were read and proven to be in its tree: none reports the %d missing in time.\n",
		c.Reported.Checkpoint.Size, missing); err != nil {
		return err
	}
	var rows [][]string
	for _, f := range confirmed {
		switch f.Search {
		case searchUnknown:
			rows = append(rows, []string{string(f.What), cell(f.UID), fmt.Sprintf("the provider's search does not know it, over %d entries", f.Size)})
		case searchKnows:
			for _, e := range f.Entries {
				rows = append(rows, []string{string(f.What), cell(f.UID), cell(fmt.Sprintf("the provider's search knows it: entry %d; %s", e.Index, e.Why))})
			}
			if f.More {
				rows = append(rows, []string{string(f.What), cell(f.UID), "and it knows more"})
			}
		default:
			rows = append(rows, []string{string(f.What), cell(f.UID), cell("the provider's search says nothing: " + f.Detail)})
		}
	}
	if left := missing - len(confirmed); left > 0 && confirm > 0 {
		a.Notice("and %d missing objects the search was not asked for; see --confirm", left)
	}
	return a.table([]string{"MISSING", "UID", "SEARCH"}, rows)
}
