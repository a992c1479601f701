package monitor

import (
	"cmp"
	"maps"
	"slices"
)

// Group is what a comparison found of the objects of a kind that have a trait in common. Counts are of objects.
type Group struct {
	Drift   int    `json:"drift"`
	Late    int    `json:"late"`
	Missing int    `json:"missing"`
	Name    string `json:"name"` // "" where no record says it
	Phantom int    `json:"phantom"`
	Union   int    `json:"union"`
}

// census counts the compared objects of a kind by their traits, tags aside.
type census struct {
	table traitTable
	count map[int]int
}

func newCensus() *census { return &census{newTraitTable(), map[int]int{}} }

// add counts an object, as its observer describes it or else its reporter.
func (c *census) add(reported, observed *story) (number int) {
	var t Traits
	for _, d := range slices.Concat(observed.described(), reported.described()) {
		t.Account, t.Region, t.Type = cmp.Or(t.Account, d.Account), cmp.Or(t.Region, d.Region), cmp.Or(t.Type, d.Type)
	}
	number = c.table.number(t)
	c.count[number]++
	return number
}

// Traits are the account, the region and the type of what a finding of this comparison is about.
func (c *Comparison) Traits(f Finding) Traits { return *c.census[f.What].table.list[f.traits] }

// Breakdown groups the objects of a kind by their "account", "region" or "type": the groups with the most missing objects
// first, then those that drift most.
func (c *Comparison) Breakdown(what Kind, by string) []Group {
	groups := map[string]*Group{}
	group := func(traits int) *Group {
		t := c.census[what].table.list[traits]
		name := map[string]string{"account": t.Account, "region": t.Region, "type": t.Type}[by]
		if groups[name] == nil {
			groups[name] = &Group{Name: name}
		}
		return groups[name]
	}
	for traits, n := range c.census[what].count {
		group(traits).Union += n
	}
	for _, f := range c.Findings {
		if f.What != what {
			continue
		}
		g := group(f.traits)
		switch f.Kind {
		case Missing:
			g.Missing++
		case Phantom:
			g.Phantom++
		case Drift:
			g.Drift++
		case Late:
			g.Late++
		}
	}
	out := make([]Group, 0, len(groups))
	for g := range maps.Values(groups) {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Missing, a.Missing), cmp.Compare(b.Drift, a.Drift), cmp.Compare(b.Late+b.Phantom, a.Late+a.Phantom),
			cmp.Compare(b.Union, a.Union), cmp.Compare(a.Name, b.Name))
	})
	return out
}
