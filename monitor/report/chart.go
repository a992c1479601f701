package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
)

// The chart's measures in its own units.
const (
	chartWidth, chartHeight = 400, 190
	plotLeft, plotRight     = 54, 390
	plotTop, plotBottom     = 12, 158
	maxMarks                = 150 // beyond them lines say it all
)

// chart is a plot over the report's interval, as numbers for the template.
type chart struct {
	Title, Text string // Text says in words what is to be seen
	Width       int
	Height      int
	Left, Right int
	Top, Bottom int
	YTicks      []tick
	XTicks      []tick
	Series      []plotted
}

type tick struct {
	At     string
	Label  string
	Anchor string // text-anchor
}

// plotted is one line of a chart.
type plotted struct {
	Class  string // of the kind
	Name   string
	Lines  []string // points of polylines; a gap is where there was no data
	Spans  []span   // the interval of each measurement
	Marks  []mark
	NoData []mark // measurements without data, at the bottom
	Size   string // half a mark
}

type span struct{ X1, X2, Y string }

type mark struct {
	X, Y  string
	Title string
}

// axis is what the vertical axis means. It begins at 0.
type axis struct {
	title string
	max   float64
	value func(point) (float64, bool) // false when there is none
	label func(float64) string
	text  func(point) string // the value in words
}

// plain writes a number with as many digits as it has.
func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// counted is the axis of a number of objects.
func counted(name string, of func(point) int) axis {
	return axis{
		title: name, label: func(v float64) string { return thousands(plain(v)) },
		text: func(p point) string { return thousands(of(p)) }, value: func(p point) (float64, bool) { return float64(of(p)), p.Data },
	}
}

// charts are the plots of an assessment.
func (r *Report) charts(a assessment) []chart {
	all := []axis{
		{title: "Coverage", max: 100, label: func(v float64) string { return plain(v) + " %" }, text: func(p point) string { return coverage(p.Coverage) },
			value: func(p point) (float64, bool) {
				v, err := strconv.ParseFloat(p.Coverage, 64)
				return v * 100, err == nil
			}},
		counted("Impact score", func(p point) int { return p.Impact }),
		counted("Missing", func(p point) int { return p.Missing }),
		counted("Drifting", func(p point) int { return p.Drift }),
		counted("Late", func(p point) int { return p.Late }),
	}
	var out []chart
	for _, y := range all {
		if y.max == 0 {
			y.max = y.top(a)
		}
		out = append(out, r.chart(a, y))
	}
	return out
}

// steps is how many parts the vertical axis has.
const steps = 4

// top is the end of an axis of counts: a round number that is not below any of them.
func (y axis) top(a assessment) float64 {
	high := 1.0
	for _, s := range a.Series {
		for _, p := range s.Points {
			if v, ok := y.value(p); ok {
				high = max(high, v)
			}
		}
	}
	for unit := 1.0; ; unit *= 10 {
		for _, n := range []float64{1, 2, 2.5, 5} {
			if top := steps * n * unit; top >= high && top == math.Trunc(top) {
				return top
			}
		}
	}
}

func (r *Report) chart(a assessment, y axis) chart {
	from, errFrom := time.Parse(timeLayout, r.From)
	to, errTo := time.Parse(timeLayout, r.To)
	c := chart{Title: y.title, Width: chartWidth, Height: chartHeight, Left: plotLeft, Right: plotRight, Top: plotTop, Bottom: plotBottom}
	if errFrom != nil || errTo != nil {
		return c // Make writes no other times
	}
	atX := func(text string) string {
		t, err := time.Parse(timeLayout, text)
		if err != nil || t.Before(from) {
			t = from
		}
		part := float64(t.Sub(from)) / float64(to.Sub(from))
		return coordinate(plotLeft + part*(plotRight-plotLeft))
	}
	atY := func(v float64) float64 { return plotBottom - v/y.max*(plotBottom-plotTop) }
	for i := range steps + 1 {
		v := y.max * float64(i) / steps
		c.YTicks = append(c.YTicks, tick{coordinate(atY(v)), y.label(v), "end"})
	}
	for i, anchor := range []string{"start", "middle", "end"} {
		t := from.Add(to.Sub(from) / 2 * time.Duration(i))
		c.XTicks = append(c.XTicks, tick{coordinate(plotLeft + float64(i)/2*(plotRight-plotLeft)), dayLabel(t, to.Sub(from)), anchor})
	}
	var words []string
	for _, s := range a.Series {
		p := plotted{Class: string(s.What), Name: title(s.What)}
		if p.Size = "3.6"; len(s.Points) > 20 {
			p.Size = "2.4"
		}
		var line []string
		flush := func() {
			if len(line) > 1 {
				p.Lines = append(p.Lines, strings.Join(line, " "))
			}
			line = nil
		}
		var low, high, last *point
		n := 0
		for i, one := range s.Points {
			x := atX(one.To)
			v, ok := y.value(one)
			shown := len(s.Points) <= maxMarks || i == len(s.Points)-1
			if !ok {
				flush()
				if shown {
					p.NoData = append(p.NoData, mark{X: x, Y: coordinate(plotBottom), Title: p.Name + ", " + when(one.To) + ": no data"})
				}
				continue
			}
			if i > 0 && one.From > s.Points[i-1].To {
				flush() // a time that nobody measured
			}
			n, last = n+1, &s.Points[i]
			if lowest, _ := y.at(low); low == nil || v < lowest {
				low = last
			}
			if highest, _ := y.at(high); high == nil || v > highest {
				high = last
			}
			at := coordinate(atY(v))
			line = append(line, x+","+at)
			if shown {
				p.Marks = append(p.Marks, mark{x, at, p.Name + ", " + when(one.To) + ": " + y.text(one)})
				p.Spans = append(p.Spans, span{atX(one.From), x, at})
			}
		}
		flush()
		c.Series = append(c.Series, p)
		if n == 0 {
			words = append(words, fmt.Sprintf("%s: %s, none with data.", p.Name, plural.Form(len(s.Points), "1 measurement", "%d measurements")))
			continue
		}
		words = append(words, fmt.Sprintf("%s: %s, lowest %s, highest %s, newest %s.", p.Name, plural.Form(len(s.Points), "1 measurement", "%d measurements"), y.text(*low), y.text(*high), y.text(*last)))
	}
	if n := len(c.Series); n > 1 && slices.Equal(c.Series[0].Lines, c.Series[1].Lines) && len(c.Series[0].Lines) > 0 {
		words = append(words, "Both lines are the same.")
	}
	c.Text = strings.Join(words, " ")
	return c // the dashed line on top of the other, which is seen through its gaps
}

// at is the value of a point, if there is one.
func (y axis) at(p *point) (float64, bool) {
	if p == nil {
		return 0, false
	}
	return y.value(*p)
}

// coordinate writes a number so that it is the same everywhere.
func coordinate(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

func title(what monitor.Kind) string {
	return map[monitor.Kind]string{monitor.Inventory: "Inventory", monitor.Configuration: "Configuration"}[what]
}

func dayLabel(t time.Time, long time.Duration) string {
	switch {
	case long >= 300*24*time.Hour:
		return t.Format("Jan 2006")
	case long >= 3*24*time.Hour:
		return t.Format("2 Jan")
	case long >= 24*time.Hour:
		return t.Format("2 Jan 15:04")
	}
	return t.Format("15:04:05")
}
