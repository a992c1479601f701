package importer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestProwlerRepairs(t *testing.T) {
	f := prowlerSample(0)
	meta := f["metadata"].(object)
	long := strings.Repeat("n", 100)
	inResource := func(more object) object {
		return with(f, object{"resources": list{with(get(f, "resources.0").(object), more)}})
	}
	n := func(s string) json.Number { return json.Number(s) }
	for _, tt := range []struct {
		name     string
		in       object
		path     string // in the event
		want     any
		original string // the JSON path in unmapped.original
		was      any
	}{
		{"seconds", f, "time", n("1772352000000"), "$.time", n("1772352000")},
		{"seconds, nested", f, "finding_info.created_time", n("1772352000000"), "$.finding_info.created_time", n("1772352000")},
		{"microseconds", with(f, object{"time": 1772352000123456}), "time", n("1772352000123"), "$.time", n("1772352000123456")},
		{"nanoseconds", with(f, object{"time": 1772352000123456789}), "time", n("1772352000123"), "$.time", n("1772352000123456789")},
		{"version", f, "metadata.version", "1.5.0", "$.metadata.version", "1.4.0"},
		{"later version", with(f, object{"metadata": with(meta, object{"version": "1.7.0"})}), "metadata.version", "1.5.0", "$.metadata.version", "1.7.0"},
		{"what Prowler adds", f, "unmapped.notes", "", "$.unmapped", nil},
		{"unknown", with(f, object{"event_time": 5}), "event_time", nil, "$.event_time", n("5")},
		{"unknown, odd name", with(f, object{"a b": 5}), "a b", nil, `$["a b"]`, n("5")},
		{"unknown, nested", inResource(object{"colour": "red"}), "resources.0.colour", nil, "$.resources[0].colour", "red"},
		{"without the profile", with(f, object{"metadata": with(meta, object{"profiles": list{"cloud"}})}), "time_dt", nil, "$.time_dt", f["time_dt"]},
		{"type", with(f, object{"status_detail": 5}), "status_detail", nil, "$.status_detail", n("5")},
		{"element", inResource(object{"labels": list{"a", 1, 2}}), "resources.0.labels", nil, "$.resources[0].labels", list{"a", n("1"), n("2")}},
		{"enum", with(f, object{"status_id": 77}), "status_id", nil, "$.status_id", n("77")},
		{"type_uid", with(f, object{"type_uid": 200402}), "type_uid", n("200401"), "$.type_uid", n("200402")},
		{"type_name", with(f, object{"type_uid": 200402}), "type_name", nil, "$.type_name", "Detection Finding: Create"},
		{"unmapped", with(f, object{"unmapped": "x"}), "unmapped.original.$", nil, "$.unmapped", "x"},
		{"unmapped.original", with(f, object{"unmapped": object{"original": 5}}), "time", n("1772352000000"), "$.unmapped.original", n("5")},
		{"uid", with(f, object{"metadata": with(meta, object{"uid": "own"})}), "metadata.uid", "own", "$.metadata.uid", nil},
		{"uid, a number", with(f, object{"metadata": with(meta, object{"uid": 5})}), "metadata.product.uid", "prowler", "$.metadata.uid", n("5")},
		{"compliance", with(f, object{"class_uid": 2003, "class_name": nil, "type_uid": 200301, "type_name": nil, "remediation": nil,
			"compliance": object{"standards": list{"CIS-3.0"}, "status_id": 3}}), "compliance.status_id", n("3"), "$.time", n("1772352000")},
	} {
		r := one(t, readProwler, tt.in)
		if r.short() != "finding.create" || len(r.problems) > 0 {
			t.Errorf("%s: %s, %v, %v", tt.name, r.short(), r.problems, r.err)
			continue
		}
		e, err := decode(r.items[0].Event)
		if err != nil {
			t.Fatal(err)
		}
		original, _ := get(e, "unmapped.original").(object)
		if got, was := get(e, tt.path), original[tt.original]; !reflect.DeepEqual(got, tt.want) || !reflect.DeepEqual(was, tt.was) {
			t.Errorf("%s: %s is %v, and %s was %v", tt.name, tt.path, got, tt.original, was)
		}
	}
	for name, in := range map[string]object{
		"no finding":      awsSample(0, "OK"),
		"another class":   with(f, object{"class_uid": 5023}),
		"no severity":     without(f, "severity_id"),
		"severity":        with(f, object{"severity_id": 77}),
		"no metadata":     with(f, object{"metadata": 1}),
		"version 2":       with(f, object{"metadata": with(meta, object{"version": "2.0.0"})}),
		"version":         with(f, object{"metadata": with(meta, object{"version": "1.x"})}),
		"long name":       with(f, object{long: 1}),
		"nameless":        with(f, object{"resources": list{object{"type": "x"}}}),
		"no time":         without(f, "time"),
		"activity":        with(f, object{"activity_id": 3.5, "type_uid": 1}),
		"product without": with(f, object{"metadata": with(meta, object{"product": object{}})}),
	} {
		if r := one(t, readProwler, in); len(r.problems) != 1 || len(r.items) > 0 || r.err != nil {
			t.Errorf("%s: %s, %v, %v", name, r.short(), r.problems, r.err)
		}
	}
}

// TestProwlerInventory: a resource in two findings of one scan is observed in one event, which comes twice.
func TestProwlerInventory(t *testing.T) {
	r := runAll(t, readProwler, prowlerFile(4), Options{Inventory: true})
	if got := r.short(); got != strings.TrimSpace(strings.Repeat("finding.create inventory.modify ", 4)) {
		t.Fatal(got)
	}
	if a, b, c := r.items[1], r.items[3], r.items[5]; string(a.Event) != string(b.Event) || string(a.Event) == string(c.Event) || a.AssetUID != r.items[0].AssetUID {
		t.Errorf("%s\n%s\n%s", a.Event, b.Event, c.Event)
	}
}

// TestProwlerFiles converts the real exports that stand beside the repository.
func TestProwlerFiles(t *testing.T) {
	for name, count := range map[string]int{"aws": 5, "azure": 5, "gcp": 5, "kubernetes": 6} {
		b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "ocsf", "prowler-"+name+".ocsf.json"))
		if os.IsNotExist(err) {
			t.Logf("%s is not there", name)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		r := runAll(t, readProwler, b, Options{Inventory: true})
		if len(r.items) != 2*count {
			t.Errorf("%s: %d events", name, len(r.items))
		}
		var source []object
		if err := json.Unmarshal(b, &source); err != nil {
			t.Fatal(err)
		}
		for i, f := range source {
			var got object
			if err := json.Unmarshal(r.items[2*i].Event, &got); err != nil {
				t.Fatal(err)
			}
			// The identity is made of what the export calls the resource: its uid, or its name.
			named := func(path string) bool {
				name := get(f, path).(string)
				return name != "" && strings.Contains(strings.ToLower(r.items[2*i].AssetUID), strings.ToLower(name))
			}
			if want := f["time"].(float64) * 1000; got["time"] != want || !reflect.DeepEqual(got["resources"], f["resources"]) ||
				r.items[2*i+1].AssetUID != r.items[2*i].AssetUID || !named("resources.0.uid") && !named("resources.0.name") {
				t.Errorf("%s: %s", name, r.items[2*i].Event)
			}
		}
	}
}
