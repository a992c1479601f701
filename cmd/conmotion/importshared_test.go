package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
)

// TestSharedImport imports the files that once gave a wrong result, where the folder of shared test data is there: each
// with what becomes of it. import-meaning.txtar and the cases of monitor/importer hold the same with inputs of our own. Then
// it compares, measures, computes again from exports alone, and reports.
func TestSharedImport(t *testing.T) {
	t.Parallel()
	files, tried := map[string]string{}, map[string]bool{}
	for _, folder := range []string{"cases/import", "ocsf"} {
		for _, path := range testlog.Must(filepath.Glob(filepath.Join(sharedData(t), folder, "*")))(t) {
			files[filepath.Base(path)] = path
		}
	}
	if len(files) == 0 {
		t.Skip("there is no folder of shared test data")
	}
	r := newRecorders(t)
	r.run("keygen", "--out", r.path("auditor.pem"))
	provider, url := r.service("provider", openPolicy)
	auditor, auditorURL := r.service("auditor", openPolicy)
	const scan = "--complete account=1 --max-gone 50 "
	type row struct {
		command, files string
		code           int
		results        string
		said           string // a regular expression
	}
	importing := func(rows ...row) {
		t.Helper()
		for _, tt := range rows {
			args := append(strings.Fields(tt.command), "--json", "--log", url, "--key", r.path("k.pem"))
			if strings.Contains(tt.command, "--observe") {
				args = append(strings.Fields(tt.command), "--json", "--log", auditorURL, "--key", r.path("auditor.pem"))
			}
			for _, file := range strings.Fields(tt.files) {
				args, tried[file] = append(args, files[file]), true
			}
			code, out, said := r.try(args...)
			if results := countResults(t, out); code != tt.code || results != tt.results || !regexp.MustCompile(tt.said).MatchString(said+string(out)) {
				t.Errorf("%s %s: exit code %d, %s\n%s", tt.command, tt.files, code, results, said)
			}
		}
	}
	importing([]row{
		{"import aws-config", "aws-history-newest-first.json", 0, "6 registered", ""},
		{"import aws-config", "aws-get-aggregate-resource-config-refused.json", 0, "2 registered", ""},
		{"import aws-config", "aws-integer-beyond-2-53-configuration-lost.json", 0, "2 registered", ""},
		{"import aws-config", "aws-global-notrecorded-other-region.json aws-global-home-region.json", 0, "5 registered", ""},
		{"import aws-config", "aws-resourcecompliance-becomes-an-asset.json", 0, "3 registered", ""},
		{"import gcp-cai", "gcp-feed-create-delete.jsonl", 0, "4 registered", ""},
		{"import gcp-cai", "gcp-stale-export-after-delete.jsonl", 1, "2 late", `"it is late: the log says something newer`},
		{"import gcp-cai", "gcp-three-access-levels-become-one-configuration.jsonl", 0, "3 registered", ""},
		{"import gcp-cai", "gcp-old-export-without-update_time-refused.jsonl", 1, "4 invalid", `"asset \\".*\\": no updateTime or window.startTime that is a time; --time gives one`},
		{"import gcp-cai --time 2026-11-01T10:00:00Z", "gcp-old-export-without-update_time-refused.jsonl", 0, "8 registered", ""},
		{"import gcp-cai", "gcp-firewall-as-cai-names-it.jsonl", 0, "2 registered", ""},
		{"import gcp-cai --observe " + scan + "--started 2026-11-01T12:00:00Z --ended 2026-11-01T12:05:00Z", "gcp-export-day1.jsonl", 0, "4 registered", `(?m)^scan: entry \d+, [0-9a-f]+: 2 assets, 0 gone$`},
		{"import gcp-cai --observe " + scan + "--started 2026-11-02T12:00:00Z --ended 2026-11-02T12:05:00Z", "gcp-export-day2-c2-gone.jsonl", 0, "1 registered, 1 unchanged", `(?m)^gone: //container.googleapis.com/projects/p/locations/eu/clusters/c2$`},
		{"import prowler --observe --inventory", "gcp-firewall-as-prowler-names-it.ocsf.json", 0, "2 registered", ""},
		{"import prowler --observe --inventory", "prowler-gcp-two-projects-become-one-asset.ocsf.json", 0, "4 registered", ""},
		{"import prowler --observe --inventory", "prowler-540-compliance-2003-refused-no-cloud.ocsf.json", 0, "2 registered", ""},
		{"import prowler --observe --inventory", "prowler-42x-event_time-refused.ocsf.json", 0, "2 registered", ""},
		{"record inventory modify", "ocsf-160-device-inventory-refused-by-record.json", 0, "1 registered", `(?s)1 event was put right, with the original in unmapped.original: another version of OCSF 1.x .*1 event was put right, [^\n]*: times in seconds`},
		{"record inventory create", "ocsf-3004-with-own-event_code-refused-by-record.json", 0, "1 registered", `(?s)1 event was put right, [^\n]*: an event_code of the source's own .*1 event was put right, [^\n]*: another version of OCSF 1.x`},
		{"import ocsf", "ocsf-160-device-inventory-refused-by-record.json", 0, "1 registered", ""}, // it gets a metadata.uid
		{"import ocsf", "ocsf-3004-with-own-event_code-refused-by-record.json", 0, "1 already recorded", ""},
	}...)

	for _, side := range []struct {
		types, url string
		assets     []string
	}{
		{"record", url, []string{
			"//appengine.googleapis.com/apps/project4", "//cloudresourcemanager.googleapis.com/projects/1044",
			"//compute.googleapis.com/projects/proj-a/global/firewalls/default-allow-internal",
			"//iam.googleapis.com/projects/project4/roles/role1", "//storage.googleapis.com/bucket2", "11111",
			"arn:aws:ec2:eu-central-1:123456789012:instance/i-0", "arn:aws:ec2:eu-central-1:123456789012:instance/i-1",
			"arn:aws:iam::123456789012:role/app", "arn:aws:s3:::b", "goodef456"}},
		{"observation", auditorURL, []string{
			"//compute.googleapis.com/projects/proj-a/global/firewalls/default-allow-internal",
			"//container.googleapis.com/projects/p/locations/eu/clusters/c1", "arn:aws:iam::111111111111:root",
			"arn:aws:iam::123456789012:role/myAdministratorExecutionRole",
			"gcp/proj-a/global/Service/containeranalysis.googleapis.com", "gcp/proj-b/global/Service/containeranalysis.googleapis.com"}},
	} {
		var replayed struct {
			Assets    []struct{ UID string }
			Anomalies []struct{ Kind string }
		}
		if err := json.Unmarshal([]byte(r.run("replay", "--log", side.url, "--types", side.types, "--json")), &replayed); err != nil {
			t.Fatal(err)
		}
		var assets []string
		for _, a := range replayed.Assets {
			assets = append(assets, a.UID)
		}
		if !slices.Equal(assets, side.assets) {
			t.Errorf("%s: assets %q", side.types, assets)
		}
		for _, a := range replayed.Anomalies {
			if a.Kind != "modify_unknown" { // no scan says that they are the first that is known
				t.Errorf("%s: %s", side.types, a.Kind)
			}
		}
	}

	// What scanners and others write, from beside the cases.
	importing([]row{
		{"import prowler --observe --inventory", "prowler-aws.ocsf.json", 0, "3 already recorded, 7 registered", ""},
		{"import prowler --observe --inventory", "prowler-azure.ocsf.json", 0, "1 already recorded, 9 registered", ""},
		{"import prowler --observe --inventory", "prowler-gcp.ocsf.json", 0, "2 already recorded, 8 registered", ""},
		{"import prowler --observe --inventory", "prowler-kubernetes.ocsf.json", 0, "5 already recorded, 7 registered", ""},
		{"import ocsf --observe", "conmotion-example_inventory_auditor.json", 0, "2 registered", ""},
		{"import ocsf", "conmotion-example_inventory_csp.json", 0, "2 registered", ""},
		{"import ocsf", "conmotion-example_inventory-measurement_auditor.json", 1, "1 invalid", `\$\.evidences\[0\]\.url: url needs at least one of`},
		{"import ocsf", "ocsf-1.5.0-seven-classes.json", 1, "1 invalid", `class_uid \\"\\" is none of`}, // it is the schema
	}...)
	for name := range files {
		if !tried[name] {
			t.Errorf("%s is not imported", name)
		}
	}

	// One firewall, whoever names it: nothing is missing, and nothing is phantom.
	between := []string{"--reported", url, "--observed", auditorURL, "--from", "2026-11-28", "--to", "2026-11-30"}
	var c struct {
		Inventory struct{ Union, Missing, Phantom int }
	}
	if err := json.Unmarshal([]byte(r.run(append([]string{"compare", "--json", "--exit-zero", "--scope", "type=compute.googleapis.com/Firewall"}, between...)...)), &c); err != nil {
		t.Fatal(err)
	}
	if m := c.Inventory; m.Union != 1 || m.Missing+m.Phantom > 0 {
		t.Errorf("the firewall: %+v", m)
	}
	r.run(append([]string{"measure", "inventory", "--log", auditorURL, "--key", r.path("auditor.pem"), "--out", r.path("m.cose")}, between...)...)
	r.run("export", "--log", url, "--out", r.path("reports"))
	r.run("export", "--log", auditorURL, "--out", r.path("observations"))

	// A third party has the exports alone.
	for _, s := range []*service{provider, auditor} {
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if out := r.run("measure", "--recompute", r.path("m.cose"), "--reported", r.path("reports"), "--observed", r.path("observations")); !strings.Contains(out, "the same, bit for bit") {
		t.Errorf("recomputed:\n%s", out)
	}
	r.run("report", "--out", r.path("report.html"), "--provider", r.path("reports"), "--auditor", r.path("observations"), "--from", "2026-11-28", "--to", "2026-11-30")
}

// try runs a command that may fail.
func (r *recorders) try(args ...string) (code int, out []byte, said string) {
	r.t.Helper()
	cmd := r.command("home", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		r.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out, stderr.String()
}

// countResults counts what became of events: "3 registered, 1 late".
func countResults(t *testing.T, out []byte) string {
	counts := map[string]int{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var res recorded
		if err := d.Decode(&res); err != nil {
			t.Fatal(err)
		}
		counts[res.Result]++
	}
	var all []string
	for result, n := range counts {
		all = append(all, fmt.Sprintf("%d %s", n, result))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
