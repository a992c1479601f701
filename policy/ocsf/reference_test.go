package ocsf

import (
	"encoding/json"
	"slices"
	"testing"
)

// TestArchitectureEvents: what the architecture document's example events have and lack.
func TestArchitectureEvents(t *testing.T) {
	mislabelled := []string{"W $.severity attribute_enum_sibling_incorrect"} // "Informational" beside 4, which is High
	for name, want := range map[string][]string{
		"conmotion-example_inventory_csp.json":     mislabelled,
		"conmotion-example_inventory_auditor.json": mislabelled,
		"conmotion-example_inventory-measurement_auditor.json": {
			"E $.time timestamp_not_milliseconds",
			"E $.evidences[0].url.version attribute_unknown",
			"E $.evidences[0].url.url attribute_unknown",
			"E $.evidences[0].url constraint_failed",
			"E $.evidences[1].url.version attribute_unknown",
			"E $.evidences[1].url.url attribute_unknown",
			"E $.evidences[1].url constraint_failed",
			"E $.finding_info attribute_required_missing",
			"W $.activity_name attribute_enum_sibling_incorrect", // "Update" beside 1, which is Create
			"W $.severity attribute_enum_sibling_incorrect",
			"W $.status attribute_enum_sibling_incorrect",
			"W $.type_name attribute_enum_sibling_incorrect",
		},
	} {
		b := shared(t, name)
		if b == nil {
			continue
		}
		if got := findings(check(t, Default(), b)); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, want)
		}
	}
}

// TestProwlerEvents: Prowler's findings of OCSF 1.4.0 have their times in seconds; nothing else is wrong with them, and
// 1.5.0 only adds that they are older and use an attribute deprecated since 1.4.0.
func TestProwlerEvents(t *testing.T) {
	want := []string{
		"E $.finding_info.created_time timestamp_not_milliseconds",
		"E $.time timestamp_not_milliseconds",
		"W $.finding_info.product_uid attribute_deprecated",
		"W $.metadata.version version_earlier",
	}
	for name, count := range map[string]int{"prowler-aws.ocsf.json": 5, "prowler-azure.ocsf.json": 5, "prowler-gcp.ocsf.json": 5, "prowler-kubernetes.ocsf.json": 6} {
		b := shared(t, name)
		if b == nil {
			continue
		}
		if got := findings(check(t, Default(), b)); !slices.Equal(got, []string{"E $ event_not_object"}) {
			t.Errorf("%s: the array: %q", name, got)
		}
		var events []json.RawMessage
		if err := json.Unmarshal(b, &events); err != nil || len(events) != count {
			t.Fatalf("%s: %d events, %v", name, len(events), err)
		}
		for i, e := range events {
			if got := findings(check(t, Default(), e)); !slices.Equal(got, want) {
				t.Errorf("%s[%d]:\ngot  %q\nwant %q", name, i, got, want)
			}
		}
	}
}
