package report

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/monitor"
)

// found are differences about n assets of a type.
func found(n int, kind monitor.FindingKind, what monitor.Kind, typ string) (out []comparedFinding) {
	for i := range n {
		out = append(out, comparedFinding{Finding: monitor.Finding{Kind: kind, What: what, UID: fmt.Sprintf("%s/%d", typ, i)}, Type: typ})
	}
	return out
}

// TestAssetGroups: of many assets each type has its rows on the page, with how many are what, and none is left out without
// a word.
func TestAssetGroups(t *testing.T) {
	many := func(types int) (out []comparedFinding) {
		for i := range types {
			out = append(out, found(30, monitor.Missing, monitor.Inventory, fmt.Sprint("t", i))...)
		}
		return out
	}
	for name, c := range map[string]struct {
		findings []comparedFinding
		want     []string // type and others, text, rows, folded, more
	}{
		"few are one group": {slices.Concat(found(10, monitor.Missing, monitor.Inventory, "db"), found(10, monitor.Late, monitor.Inventory, "vm")), []string{` 0 "" 20 0 0`}},
		"many of one type":  {found(300, monitor.Missing, monitor.Inventory, "db"), []string{`db 0 "" 20 180 280`}},
		"by type": {slices.Concat(found(1500, monitor.Missing, monitor.Inventory, "db"), found(30, monitor.Drift, monitor.Configuration, "vm"),
			found(1500, monitor.Missing, monitor.Configuration, "db"), found(3, monitor.Late, monitor.Inventory, "vm"), found(1, monitor.Phantom, monitor.Inventory, "")),
			[]string{`db 0 "1,500 missing" 6 60 1494`, `vm 0 "30 drifting, 3 late" 6 24 24`, ` 0 "1 never observed" 1 0 0`}},
		"the last types together": {many(12), append(slices.Repeat([]string{`t 0 "30 missing" 2 18 28`}, 9), `t 3 "90 missing" 2 18 88`)},
	} {
		var got []string
		for _, g := range assetGroups(assets(comparison{Findings: c.findings})) {
			got = append(got, fmt.Sprintf("%s %d %q %d %d %d", strings.TrimRight(g.Type, "0123456789"), g.Others, g.Text, len(g.Rows), len(g.Folded), g.More))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestBars: each difference has its part of the bar, and no bar is longer than its objects.
func TestBars(t *testing.T) {
	for _, c := range []struct {
		group monitor.Group
		want  []part
		text  string
	}{
		{monitor.Group{Union: 4}, nil, "0 of 4 differ"},
		{monitor.Group{Union: 500, Missing: 300, Drift: 150, Late: 25}, []part{{monitor.Missing, "0.00", "60.00"}, {monitor.Drift, "60.00", "30.00"}, {monitor.Late, "90.00", "5.00"}},
			"300 of 500 missing, 150 drifting, 25 late"},
		{monitor.Group{Union: 4, Drift: 4, Late: 2}, []part{{monitor.Drift, "0.00", "100.00"}}, "4 of 4 drifting, 2 late"},
		{monitor.Group{Union: 4, Missing: 3, Phantom: 9}, []part{{monitor.Missing, "0.00", "75.00"}, {monitor.Late, "75.00", "25.00"}}, "3 of 4 missing, 9 never observed"},
	} {
		b := newBreakdown(monitor.Configuration, "type", []monitor.Group{c.group}, 1).bars().Bars[0]
		if !reflect.DeepEqual(b.Parts, c.want) || b.Text != c.text {
			t.Errorf("%+v: %+v", c.group, b)
		}
	}
}

// TestMostMissing: the first box says where most of what is missing is, if it is in one place.
func TestMostMissing(t *testing.T) {
	of := func(by string, groups ...monitor.Group) breakdown {
		return breakdown{By: by, What: monitor.Inventory, Groups: groups}
	}
	c := comparison{Breakdown: []breakdown{
		of("type", monitor.Group{Name: "db", Missing: 1500}, monitor.Group{Name: "vm"}),
		of("account", monitor.Group{Name: "1", Missing: 1000}, monitor.Group{Name: "2", Missing: 500}),
		of("region", monitor.Group{Name: "eu", Missing: 750}, monitor.Group{Name: "us", Missing: 750}),
		{By: "type", What: monitor.Configuration, Groups: []monitor.Group{{Name: "db", Missing: 1500}}},
	}}
	if got, want := c.mostMissing(monitor.Inventory, 1500), " All the missing are of type db. 1,000 of the missing are in account 1."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := c.mostMissing(monitor.Configuration, 1500); got != "" { // there is one type
		t.Errorf("%q", got)
	}
	if got := c.mostMissing(monitor.Inventory, 0); got != "" {
		t.Errorf("%q", got)
	}
}

// TestChangedAssets: an asset is one row for a kind of difference, and a thing that is measured one row of figures.
func TestChangedAssets(t *testing.T) {
	list := []change{{monitor.Missing, "o", "a", monitor.Inventory}, {monitor.Missing, "o", "b", monitor.Inventory}, {monitor.Missing, "o", "a", monitor.Configuration}, {monitor.Late, "o", "a", monitor.Inventory}}
	var got []string
	for _, c := range changedAssets(list) {
		got = append(got, fmt.Sprint(c.Kind, c.UID, c.Whats))
	}
	if want := []string{"missinga[inventory configuration]", "missingb[inventory]", "latea[inventory]"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := kindCounts(list); got != "3 missing, 1 late" {
		t.Errorf("%q", got)
	}
	figures := figuresAbout([]figure{{About: "a", Name: "missing"}, {About: "b"}, {About: "a", Name: "late"}})
	if len(figures) != 2 || len(figures[0]) != 2 || figures[0][1].Name != "late" || len(figures[1]) != 1 {
		t.Errorf("%+v", figures)
	}
}
