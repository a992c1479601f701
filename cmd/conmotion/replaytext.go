package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
)

// shownAnomalies is how many anomalies people are shown.
const shownAnomalies = 100

// showReplay shows a replay.
func (r *replaying) showReplay(replay *monitor.Replay) func(*cli.Page) {
	return func(p *cli.Page) {
		filter, until := replay.Selection()
		records, deferred := replay.Counts()
		assets, configs := replay.Assets(), replay.Configurations()
		found, more := replay.Anomalies()
		at, counted, last := "", fmt.Sprint(records), ""
		if until != nil {
			at = printable.Moment(until.UnixMilli())
			counted = fmt.Sprintf("%d, and %d of later events", records, deferred)
		}
		if t := replay.LastTime(); t != nil {
			last = printable.Moment(t.UnixMilli())
		}
		p.Rows([][]string{
			{"log", r.log.Origin()}, {"entries", fmt.Sprintf("%d of %d", replay.Next(), r.log.View.Checkpoint.Size)},
			{"at", at}, {"counted", filter.String()}, {"records", counted}, {"last event", last},
			{"assets", fmt.Sprint(len(assets))}, {"configurations", fmt.Sprint(len(configs))}, {"anomalies", fmt.Sprint(uint64(len(found)) + more)},
			{"incomplete", replay.Unread().String()},
		})
		showAssets(p, assets)
		showConfigurations(p, configs)
		showHandovers(p, replay.Handovers())
		showAnomalies(p, "ANOMALY", found, more)
	}
}

// showHandovers shows which chains went on under other issuers.
func showHandovers(p *cli.Page, list []monitor.Handover) {
	var rows [][]string
	for _, h := range list {
		rows = append(rows, []string{h.Chain, fmt.Sprint(h.Entry.Index), h.From, h.To})
	}
	p.Table([]string{"CHAIN HANDED OVER", "ENTRY", "FROM", "TO"}, rows)
}

func showAssets(p *cli.Page, assets []monitor.Asset) {
	var rows [][]string
	for _, as := range assets {
		var configs []string
		for _, c := range as.Configurations {
			if c == as.UID {
				c = "its own"
			}
			configs = append(configs, c)
		}
		rows = append(rows, []string{as.UID, printable.Moment(as.Created.Time), printable.Moment(as.Last.Time), fmt.Sprint(as.Last.Index), orDash(strings.Join(configs, ", "))})
	}
	p.Table([]string{"ASSET", "SINCE", "LAST RECORD", "ENTRY", "CONFIGURATIONS"}, rows)
}

func showConfigurations(p *cli.Page, configs []monitor.ConfigurationState) {
	var rows [][]string
	for _, c := range configs {
		assets := strings.Join(c.Assets, ", ")
		if len(c.Assets) == 1 && c.Assets[0] == c.UID {
			assets = "its own"
		}
		rows = append(rows, []string{c.UID, printable.Moment(c.Created.Time), printable.Moment(c.Last.Time), fmt.Sprint(c.Last.Index), c.SHA256[:16], orDash(assets)})
	}
	p.Table([]string{"CONFIGURATION", "SINCE", "LAST RECORD", "ENTRY", "CONTENT SHA-256", "ASSETS"}, rows)
}

// orDash is a cell that is not empty.
func orDash(s string) string { return cmp.Or(s, "-") }

// showAnomalies shows the first anomalies.
func showAnomalies(p *cli.Page, heading string, found []monitor.Anomaly, more uint64) {
	var rows [][]string
	for _, f := range found[:min(len(found), shownAnomalies)] {
		about := "-"
		switch {
		case f.UID != "":
			about = string(f.What) + " " + f.UID
		case f.Chain != "":
			about = "chain " + f.Chain
		}
		previous := ""
		if f.Previous != nil {
			previous = fmt.Sprintf(" after entry %d", f.Previous.Index)
		}
		rows = append(rows, []string{string(f.Kind), fmt.Sprint(f.Entry.Index) + previous, about, orDash(f.Meaning())})
	}
	p.Table([]string{heading, "ENTRY", "ABOUT", "DETAIL"}, rows)
	if left := uint64(len(found)-len(rows)) + more; left > 0 {
		p.Notice("and %s more; the document of --json lists the first 10000", plural.Of(left, "anomaly"))
	}
}

// showHistory shows the records about one asset.
func showHistory(h *monitor.History) func(*cli.Page) {
	return func(p *cli.Page) {
		p.Rows([][]string{{"log", h.Origin}, {"asset", h.UID}, {"records", fmt.Sprint(len(h.Steps))}})
		var rows [][]string
		for _, s := range h.Steps {
			about := "the asset"
			if s.What == monitor.Configuration {
				about = strings.Join(s.Configurations, ", ")
				if len(s.Configurations) == 1 && s.Configurations[0] == h.UID {
					about = "its own configuration"
				}
			}
			rows = append(rows, []string{printable.Moment(s.Entry.Time), string(s.What) + "." + string(s.Action), about, fmt.Sprint(s.Entry.Index), s.Entry.EntryID, s.Issuer})
		}
		p.Table([]string{"TIME", "EVENT", "ABOUT", "ENTRY", "ENTRY ID", "ISSUER"}, rows)
	}
}

// showDifference shows what changed.
func showDifference(d *monitor.Difference) func(*cli.Page) {
	return func(p *cli.Page) {
		p.Rows([][]string{{"log", d.Origin}, {"changes", fmt.Sprint(len(d.Changes))}})
		var rows [][]string
		for _, c := range d.Changes {
			before, after := "-", "-"
			if c.Before != nil {
				before = fmt.Sprintf("entry %d", c.Before.Index)
			}
			if c.After != nil {
				after = fmt.Sprintf("entry %d", c.After.Index)
			}
			rows = append(rows, []string{string(c.What), c.UID, changeName(c), before, after})
		}
		p.Table([]string{"WHAT", "UID", "CHANGE", "BEFORE", "AFTER"}, rows)
	}
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

// showFollowed shows what an asset rests on, as a tree.
func showFollowed(p *cli.Page, n *party.Followed, indent string) {
	p.Line("%s%s in %s", indent, n.Asset, n.Origin)
	indent += "  "
	switch {
	case n.Note != "":
		p.Line("%s%s", indent, n.Note)
	case len(n.Links) == 0:
		p.Line("%srests on nothing in another log", indent)
	}
	how := map[string]string{party.WithLog: "in its log", party.WithEmbedded: "with the Receipt that is embedded"}
	for _, l := range n.Links {
		var with []string
		for _, v := range l.Verified {
			with = append(with, how[v])
		}
		state := "verified " + strings.Join(with, " and ")
		if l.Error != "" {
			state = "NOT VERIFIED: " + l.Error
		}
		p.Line("%s%s, entry %d, by %s", indent, l.By, l.From.Index, l.Issuer)
		p.Line("%s-> %s, %s", indent, &l.To, state)
		if l.Home != "" {
			p.Line("%s   only as of this log: its home is %s", indent, l.Home)
		}
		if l.Says != "" {
			p.Line("%s   %s by %s", indent, l.Says, l.Signer)
		}
		for i := range l.Upstream {
			showFollowed(p, &l.Upstream[i], indent+"   ")
		}
	}
}
