package monitor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// TestLinks: of the records only those count that say how the asset is now.
func TestLinks(t *testing.T) {
	p := newParty(t, "customer", scitt.TypeRecord)
	refer := func(e object, n int) object {
		members, _ := e["unmapped"].(object)
		if members == nil {
			members = object{"conmotion": object{}}
		}
		members["conmotion"].(object)["upstream"] = []EntryRef{{scitt.EntryID{byte(n)}.String(), uint64(n), "up"}}
		e["unmapped"] = members
		return e
	}
	both := refer(with(inventory(Modify, noon, "a", "b"), object{"metadata": event(0, 0, "configuration.modify", 0)["metadata"]}), 7)
	broken := refer(inventory(Modify, noon, "a"), 9)
	broken["unmapped"].(object)["conmotion"].(object)["upstream"] = 1
	entity := func(action string, activity, n int) object {
		return refer(with(event(3004, activity, "configuration."+action, noon), object{"entity": object{"uid": "c"}, "unmapped": ours(object{"assets": []string{"a"}})}), n)
	}
	steps := []struct {
		event object
		want  string // "entry to" for each link of a
		bad   int
	}{
		{inventory(Create, noon, "a", "b"), "", 0},
		{refer(inventory(Modify, noon, "b"), 1), "", 0},
		{refer(inventory(Modify, noon, "a"), 2), "2>2", 0},
		{refer(inventory(Modify, noon, "a"), 3), "3>3", 0},
		{refer(shared(Create, noon, "base", 1, "a", "b"), 4), "3>3 4>4", 0},
		{refer(configured(Create, noon, "a", 1), 5), "3>3 4>4 5>5", 0},
		{refer(shared(Modify, noon, "base", 1, "b"), 6), "3>3 5>5", 0}, // a has it no more
		{both, "3>3 7>7", 0},
		{entity("create", 1, 8), "3>3 7>7 8>8", 0},
		{entity("delete", 4, 8), "3>3 7>7", 0},
		{broken, "7>7", 1},
		{inventory(Delete, noon, "a"), "", 1},
		{refer(inventory(Create, noon, "a"), 10), "12>10", 1},
	}
	for i, s := range steps {
		p.record(s.event)
		links, bad, err := Links(t.Context(), p.log(), "a")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range links {
			got = append(got, fmt.Sprintf("%d>%d", l.From.Index, l.To.Index))
			if l.Issuer != p.issuer() || l.Acknowledgement != nil {
				t.Errorf("step %d: %+v", i, l)
			}
		}
		slices.SortFunc(got, func(a, b string) int { return len(a) - len(b) })
		if strings.Join(got, " ") != s.want || len(bad) != s.bad {
			t.Errorf("step %d: %q, not %q; %v", i, got, s.want, bad)
		}
	}
}
