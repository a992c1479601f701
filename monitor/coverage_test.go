package monitor

import (
	"fmt"
	"strings"
	"testing"
)

// TestCoverageParts: which part of the time, and which types, a score is made of.
func TestCoverageParts(t *testing.T) {
	p := newPair(t)
	typed := func(e object, typ string) object {
		e["resources"].([]object)[0]["type"] = typ
		return e
	}
	p.auditor.record(typed(inventory(Create, noon, "a"), "vm"))
	p.auditor.record(typed(inventory(Create, noon, "b"), "vm"))
	p.auditor.record(typed(inventory(Create, noon, "c"), "db"))
	p.auditor.record(inventory(Create, noon+54*minute, "d"))
	p.provider.record(inventory(Create, noon, "a")) // the observation's type counts
	p.provider.record(typed(inventory(Create, noon+30*minute, "b"), "vm"))
	c := p.compare(hour)
	m := c.Metrics[Inventory]
	var got []string
	for _, b := range m.ByType {
		got = append(got, fmt.Sprintf("%q %d/%d missing %d %s/%s %s", b.Type, b.Reported, b.Observed, b.Missing, b.CoveredMS, b.ObservedMS, b.Coverage()))
	}
	want := `"" 0/1 missing 0 0/360000 0.000000; "db" 0/1 missing 1 0/3600000 0.000000; "vm" 2/2 missing 0 5400000/7200000 0.750000`
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	got = nil
	for _, b := range m.ByTime {
		got = append(got, b.CoveredMS+"/"+b.ObservedMS)
	}
	want = "360000/1080000 360000/1080000 360000/1080000 360000/1080000 360000/1080000 720000/1080000 720000/1080000 720000/1080000 720000/1080000 720000/1440000"
	if text := strings.Join(got, " "); text != want || m.ByTime[0].From != c.Interval.document().From || m.ByTime[9].To != c.Interval.document().To {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	// A hundred types, and all others.
	for n := range 103 {
		p.auditor.record(typed(inventory(Create, noon, fmt.Sprint("n", n)), fmt.Sprintf("t%03d", n)))
	}
	many := p.compare(hour).Metrics[Inventory].ByType
	if last := many[len(many)-1]; len(many) != 101 || last.Type != "*" || last.Observed+last.Missing == 0 || many[99].Type == "*" {
		t.Errorf("%d types, the last is %+v", len(many), last)
	}
	sum := 0
	for _, b := range many {
		sum += b.Observed
	}
	if sum != 107 {
		t.Errorf("%d objects in all types", sum)
	}
}

// TestPercent: what is not all is never called all.
func TestPercent(t *testing.T) {
	for coverage, want := range map[string]string{"0.000000": "0.00 %", "0.999999": "99.99 %", "1.000000": "100 %", "0.050100": "5.01 %", "0.123456": "12.34 %", "": "", "x": "", "0.5": ""} {
		if got := Percent(coverage); got != want {
			t.Errorf("%s is %q, not %q", coverage, got, want)
		}
	}
}
