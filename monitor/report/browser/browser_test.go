//go:build browser

package browser_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/report"
)

// look is what check.mjs says of a page on a screen.
type look struct {
	File, Screen, Title, Background string
	Closed, Text                    string // what is to be read, as it opens and with all of it unfolded
	Console, Requests, Wide         []string
	Overflow, Scripts, Targets      int
	Passes, Pages                   int
	Violations, Incomplete          []struct {
		ID    string
		Nodes []string
	}
}

// install makes node_modules what package-lock.json says.
func install(t *testing.T) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed; the build tag browser needs Node.js 20 or newer with npm: %v", program, err)
		}
	}
	// go test keeps results by the files that the test itself looked at.
	if _, err := os.Stat("check.mjs"); err != nil {
		t.Fatal(err)
	}
	locked, err := os.Stat("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	// npm writes this file last, so half an installation is made again.
	installed, err := os.Stat("node_modules/.package-lock.json")
	if err == nil && !installed.ModTime().Before(locked.ModTime()) {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}

// pages writes the pages of the documents in ../testdata.
func pages(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, name := range []string{"report", "hostile", "empty", "large"} {
		var data []byte
		var err error
		if name == "large" {
			data = large(t)
		} else if data, err = os.ReadFile(filepath.Join("..", "testdata", name+".json")); err != nil {
			t.Fatal(err)
		}
		var r report.Report
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		page, err := r.HTML()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(t.TempDir(), name+".html"))
		if err := os.WriteFile(files[len(files)-1], page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The page about an entry is made with its log.
	entry, err := filepath.Abs(filepath.Join("..", "testdata", "entry.html"))
	if err != nil {
		t.Fatal(err)
	}
	return append(files, entry)
}

// large is the document of report.json with 2,500 assets: all 1,500 databases are missing, with their configurations, and of
// 1,000 machines and buckets the configurations drift, in twelve accounts and five regions.
func large(t *testing.T) []byte {
	t.Helper()
	type object = map[string]any
	data, err := os.ReadFile(filepath.Join("..", "testdata", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r object
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	c := r["comparisons"].([]any)[0].(object)
	missing, drift := c["findings"].([]any)[0].(object), c["findings"].([]any)[1].(object)
	var findings, news []object
	type key struct{ what, by, name string }
	groups := map[key]object{}
	for i := range 2500 {
		typ := []string{"AWS::RDS::DBInstance", "AWS::EC2::Instance", "AWS::S3::Bucket"}[i/1500+i/2200]
		account, region := strconv.Itoa(340287110954+i%12), []string{"eu-central-1", "eu-west-1", "us-east-1", "us-west-2", "ap-southeast-2"}[i%5]
		add := func(like object, what string) {
			f := maps.Clone(like)
			f["uid"], f["what"] = "arn:aws:service:"+region+":"+account+":customer-object-"+strconv.Itoa(i), what
			f["type"], f["account"], f["region"] = typ, account, region
			findings = append(findings, f)
			news = append(news, object{"kind": f["kind"], "origin": "log.provider.example", "uid": f["uid"], "what": what})
			for by, name := range map[string]string{"type": typ, "account": account, "region": region} {
				k := key{what, by, name}
				if groups[k] == nil {
					groups[k] = object{"name": name, "drift": 0, "late": 0, "missing": 0, "phantom": 0, "union": 0}
				}
				groups[k][f["kind"].(string)] = groups[k][f["kind"].(string)].(int) + 1
				groups[k]["union"] = groups[k]["union"].(int) + 1
			}
		}
		if i < 1500 {
			add(missing, "inventory")
			add(missing, "configuration")
		} else {
			add(drift, "configuration")
		}
	}
	var parts []object
	for _, what := range []string{"inventory", "configuration"} {
		n := c["metrics"].(object)[what].(object)
		n["union"], n["missing"] = 2500, 1500
		for _, by := range []string{"type", "account", "region"} {
			var of []object
			for _, k := range slices.SortedFunc(maps.Keys(groups), func(a, b key) int { return strings.Compare(a.name, b.name) }) {
				if k.what == what && k.by == by {
					of = append(of, groups[k])
				}
			}
			parts = append(parts, object{"what": what, "by": by, "groups": of, "more": 0, "others": object{"name": "", "drift": 0, "late": 0, "missing": 0, "phantom": 0, "union": 0}})
		}
	}
	c["findings"], c["breakdown"] = findings, parts
	r["before"] = object{"at": r["at"], "from": r["from"], "to": r["to"], "level": "none", "whole": true, "gone": []any{}, "new": news, "figures": []object{
		{"about": "Inventory of log.provider.example", "name": "missing", "before": "0", "now": "1,500", "trend": "worse"},
		{"about": "Inventory of log.provider.example", "name": "objects", "before": "1,000", "now": "2,500", "trend": "other"},
	}}
	if data, err = json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	return data
}

// check runs check.mjs.
func check(t *testing.T, files ...string) []look {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"check.mjs"}, files...)...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("check.mjs: %v\n%s", err, errOut.String())
	}
	var looks []look
	for dec := json.NewDecoder(&out); dec.More(); {
		var l look
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		looks = append(looks, l)
	}
	return looks
}

// problems is what is wrong with a page on a screen.
func (l look) problems() (found []string) {
	add := func(bad bool, what string, more ...string) {
		if bad {
			found = append(found, what+" "+strings.Join(more, " | "))
		}
	}
	add(len(l.Console) > 0, "console:", l.Console...)
	add(len(l.Requests) > 0, "requests:", l.Requests...)
	add(l.Overflow > 0 || len(l.Wide) > 0, "wider than the screen:", l.Wide...)
	add(l.Scripts > 0, "scripts, images or frames")
	add(l.Targets > 0, "links that lead nowhere")
	add(l.Passes < 20, "axe-core looked at next to nothing")
	for _, v := range l.Violations {
		add(true, "accessibility: "+v.ID, v.Nodes...)
	}
	return found
}

var backgrounds = map[string]string{"light": "rgb(246, 246, 243)", "dark": "rgb(17, 21, 27)", "print": "rgb(255, 255, 255)"}

// words are what a person looks for.
var words = map[string][]string{
	"report": {"Risk report", "Since the report before", "of 12 assets", "91.66 %", "reported false, observed true", "Example Audit Ltd", "db-replica-3", "Dispute", "Expiring", "Withdrawn", "the same, bit for bit", "conmotion measure --recompute"},
	"hostile": {"<script>alert(1)</script>", `"><img src=x onerror=alert(2)>`, `\u202egnp.exe\u202c`, `zero\u200bwidth`, `new\u000aline\u0000nul`,
		"{{.Format}}", "javascript:alert(3)", "</style></svg><!--", "مرحبا", strings.Repeat("a", 2048)},
	"entry": {"Verified", "Example Audit Ltd", "Where it is in the log, and its Receipt", "conmotion receipt --static"},
	"large": {"New: 4,000 differences (3,000 missing, 1,000 drifting)", "1,500 of 1,500 missing", "AWS::RDS::DBInstance: 1,500 missing", "AWS::S3::Bucket: 300 drifting",
		"missing: 0 → now 1,500 ▲ worse", "1,494 more like these, of which 60 are here"},
	"empty": {"Unknown", "No data.", "That says nothing about what is missing", "No own comparison."},
}

func TestPages(t *testing.T) {
	install(t)
	looks := check(t, pages(t)...)
	if len(looks) != 25 {
		t.Fatalf("%d looks", len(looks))
	}
	for _, l := range looks {
		name := strings.TrimSuffix(l.File, ".html")
		where := name + " on " + l.Screen + ": "
		for _, p := range l.problems() {
			t.Error(where + p)
		}
		if wrong := plural.Wrong(l.Text); len(wrong) > 0 {
			t.Errorf("%sone is counted as several: %q", where, wrong)
		}
		for _, word := range words[name] {
			// Lines are broken where there is room.
			if !strings.Contains(l.Text, word) && !strings.Contains(strings.Join(strings.Fields(l.Text), " "), strings.Join(strings.Fields(word), " ")) {
				t.Errorf("%snot to be read: %.60q", where, word)
			}
		}
		theme := "light"
		if strings.HasSuffix(l.Screen, "dark") {
			theme = "dark"
		} else if l.Screen == "print" {
			theme = "print"
		}
		// What is folded away is named on paper too, and 2,500 assets are not a book.
		if theme == "print" && (l.Pages == 0 || l.Pages > 20 || name == "large" && !strings.Contains(l.Closed, "1,494 more like these")) {
			t.Errorf("%s%d pages of paper, %d characters as it opens", where, l.Pages, len(l.Closed))
		}
		// The style counts: the policy lets it.
		if l.Background != backgrounds[theme] {
			t.Errorf("%sthe background is %s", where, l.Background)
		}
		if len(l.Closed) < 500 || len(l.Closed) > len(l.Text) && l.Screen != "print" {
			t.Errorf("%s%d characters as it opens, %d unfolded", where, len(l.Closed), len(l.Text))
		}
		for _, i := range l.Incomplete {
			// Text before a plot's lines has the colours of text elsewhere, and
			// a sign alone stands beside words.
			known := func(n string) bool {
				return strings.HasPrefix(n, "<text") || strings.Contains(n, "only non-text characters")
			}
			if i.ID != "color-contrast" || slices.ContainsFunc(i.Nodes, func(n string) bool { return !known(n) }) {
				t.Errorf("%saxe-core could not say: %s %q", where, i.ID, i.Nodes)
			}
		}
	}
}

// TestFinds: what would be wrong is found.
func TestFinds(t *testing.T) {
	install(t)
	good, err := os.ReadFile(pages(t)[2])
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	edits := []struct{ name, old, new, found string }{
		{"script", "</main>", "<script>document.title='x'</script></main>", "console:"},
		{"image", "</main>", `<img alt="" src="https://example.com/x.png"></main>`, "console:"},
		{"style", "body {", "body  {", "console:"},
		{"wide", "</main>", `<p class="id">` + strings.Repeat("x", 300) + `</p></main>`, "wider than the screen"},
		{"label", `<nav aria-label="Sections">`, `<nav aria-label="Sections" role="banana">`, "accessibility: aria-roles"},
		{"language", `<html lang="en">`, "<html>", "accessibility: html-has-lang"},
		{"heading", "<h1>Risk report</h1>", "<p>Risk report</p>", "accessibility: page-has-heading-one"},
		{"link", `href="#logs"`, `href="#log"`, "links that lead nowhere"},
	}
	for _, e := range edits {
		page := bytes.Replace(good, []byte(e.old), []byte(e.new), 1)
		if bytes.Equal(page, good) {
			t.Fatalf("%s: nothing to edit", e.name)
		}
		path := filepath.Join(t.TempDir(), e.name+".html")
		if err := os.WriteFile(path, page, 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	for _, l := range check(t, append([]string{"--only", "phone"}, files...)...) {
		i := slices.IndexFunc(edits, func(e struct{ name, old, new, found string }) bool { return e.name+".html" == l.File })
		if want := edits[i].found; !slices.ContainsFunc(l.problems(), func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("%s: found only %q", edits[i].name, l.problems())
		}
	}
}
