package monitor

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// TestBreakdown: what was found, by what the observer says of the objects, and by what the reporter says where that is all.
func TestBreakdown(t *testing.T) {
	provider, auditor := newParty(t, "provider", scitt.TypeRecord), newParty(t, "auditor", scitt.TypeObservation)
	asset := func(e object, typ, account, region string) object {
		r := e["resources"].([]object)[0]
		if typ != "" {
			r["type"] = typ
		}
		r["region"], e["cloud"] = region, object{"provider": "test", "account": object{"uid": account}}
		e["metadata"].(object)["profiles"] = []string{"cloud"}
		return e
	}
	for i := range 3 { // databases, of which no one is reported
		auditor.record(asset(inventory(Create, noon+minute, fmt.Sprint("db", i)), "db", "1", "eu"))
	}
	for i := range 5 { // machines, of which all are
		uid := fmt.Sprint("vm", i)
		provider.record(asset(inventory(Create, noon+minute, uid), "VirtualMachine", "2", "us"))
		auditor.record(asset(inventory(Create, noon+minute, uid), "vm", "2", []string{"eu", "us"}[i%2]))
	}
	provider.record(asset(inventory(Create, noon+minute, "ghost"), "", "3", "us"))
	provider.record(asset(configured(Create, noon+minute, "vm1", object{"open": false, "size": 1}), "vm", "2", "us"))
	auditor.record(asset(configured(Create, noon+minute, "vm1", object{"open": true, "size": 1}), "vm", "2", "us"))
	c := must(Compare(t.Context(), provider.side(), auditor.side(), hour))(t)
	for by, want := range map[string][]Group{
		"type":    {{Name: "db", Missing: 3, Union: 3}, {Name: "", Phantom: 1, Union: 1}, {Name: "vm", Union: 5}},
		"account": {{Name: "1", Missing: 3, Union: 3}, {Name: "3", Phantom: 1, Union: 1}, {Name: "2", Union: 5}},
		"region":  {{Name: "eu", Missing: 3, Union: 6}, {Name: "us", Phantom: 1, Union: 3}},
	} {
		got := c.Breakdown(Inventory, by)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("by %s: %+v, want %+v", by, got, want)
		}
	}
	if got := c.Breakdown(Configuration, "type"); !reflect.DeepEqual(got, []Group{{Name: "vm", Drift: 1, Union: 1}}) {
		t.Errorf("%+v", got)
	}
	drift := c.Findings[0]
	if drift.Kind != Drift || !reflect.DeepEqual(drift.Values, [][2]string{{"false", "true"}}) || c.Traits(drift).Account != "2" {
		t.Errorf("%+v", drift)
	}
}
