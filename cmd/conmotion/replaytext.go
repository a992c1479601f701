package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
)

// shownAnomalies is how many anomalies people are shown.
const shownAnomalies = 100

func sameSelection(a, b monitor.Filter) bool {
	return slices.Equal(a.Issuers, b.Issuers) && slices.Equal(a.Types, b.Types)
}

// selection says whose statements count.
func selection(f monitor.Filter) string {
	var names []string
	for _, typ := range f.Types {
		name := typ
		for n, t := range statementTypes {
			if t == typ {
				name = n
			}
		}
		names = append(names, name)
	}
	who := "all issuers"
	if len(f.Issuers) > 0 {
		who = strings.Join(f.Issuers, ", ")
	}
	return strings.Join(names, ", ") + " of " + who
}

// printReplay prints a replay for people.
func (r *replaying) printReplay(replay *monitor.Replay) error {
	filter, until := replay.Selection()
	records, deferred := replay.Counts()
	assets, configs := replay.Assets(), replay.Configurations()
	found, more := replay.Anomalies()
	at, counted := "", fmt.Sprint(records)
	if until != nil {
		at = moment(until.UnixMilli())
		counted = fmt.Sprintf("%d, and %d of later events", records, deferred)
	}
	last := ""
	if t := replay.LastTime(); t != nil {
		last = moment(t.UnixMilli())
	}
	rows := [][]string{
		{"log", r.log.View.Checkpoint.Origin}, {"entries", fmt.Sprintf("%d of %d", replay.Next(), r.log.View.Checkpoint.Size)},
		{"at", at}, {"counted", selection(filter)}, {"records", counted}, {"last event", last},
		{"assets", fmt.Sprint(len(assets))}, {"configurations", fmt.Sprint(len(configs))}, {"anomalies", fmt.Sprint(uint64(len(found)) + more)},
		{"incomplete", replay.Unread().String()},
	}
	if err := r.PrintRows(rows); err != nil {
		return err
	}
	if err := r.printAssets(assets); err != nil {
		return err
	}
	if err := r.printConfigurations(configs); err != nil {
		return err
	}
	return r.printAnomalies("ANOMALY", found, more)
}

// table prints a table with a heading, and an empty line before it.
func (a *app) table(heading []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(a.Stdout); err != nil {
		return err
	}
	return a.PrintRows(append([][]string{heading}, rows...))
}

func (a *app) printAssets(assets []monitor.Asset) error {
	rows := make([][]string, 0, len(assets))
	for _, as := range assets {
		var configs []string
		for _, c := range as.Configurations {
			if c == as.UID {
				c = "its own"
			}
			configs = append(configs, cell(c))
		}
		rows = append(rows, []string{cell(as.UID), moment(as.Created.Time), moment(as.Last.Time), fmt.Sprint(as.Last.Index), orDash(strings.Join(configs, ", "))})
	}
	return a.table([]string{"ASSET", "SINCE", "LAST RECORD", "ENTRY", "CONFIGURATIONS"}, rows)
}

func (a *app) printConfigurations(configs []monitor.ConfigurationState) error {
	rows := make([][]string, 0, len(configs))
	for _, c := range configs {
		assets := cell(strings.Join(c.Assets, ", "))
		if len(c.Assets) == 1 && c.Assets[0] == c.UID {
			assets = "its own"
		}
		rows = append(rows, []string{cell(c.UID), moment(c.Created.Time), moment(c.Last.Time), fmt.Sprint(c.Last.Index), c.SHA256[:16], orDash(assets)})
	}
	return a.table([]string{"CONFIGURATION", "SINCE", "LAST RECORD", "ENTRY", "CONTENT SHA-256", "ASSETS"}, rows)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printAnomalies prints the first anomalies.
func (a *app) printAnomalies(heading string, found []monitor.Anomaly, more uint64) error {
	var rows [][]string
	for _, f := range found[:min(len(found), shownAnomalies)] {
		about := string(f.What) + " " + f.UID
		if f.UID == "" {
			about = "chain " + f.Chain
		}
		if f.UID == "" && f.Chain == "" {
			about = "-"
		}
		previous := ""
		if f.Previous != nil {
			previous = fmt.Sprintf(" after entry %d", f.Previous.Index)
		}
		rows = append(rows, []string{string(f.Kind), fmt.Sprint(f.Entry.Index) + previous, cell(about), orDash(cell(f.Meaning()))})
	}
	if err := a.table([]string{heading, "ENTRY", "ABOUT", "DETAIL"}, rows); err != nil {
		return err
	}
	if left := uint64(len(found)-len(rows)) + more; left > 0 {
		a.Notice("and %s more; the document of --json lists the first 10000", plural.Of(left, "anomaly"))
	}
	return nil
}

// printHistory prints the records about one asset.
func (r *replaying) printHistory(h *monitor.History) error {
	if err := r.PrintRows([][]string{{"log", h.Origin}, {"asset", cell(h.UID)}, {"records", fmt.Sprint(len(h.Steps))}}); err != nil {
		return err
	}
	var rows [][]string
	for _, s := range h.Steps {
		about := "the asset"
		if s.What == monitor.Configuration {
			about = cell(strings.Join(s.Configurations, ", "))
			if len(s.Configurations) == 1 && s.Configurations[0] == h.UID {
				about = "its own configuration"
			}
		}
		rows = append(rows, []string{moment(s.Entry.Time), string(s.What) + "." + string(s.Action), about, fmt.Sprint(s.Entry.Index), s.Entry.EntryID, cell(s.Issuer)})
	}
	return r.table([]string{"TIME", "EVENT", "ABOUT", "ENTRY", "ENTRY ID", "ISSUER"}, rows)
}

// printDifference prints what changed.
func (r *replaying) printDifference(d *monitor.Difference) error {
	if err := r.PrintRows([][]string{{"log", d.Origin}, {"changes", fmt.Sprint(len(d.Changes))}}); err != nil {
		return err
	}
	var rows [][]string
	for _, c := range d.Changes {
		var before, after string
		if c.Before != nil {
			before = fmt.Sprintf("entry %d", c.Before.Index)
		}
		if c.After != nil {
			after = fmt.Sprintf("entry %d", c.After.Index)
		}
		rows = append(rows, []string{string(c.What), cell(c.UID), changeName(c), orDash(before), orDash(after)})
	}
	return r.table([]string{"WHAT", "UID", "CHANGE", "BEFORE", "AFTER"}, rows)
}

func changeName(c monitor.Change) string {
	switch {
	case c.Before == nil:
		return "new"
	case c.After == nil:
		return "gone"
	}
	var names []string
	if c.Content {
		names = append(names, "content")
	}
	if c.Links {
		names = append(names, map[monitor.Kind]string{monitor.Inventory: "configurations", monitor.Configuration: "assets"}[c.What])
	}
	if len(names) == 0 {
		return "recorded again"
	}
	return strings.Join(names, ", ")
}
