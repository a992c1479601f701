package report

import (
	"slices"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
)

// maxGroups bounds the groups of a breakdown; the others are one together.
const maxGroups = 50

// breakdown are the compared objects of a kind by something that records say of them.
type breakdown struct {
	By     string          `json:"by"`     // type, account or region
	Groups []monitor.Group `json:"groups"` // the worst first
	More   int             `json:"more"`   // groups beyond
	Others monitor.Group   `json:"others"` // and what is in them
	What   monitor.Kind    `json:"what"`
}

// breakdowns are those of a comparison, of the kinds that have objects.
func breakdowns(c *monitor.Comparison) []breakdown {
	out := []breakdown{}
	for _, what := range kinds {
		for _, by := range []string{"type", "account", "region"} {
			if groups := c.Breakdown(what, by); len(groups) > 0 {
				out = append(out, newBreakdown(what, by, groups, maxGroups))
			}
		}
	}
	return out
}

func newBreakdown(what monitor.Kind, by string, groups []monitor.Group, most int) breakdown {
	b := breakdown{By: by, What: what, Groups: groups, More: max(0, len(groups)-most)}
	b.Groups = groups[:len(groups)-b.More]
	for _, g := range groups[len(b.Groups):] {
		b.Others = together(b.Others, g)
	}
	return b
}

func together(a, b monitor.Group) monitor.Group {
	return monitor.Group{Drift: a.Drift + b.Drift, Late: a.Late + b.Late, Missing: a.Missing + b.Missing, Phantom: a.Phantom + b.Phantom, Union: a.Union + b.Union}
}

// maxBars bounds the bars of one breakdown on the page.
const maxBars = 8

// panel is what a page shows of the breakdowns of a kind.
type panel struct {
	What  monitor.Kind
	Parts []bars
	// Unsaid are what no record says anything of.
	Unsaid []string
}

// bars are the groups of a breakdown as bars.
type bars struct {
	By   string
	Bars []bar
}

// bar is a group of objects.
type bar struct {
	Name   string // "" where no record says it
	Others int    // in place of the name: how many groups
	Text   string
	Parts  []part
}

// part is the part of a bar that a kind of difference takes, in percent of its length.
type part struct {
	Kind     monitor.FindingKind
	X, Width string
}

// panels are the breakdowns of the kinds of which anything differs.
func panels(c comparison) (out []panel) {
	for _, what := range kinds {
		n := c.Metrics[what]
		if n == nil || levelOf(n.Severity()) == levelNone {
			continue
		}
		p := panel{What: what}
		for _, b := range c.Breakdown {
			switch {
			case b.What != what:
			case len(b.Groups) == 1 && b.Groups[0].Name == "":
				p.Unsaid = append(p.Unsaid, b.By)
			default:
				p.Parts = append(p.Parts, b.bars())
			}
		}
		out = append(out, p)
	}
	return out
}

func (b breakdown) bars() bars {
	shown := newBreakdown(b.What, b.By, b.Groups, maxBars)
	if shown.More+b.More > 0 {
		shown.More, shown.Others = shown.More+b.More, together(b.Others, shown.Others)
	}
	out := bars{By: b.By}
	add := func(g monitor.Group, others int) {
		// Each counts objects, and one may be several of these: the bar ends where all differ.
		var parts []part
		percent := func(n int) string { return strconv.FormatFloat(100*float64(n)/float64(max(1, g.Union)), 'f', 2, 64) }
		at := 0
		for _, d := range []struct {
			kind monitor.FindingKind
			n    int
		}{{monitor.Missing, g.Missing}, {monitor.Drift, g.Drift}, {monitor.Late, g.Late + g.Phantom}} {
			if n := min(d.n, g.Union-at); n > 0 {
				parts, at = append(parts, part{d.kind, percent(at), percent(n)}), at+n
			}
		}
		text := "0 of " + thousands(g.Union) + " differ"
		if found := differences(g.Missing, g.Drift, 0, g.Late, g.Phantom); found != "" {
			n, rest, _ := strings.Cut(found, " ")
			text = n + " of " + thousands(g.Union) + " " + rest
		}
		out.Bars = append(out.Bars, bar{g.Name, others, text, parts})
	}
	for _, g := range shown.Groups {
		add(g, 0)
	}
	if shown.More > 0 {
		add(shown.Others, shown.More)
	}
	return out
}

// asset is what differs about one asset, inventory and configuration together.
type asset struct {
	UID, Traits string
	Findings    []comparedFinding
}

// assets are the rows of a comparison, in the order of their worst difference.
func assets(c comparison) (out []*asset) {
	rows := map[string]*asset{}
	for _, f := range c.Findings {
		row := rows[f.UID]
		if row == nil {
			said := slices.DeleteFunc([]string{f.Type, f.Account, f.Region}, func(s string) bool { return s == "" })
			row = &asset{UID: f.UID, Traits: strings.Join(said, " · ")}
			rows[f.UID], out = row, append(out, row)
		}
		row.Findings = append(row.Findings, f)
	}
	return out
}

// The assets that a page shows of a comparison, in all its groups: as it opens, and unfolded.
const (
	maxShown  = 20
	maxFolded = 180
	maxTypes  = 10
)

// assetGroup are assets of a type.
type assetGroup struct {
	Type   string // "" where no record says it
	Others int    // in place of the type: how many types
	Text   string // how many assets are missing, drift, or came late; "" where there is one group
	Rows   []*asset
	Folded []*asset
	More   int // beyond Rows, with what is not on the page
}

// assetGroups are the assets that differ. Where they are many, they are grouped by their types, so that of each type some
// are shown; the types are in the order of their worst asset.
func assetGroups(rows []*asset) (out []*assetGroup) {
	byType := map[string]*assetGroup{}
	for _, row := range rows {
		name := ""
		if len(rows) > maxShown {
			name = row.Findings[0].Type
		}
		g := byType[name]
		switch {
		case g != nil:
		case len(out) < maxTypes:
			g = &assetGroup{Type: name}
			out = append(out, g)
		default:
			g = out[maxTypes-1]
			g.Others = max(1, g.Others) + 1
		}
		byType[name] = g
		g.Rows = append(g.Rows, row)
	}
	for _, g := range out {
		if len(out) > 1 {
			count := map[monitor.FindingKind]int{}
			for _, row := range g.Rows {
				for kind := range row.kinds() {
					count[kind]++
				}
			}
			g.Text = differences(count[monitor.Missing], count[monitor.Drift], count[monitor.Undisclosed], count[monitor.Late], count[monitor.Phantom])
		}
		shown := min(len(g.Rows), maxShown/len(out))
		folded := min(len(g.Rows), shown+maxFolded/len(out))
		g.More = len(g.Rows) - shown
		g.Rows, g.Folded = g.Rows[:shown], g.Rows[shown:folded]
	}
	return out
}

// kinds are the kinds of an asset's differences.
func (a *asset) kinds() map[monitor.FindingKind]bool {
	kinds := map[monitor.FindingKind]bool{}
	for _, f := range a.Findings {
		kinds[f.Kind] = true
	}
	return kinds
}

// value is what both sides have at the path with a number; nil where that was not kept.
func (f comparedFinding) value(i int) *values {
	if i < len(f.Values) {
		return &f.Values[i]
	}
	return nil
}

// tile is one figure at the top of the page.
type tile struct {
	Label, Value, Text, Section string
	Level                       attentionLevel
}

// tiles are the figures that matter most. Of each log of reports the worst counts that somebody measured, or the reader
// compared.
func (r *Report) tiles() []tile {
	type count struct{ bad, all int }
	sum := func(what monitor.Kind, of func(missing, drift, late int) int) (total count, known bool) {
		worst := map[string]count{}
		take := func(origin string, union, bad int) {
			known = true
			if old, ok := worst[origin]; !ok || bad > old.bad || bad == old.bad && union > old.all {
				worst[origin] = count{bad, union}
			}
		}
		for _, a := range r.Assessments {
			for _, s := range a.Series {
				if n := s.Newest(); s.What == what && n.Data {
					take(a.Origin, n.Union, of(n.Missing, n.Drift, n.Late))
				}
			}
		}
		for _, c := range r.Comparisons {
			if n := c.Metrics[what]; n != nil && n.Union > 0 && c.State == stateDone {
				take(c.Reported.Checkpoint.Origin, n.Union, of(n.Missing, n.Drift, n.Late))
			}
		}
		for _, c := range worst {
			total.bad, total.all = total.bad+c.bad, total.all+c.all
		}
		return total, known
	}
	one := func(label string, what monitor.Kind, section string, level func(count) attentionLevel, of func(missing, drift, late int) int) tile {
		n, known := sum(what, of)
		if !known {
			return tile{label, "–", "no data", "completeness", levelUnknown}
		}
		return tile{label, thousands(n.bad), "of " + objects(what, n.all), section, level(n)}
	}
	some := func(l attentionLevel) func(count) attentionLevel {
		return func(c count) attentionLevel {
			if c.bad == 0 {
				return levelNone
			}
			return l
		}
	}
	out := []tile{
		one("Missing", monitor.Inventory, "differences", func(c count) attentionLevel {
			return levelOf((&monitor.Metrics{Missing: c.bad, Union: c.all}).Severity())
		}, func(missing, _, _ int) int { return missing }),
		one("Drifting", monitor.Configuration, "differences", some(levelMedium), func(_, drift, _ int) int { return drift }),
		one("Reported late", monitor.Inventory, "differences", some(levelLow), func(_, _, late int) int { return late }),
	}
	doubt, all, level := 0, 0, levelNone
	for _, s := range r.Endorsements.Standings {
		if s.Verdict == monitor.Dispute {
			continue
		}
		all += s.Count
		if s.Standing != standing(monitor.Holds) && s.Standing != standing(monitor.NotYet) {
			doubt += s.Count
		}
	}
	for _, e := range r.Endorsements.List { // the worst first
		if e.Verdict == monitor.Endorse {
			level = worse(level, e.Level)
		}
	}
	endorsed := tile{"Endorsements in doubt", thousands(doubt), "of " + plural.Of(all, "endorsement"), "endorsements", level}
	if all == 0 {
		endorsed = tile{"Endorsements in doubt", "–", "nobody endorsed anything", "endorsements", levelUnknown}
	}
	good, level := 0, levelNone
	for _, l := range r.Logs {
		if l.State == stateGood {
			good++
		}
		level = worse(level, l.Level)
	}
	return append(out, endorsed, tile{"Logs verified", thousands(good), "of " + plural.Of(len(r.Logs), "log"), "logs", level})
}
