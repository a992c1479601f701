package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/monitor"
)

// ErrReport is wrapped by errors about a document that is no report of this version.
var ErrReport = errors.New("not a report of this version")

// Parse reads the JSON of a report, and nothing that is not one. Errors wrap [ErrReport].
func Parse(data []byte) (*Report, error) {
	var r Report
	err := json.Unmarshal(data, &r)
	if err == nil && r.Format != documentFormat {
		err = fmt.Errorf("its format is %.40q", r.Format)
	}
	var again []byte
	if err == nil {
		again, err = r.JSON()
	}
	if err == nil {
		if paths, _ := jsonx.Diff(data, again, 1); len(paths) > 0 && paths[0] != "$" {
			err = fmt.Errorf("it has something else at %.80s", paths[0])
		}
	}
	for _, l := range r.Logs {
		if l.State != stateGood && states[l.State] == "" {
			err = fmt.Errorf("it has a log in the state %.40q, which is none", l.State)
		}
	}
	for _, a := range r.Assessments {
		if slices.ContainsFunc(a.Series, func(s series) bool { return len(s.Points) == 0 }) {
			err = errors.New("it has a series without measurements")
		}
	}
	for _, c := range r.Comparisons {
		for _, what := range kinds {
			if c.State == stateDone && c.Metrics[what] == nil {
				err = errors.New("it has a comparison without numbers")
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReport, err)
	}
	return &r, nil
}

// changes are what is otherwise than in the report before.
type changes struct {
	At      string         `json:"at"` // what it was made for
	Figures []figure       `json:"figures"`
	From    string         `json:"from"`
	Gone    []change       `json:"gone"` // differences that are not there any more
	Level   attentionLevel `json:"level"`
	New     []change       `json:"new"` // differences that were not there
	To      string         `json:"to"`
	// Whole is false where one of the reports does not list every difference of a
	// pair of logs, or has none of them: of those nothing is new or gone.
	Whole bool `json:"whole"`
}

// figure is a number that is another one.
type figure struct {
	About  string `json:"about"`
	Before string `json:"before"` // "" where there was none
	Name   string `json:"name"`
	Now    string `json:"now"` // "" where there is none
	Trend  trend  `json:"trend"`
}

// trend is which way a figure went.
type trend string

const (
	trendBetter trend = "better"
	trendWorse  trend = "worse"
	trendOther  trend = "other" // neither, or it was not there on one side
)

// change is a difference between logs that came or went.
type change struct {
	Kind   monitor.FindingKind `json:"kind"`
	Origin string              `json:"origin"` // of the log of reports
	UID    string              `json:"uid"`
	What   monitor.Kind        `json:"what"`
}

// changed holds the report against the one before.
func (m *maker) changed() {
	before := m.Before
	if before == nil {
		return
	}
	out := &changes{At: before.At, From: before.From, To: before.To, Level: before.Level, Figures: []figure{}, New: []change{}, Gone: []change{}, Whole: true}
	m.r.Before = out
	old, now := before.figures(), m.r.figures()
	for _, f := range now {
		i := slices.IndexFunc(old, func(o figure) bool { return o.About == f.About && o.Name == f.Name })
		if i >= 0 {
			f.Before = old[i].Now
			old = slices.Delete(old, i, i+1)
		}
		if f.Before != f.Now {
			f.Trend = f.went()
			out.Figures = append(out.Figures, f)
		}
	}
	for _, f := range old {
		out.Figures = append(out.Figures, figure{f.About, f.Now, f.Name, "", trendOther})
	}
	for _, c := range m.r.Comparisons {
		i := slices.IndexFunc(before.Comparisons, func(o comparison) bool { return o.about() == c.about() })
		if i < 0 || !c.lists() || !before.Comparisons[i].lists() {
			out.Whole = false
			continue
		}
		out.New = append(out.New, c.but(before.Comparisons[i])...)
		out.Gone = append(out.Gone, before.Comparisons[i].but(c)...)
	}
}

func (c comparison) about() string {
	return c.Observed.Checkpoint.Origin + " on " + c.Reported.Checkpoint.Origin
}

// lists reports whether all differences are known, and listed.
func (c comparison) lists() bool {
	return c.State == stateDone && c.FindingsMore == 0 && !c.Reported.Unread.Plus(c.Observed.Unread).Any()
}

// but are the differences that another comparison of the same logs does not have.
func (c comparison) but(other comparison) (list []change) {
	has := map[change]bool{}
	of := func(f comparedFinding) change { return change{f.Kind, c.Reported.Checkpoint.Origin, f.UID, f.What} }
	for _, f := range other.Findings {
		has[of(f)] = true
	}
	for _, f := range c.Findings {
		if one := of(f); !has[one] {
			has[one] = true
			list = append(list, one)
		}
	}
	return list
}

// The names of figures of which more is better, or neither.
const (
	figureCoverage = "coverage"
	figureAll      = "objects"
	figureLevel    = "level"
	figureState    = "state"
)

// figures are the numbers that a later report is held against.
func (r *Report) figures() (out []figure) {
	add := func(about, name string, value any) {
		out = append(out, figure{About: about, Name: name, Now: fmt.Sprint(value)})
	}
	counts := func(about string, union, missing, drift, late int) {
		add(about, figureAll, thousands(union))
		add(about, "missing", thousands(missing))
		add(about, "drifting", thousands(drift))
		add(about, "late", thousands(late))
	}
	for _, a := range r.Assessments {
		for _, s := range a.Series {
			n, about := s.Newest(), fmt.Sprintf("%s of %s, as %s measured it", title(s.What), a.Origin, a.Issuer)
			if n.Data {
				add(about, "impact score", n.Impact)
			}
			if n.Coverage != "" {
				add(about, figureCoverage, coverage(n.Coverage))
			}
			counts(about, n.Union, n.Missing, n.Drift, n.Late)
		}
	}
	for _, c := range r.Comparisons {
		for _, what := range kinds {
			if n := c.Metrics[what]; n != nil && n.Union > 0 {
				counts(fmt.Sprintf("%s, compared: %s", title(what), c.about()), n.Union, n.Missing, n.Drift, n.Late)
			}
		}
	}
	for _, s := range r.Endorsements.Standings {
		name := standingText(s.Standing)
		if s.Verdict == monitor.Dispute {
			name = "disputes " + name
		}
		add("Endorsements", name, s.Count)
	}
	for _, l := range r.Logs {
		name := l.Origin
		if name == "" {
			name = l.Location
		}
		add("Log "+name, figureState, lowerFirst(stateText(l.State)))
		add("Log "+name, figureLevel, lowerFirst(levelName(l.Level)))
	}
	return out
}

// went says which way a number went.
func (f figure) went() trend {
	value := func(s string) (float64, error) {
		return strconv.ParseFloat(strings.ReplaceAll(strings.TrimSuffix(s, " %"), ",", ""), 64)
	}
	before, err := value(f.Before)
	now, errNow := value(f.Now)
	up := map[bool]trend{true: trendWorse, false: trendBetter}
	switch {
	case f.About == "Endorsements", f.Name == figureAll, err != nil, errNow != nil:
		return trendOther
	case f.Name == figureCoverage:
		return up[now < before]
	}
	return up[now > before]
}

// changedAsset is an asset with differences of one kind that came or went.
type changedAsset struct {
	Kind  monitor.FindingKind
	UID   string
	Whats []monitor.Kind // of its inventory, its configuration, or both
}

// changedAssets are the rows of differences that came or went: inventory and configuration of an asset together.
func changedAssets(list []change) (out []*changedAsset) {
	rows := map[change]*changedAsset{}
	for _, c := range list {
		key := change{Kind: c.Kind, Origin: c.Origin, UID: c.UID}
		if rows[key] == nil {
			rows[key] = &changedAsset{Kind: c.Kind, UID: c.UID}
			out = append(out, rows[key])
		}
		rows[key].Whats = append(rows[key].Whats, c.What)
	}
	return out
}

// kindCounts says how many differences there are of each kind; "" where there is one of them.
func kindCounts(list []change) string {
	count := map[monitor.FindingKind]int{}
	for _, c := range list {
		count[c.Kind]++
	}
	if len(list) == 1 {
		return ""
	}
	return differences(count[monitor.Missing], count[monitor.Drift], count[monitor.Undisclosed], count[monitor.Late], count[monitor.Phantom])
}

// figuresAbout are figures, those about the same thing together.
func figuresAbout(list []figure) (out [][]figure) {
	for _, f := range list {
		i := slices.IndexFunc(out, func(g []figure) bool { return g[0].About == f.About })
		if i < 0 {
			i, out = len(out), append(out, nil)
		}
		out[i] = append(out[i], f)
	}
	return out
}
