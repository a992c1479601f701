package ocsf

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write the generated events to testdata")

type object = map[string]any
type list = []any

const (
	noon     = int64(1_767_268_800_000) // 2026-01-01T12:00:00Z in milliseconds
	provider = "Northwind Cloud"
	auditor  = "Meridian Assurance"
)

// examples returns the example events by file name. They tell one story: a provider reports an instance and a change
// of its configuration, an auditor observes a second instance that was not reported, and measures that gap.
func examples() map[string]object {
	return map[string]object{
		"inventory_provider.json": event(5023, 5, 1, object{
			"class_name": "Cloud Resources Inventory Info", "category_name": "Discovery", "activity_name": "Log",
			"type_name": "Cloud Resources Inventory Info: Log", "message": "Instance web-1 was created",
			"severity_id": 1, "severity": "Informational", "time": noon,
			"status_id": 1, "status": "Success", "status_code": "accepted",
			"metadata":  metadata("inventory.create", "0b9a3c52-5f1e-4c57-9d2f-6f0f2a6f1d01", provider, 1, "cloud"),
			"cloud":     cloud(),
			"region":    "eu-central-1",
			"resources": list{instance("web-1", "i-0a52c1f3e8d97b601", "10.20.0.11")},
		}),
		"inventory_auditor.json": event(5023, 5, 2, object{
			"class_name": "Cloud Resources Inventory Info", "category_name": "Discovery", "activity_name": "Collect",
			"type_name": "Cloud Resources Inventory Info: Collect", "message": "Instance batch-7 was observed in a scan",
			"severity_id": 1, "severity": "Informational", "time": noon + 95_000,
			"status_id": 1, "status": "Success", "status_code": "observed",
			"metadata":  metadata("inventory.create", "0b9a3c52-5f1e-4c57-9d2f-6f0f2a6f1d02", auditor, 1, "cloud"),
			"cloud":     cloud(),
			"region":    "eu-central-1",
			"resources": list{instance("batch-7", "i-0c77d0b2f4a1e9835", "10.20.0.87")},
		}),
		"device_inventory.json": event(5001, 5, 2, object{
			"class_name": "Device Inventory Info", "category_name": "Discovery", "activity_name": "Collect",
			"type_name": "Device Inventory Info: Collect", "message": "Device web-1 runs a new image",
			"severity_id": 1, "severity": "Informational", "time": noon + 600_000,
			"metadata": metadata("inventory.modify", "0b9a3c52-5f1e-4c57-9d2f-6f0f2a6f1d03", provider, 2, "cloud"),
			"cloud":    cloud(),
			"device":   device(),
		}),
		"configuration_provider.json": event(5019, 5, 1, object{
			"class_name": "Device Config State Change", "category_name": "Discovery", "activity_name": "Log",
			"type_name": "Device Config State Change: Log", "message": "Encryption of web-1's root volume was turned on",
			"severity_id": 1, "severity": "Informational", "time": noon + 300_000,
			"status_id": 1, "status": "Success", "status_code": "applied",
			"state_id": 2, "state": "Enabled",
			"prev_security_level_id": 2, "prev_security_level": "At Risk", "security_level_id": 1, "security_level": "Secure",
			"prev_security_states": list{object{"state_id": 4, "state": "Protection off"}},
			"metadata":             metadata("configuration.modify", "0b9a3c52-5f1e-4c57-9d2f-6f0f2a6f1d04", provider, 3, "cloud", "datetime"),
			"cloud":                cloud(),
			"time_dt":              "2026-01-01T12:05:00Z",
			"actor":                object{"app_name": "volume-controller", "user": operator()},
			"device":               device(),
			"unmapped": object{"change": list{
				object{"path": "/volumes/0/encrypted", "before": false, "after": true},
				object{"path": "/volumes/0/key", "before": nil, "after": "key/7f3c"},
			}},
		}),
		"entity.json": event(3004, 3, 3, object{
			"class_name": "Entity Management", "category_name": "Identity & Access Management", "activity_name": "Update",
			"type_name": "Entity Management: Update", "message": "Policy volume-defaults was changed",
			"severity_id": 1, "severity": "Informational", "time": noon + 240_000, "comment": "Change request 4711",
			"metadata": metadata("configuration.modify", "0b9a3c52-5f1e-4c57-9d2f-6f0f2a6f1d05", provider, 4, "cloud"),
			"cloud":    cloud(),
			"actor":    object{"user": operator()},
			"entity": object{"type": "Policy", "type_id": 5, "uid": "policy/volume-defaults", "version": "6",
				"policy": object{"name": "volume-defaults", "uid": "policy/volume-defaults", "version": "6"}},
			"entity_result": object{"type": "Policy", "type_id": 5, "uid": "policy/volume-defaults", "version": "7",
				"policy": object{"name": "volume-defaults", "uid": "policy/volume-defaults", "version": "7"},
				"data":   object{"encrypted": true}},
		}),
		"compliance_finding.json": event(2003, 2, 1, object{
			"class_name": "Compliance Finding", "category_name": "Findings", "activity_name": "Create",
			"type_name": "Compliance Finding: Create", "message": "Volumes of web-1 are encrypted",
			"severity_id": 1, "severity": "Informational", "time": noon + 660_000,
			"status_id": 1, "status": "New",
			"metadata": metadata("configuration.assess", "0b9a3c52-5f1e-4c57-9d2f-6f0f2a6f1d06", auditor, 2, "cloud"),
			"cloud":    cloud(),
			"compliance": object{"control": "SC-28", "standards": list{"NIST SP 800-53"},
				"requirements": list{"SC-28(1)"}, "status": "Pass", "status_id": 1},
			"finding_info": object{"uid": "assess/web-1/SC-28", "title": "Protection of information at rest",
				"created_time": noon + 660_000,
				"analytic":     object{"name": "volume-encryption", "uid": "rule/41", "type_id": 1, "type": "Rule"}},
			"resources": list{instance("web-1", "i-0a52c1f3e8d97b601", "10.20.0.11")},
		}),
		"measurement.json": event(2004, 2, 1, object{
			"class_name": "Detection Finding", "category_name": "Findings", "activity_name": "Create",
			"type_name": "Detection Finding: Create", "message": "1 of 2 instances was not reported by the provider",
			"severity_id": 3, "severity": "Medium", "time": noon + 1_200_000,
			"status_id": 1, "status": "New", "confidence_id": 3, "confidence": "High", "impact_score": 50, "is_alert": true,
			"metadata": metadata("inventory.measure", "0b9a3c52-5f1e-4c57-9d2f-6f0f2a6f1d07", auditor, 3, "cloud"),
			"cloud":    cloud(),
			"finding_info": object{"uid": "measure/2026-01-01/inventory", "title": "Inventory completeness",
				"desc": "Instances observed by the auditor that the provider's log does not have", "created_time": noon + 1_200_000,
				"analytic": object{"name": "inventory-completeness", "uid": "rule/7", "type_id": 1, "type": "Rule"}},
			"evidences": list{
				entry("4869fa3b2d9f4af5bd08986af850e12b1f4268fd1a6f6f8ebbfb74a1f5d55221"),
				entry("53baec839d639ce474876b81872ec492a72672b95dd8b9b85799447d30dad757"),
			},
			"resources": list{instance("batch-7", "i-0c77d0b2f4a1e9835", "10.20.0.87")},
		}),
		"config_state_deprecated.json": event(5002, 5, 1, object{
			"class_name": "Device Config State", "category_name": "Discovery", "activity_name": "Log",
			"type_name": "Device Config State: Log", "message": "Configuration of web-1",
			"severity_id": 1, "severity": "Informational", "time": noon + 360_000,
			"metadata": metadata("configuration.create", "0b9a3c52-5f1e-4c57-9d2f-6f0f2a6f1d08", provider, 5, "cloud"),
			"cloud":    cloud(),
			"device":   device(),
		}),
	}
}

func event(class, category, activity int, o object) object {
	o["class_uid"], o["category_uid"], o["activity_id"], o["type_uid"] = class, category, activity, class*100+activity
	o["timezone_offset"] = 60
	return o
}

func metadata(code, uid, vendor string, sequence int, profiles ...string) object {
	return object{
		"version": "1.5.0", "uid": uid, "event_code": code, "sequence": sequence, "profiles": profiles,
		"log_name": "inventory", "log_provider": vendor, "tenant_uid": "c950c785-a710-4dc0-a170-05344df33f9e",
		"product": object{"name": "conmotion", "uid": "264aff4e-18ce-4c10-a670-114fc9c5e3c1", "vendor_name": vendor, "version": "1.0.0"},
	}
}

func cloud() object {
	return object{"provider": provider, "region": "eu-central-1", "zone": "eu-central-1b",
		"account": object{"uid": "340287110954", "name": "retail-production"}}
}

func instance(name, uid, ip string) object {
	return object{"name": name, "uid": uid, "ip": ip, "hostname": name + ".internal.example", "type": "Virtual Machine",
		"region": "eu-central-1", "zone": "eu-central-1b", "created_time": noon - 45_000, "owner": operator(),
		"labels": list{"tier:web", "env:production"},
		"data":   object{"cpu": 4, "memory_mib": 16384, "image": "img-2025-12-18"}}
}

func device() object {
	return object{"type_id": 6, "type": "Virtual", "name": "web-1", "hostname": "web-1.internal.example",
		"uid": "i-0a52c1f3e8d97b601", "instance_uid": "i-0a52c1f3e8d97b601", "ip": "10.20.0.11", "mac": "02:42:0a:14:00:0b",
		"region": "eu-central-1", "zone": "eu-central-1b", "created_time": noon - 45_000,
		"os": object{"name": "Debian GNU/Linux", "type": "Linux", "type_id": 200, "version": "13"}}
}

func operator() object {
	return object{"name": "ops-automation", "uid": "f2c42f77-d7b9-4efd-aeee-e05be36fc0cb", "type_id": 3, "type": "System"}
}

func entry(id string) object {
	return object{"url": object{"scheme": "https", "hostname": "ts.auditor.example", "port": 443, "path": "/entries/" + id,
		"url_string": "https://ts.auditor.example/entries/" + id}}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestExamples keeps testdata equal to what examples generates (go test -update writes it) and the events valid.
func TestExamples(t *testing.T) {
	var names []string
	for name, o := range examples() {
		names = append(names, name)
		want := encode(t, o)
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what examples generates", file)
		}
		rep := check(t, Default(), got)
		for _, f := range rep.Errors {
			t.Errorf("%s: %v", name, f)
		}
		var codes []string
		for _, f := range rep.Warnings {
			if f.Code != CodeRecommendedMissing {
				codes = append(codes, f.Code)
			}
		}
		var wantCodes []string
		if name == "config_state_deprecated.json" {
			wantCodes = []string{CodeClassDeprecated}
		}
		if !slices.Equal(codes, wantCodes) {
			t.Errorf("%s: warnings %v, want %v", name, codes, wantCodes)
		}
		meta := o["metadata"].(object)
		wantSum := Summary{
			ClassUID: int64(o["class_uid"].(int)), ActivityID: int64(o["activity_id"].(int)), Time: o["time"].(int64),
			Version: "1.5.0", EventCode: meta["event_code"].(string), UID: meta["uid"].(string),
		}
		if sum, err := summarize(got); err != nil || sum != wantSum || rep.Summary != wantSum {
			t.Errorf("%s: summary %+v, %v; in the report %+v; want %+v", name, sum, err, rep.Summary, wantSum)
		}
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(names) {
		t.Errorf("testdata has %d events, examples generates %d: %v", len(files), len(names), err)
	}
}

func check(t testing.TB, s *Schema, event []byte) Report {
	t.Helper()
	rep, err := s.Check(event)
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	return rep
}
