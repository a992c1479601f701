package watch

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// TestExample: it is good, and has every setting.
func TestExample(t *testing.T) {
	for name := range settings(reflect.TypeFor[Config](), map[string]bool{}) {
		if !regexp.MustCompile(`(?m)^[ -]*` + name + `:`).MatchString(Example) {
			t.Errorf("the example does not have %s", name)
		}
	}
	c := testlog.Must(ParseConfig([]byte(Example)))(t)
	if len(c.Logs) != 2 || len(c.Alerts.Webhooks) != 1 || len(c.Alerts.Commands) != 1 || len(c.IssuerKeys) != 1 {
		t.Fatalf("%+v", c)
	}
	p, a := c.Logs[0], c.Logs[1]
	if time.Duration(p.Interval) != time.Minute || time.Duration(a.Interval) != 5*time.Minute || time.Duration(p.MaxAge) != 24*time.Hour ||
		p.Admission == nil || a.Admission != nil || p.Records[0].Types[0] != scitt.TypeRecord || p.Records[0].UIDs[0] != "arn:aws:rds:*" ||
		p.Records[0].Severity != monitor.High || *a.Measurements[0].Over != 10 || time.Duration(a.Endorsements[0].Before) != 14*24*time.Hour || p.From != fromNow {
		t.Errorf("%+v", c)
	}
	c.Resolve("/etc/conmotion")
	if c.State != "/etc/conmotion/monitor-state" || c.Alerts.Webhooks[0].TokenFile != "/etc/conmotion/hook-token" ||
		p.Location != c.Logs[0].Location || c.IssuerKeys["https://auditor.example"] != "/etc/conmotion/auditor.pem" || c.Alerts.Commands[0].Run[0] != "/usr/local/bin/page" {
		t.Errorf("%+v", c)
	}
}

// settings are the names of all settings in a type.
func settings(typ reflect.Type, all map[string]bool) map[string]bool {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		settings(typ.Elem(), all)
	case reflect.Struct:
		for i := range typ.NumField() {
			f := typ.Field(i)
			if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" {
				all[name] = true
			}
			settings(f.Type, all)
		}
	}
	return all
}

// TestConfigErrors: every error says where and what.
func TestConfigErrors(t *testing.T) {
	const log = "logs:\n  - name: a\n    location: http://a.example\n"
	for text, want := range map[string]string{
		"":                                                   "empty",
		"logs: []\n":                                         "line 1: there are no logs",
		"interval: 1m\nlog: []\n":                            "line 2: there is no setting log here",
		log + "    max-age: 1d\n":                            "line 4: there is no setting max-age here",
		log + "    max_age: fast\n":                          `line 4: "fast" is not a length of time`,
		log + "    max_age: -1h\n":                           "line 4: ",
		log + "    max_age: [1h]\n":                          "line 4: ",
		log + "    name: b\n":                                `"name" already defined`,
		log + "    interval: 1ms\n":                          "line 4: the interval is less than 50ms",
		log + "    from: yesterday\n":                        "line 4: from is now or start",
		log + "    vkeys: [x]\n":                             "line 4: vkeys: malformed",
		log + "  - name: a\n    location: b\n":               `line 4: the name "a" is there twice`,
		log + "  - location: b\n":                            "line 4: a log needs a name",
		log + "  - name: a/b\n    location: b\n":             `line 4: the name "a/b"`,
		log + "  - name: a.audit\n    location: b\n":         `line 4: the name "a.audit" ends in .audit`,
		log + "  - name: b\n":                                `line 4: the log "b" needs a location`,
		log + "  - name: b\n    location: ftp://b.example\n": "line 5: the location",
		log + "    records:\n      - {}\n":                   "line 5: a rule needs a name",
		log + "    records:\n      - name: r\n        kinds: [asset]\n":                       `line 6: kinds is one of inventory, configuration, not "asset"`,
		log + "    measurements:\n      - {name: m, by: [x], drift: -1}\n":                    "drift is how many",
		log + "    measurements:\n      - {name: m, by: [x], below: 101}\n":                   "below is a coverage in percent",
		log + "    measurements:\n      - {name: m, by: [x], over: 1, scope: [colour=red]}\n": "is not a term of a scope",
		log + "    records:\n      - name: r\n        severity: bad\n":                        "line 6: severity is one of",
		log + "    records:\n      - name: r\n        over: 1\n":                              "line 6: there is no setting over here",
		log + "    records: [{name: r}]\n    expected: [{name: r, every: 1h}]\n":              `line 5: the name "r" is there twice`,
		log + "    expected: [{name: r}]\n":                                                   `line 4: "r" needs every`,
		log + "    measurements: [{name: r, over: 1}]\n":                                      `line 4: "r" needs by`,
		log + "    measurements: [{name: r, by: [x]}]\n":                                      `line 4: "r" needs over`,
		log + "    measurements: [{name: r, by: [x], over: 101}]\n":                           "line 4: over is an impact_score",
		log + "    measurements: [{name: r, by: [x], over: 1, what: [x]}]\n":                  "line 4: what is one of",
		log + "    endorsements: [{name: r, by: [x]}]\n":                                      `line 4: "r" needs before`,
		"alerts:\n  webhooks:\n    - {name: lines, url: http://a}\n" + log:                    `line 3: the name "lines" is there twice`,
		"alerts:\n  webhooks:\n    - {name: h, url: a}\n" + log:                               "line 3: the webhook's url",
		"alerts:\n  commands:\n    - {name: h}\n" + log:                                       "line 3: the command has nothing to run",
		log + "---\n" + log: "more than one YAML document",
		"logs: {a: b}\n":    "line 1: a value of the kind map does not belong here",
		"\tlogs: []\n":      "found character that cannot start any token",
	} {
		_, err := ParseConfig([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "watch.") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, v := range map[string]time.Duration{
		"90s": 90 * time.Second, "10m": 10 * time.Minute, "1h": time.Hour, "7d": 7 * 24 * time.Hour, "1h30m": 90 * time.Minute, "50ms": 50 * time.Millisecond, "1h0m10s": time.Hour + 10*time.Second,
	} {
		c := testlog.Must(ParseConfig([]byte("interval: " + text + "\nlogs: [{name: a, location: b}]\n")))(t)
		if time.Duration(c.Interval) != v {
			t.Errorf("%s is read as %v", text, time.Duration(c.Interval))
		}
		want := map[string]string{"90s": "1m30s"}[text]
		if want == "" {
			want = text
		}
		if got := duration(v).String(); got != want {
			t.Errorf("%v is written %s", v, got)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte(twoLogs))
	f.Add([]byte("logs: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err == nil && (len(c.Logs) == 0 || c.Logs[0].Interval <= 0 || c.Logs[0].Timeout <= 0) {
			t.Errorf("%q gives %+v", data, c)
		}
	})
}

// TestAlertGolden: alerts have the form of docs/schemas/alert.schema.json,
// which a test of package monitor holds to this file.
func TestAlertGolden(t *testing.T) {
	a := &Alert{
		Format: formatAlert, ID: "0123456789abcdef0123456789abcdef", Time: time.Date(2026, 7, 1, 12, 0, 0, 5e6, time.UTC),
		Log: "auditor", Location: "https://transparency.auditor.example", Check: checkMeasurement, Rule: "coverage", Status: Resolved, Severity: monitor.Informational,
		Message: "0 percent are missing", Entry: &monitor.EntryRef{EntryID: strings.Repeat("ab", 32), Index: 7, Origin: "transparency.auditor.example"},
		Issuer: "https://auditor.example", Subject: "measurement/inventory/transparency.provider.example", Resolves: "fedcba9876543210fedcba9876543210",
	}
	got := testlog.Must(json.MarshalIndent(a, "", "  "))(t)
	want := testlog.Must(os.ReadFile("testdata/alert.json"))(t)
	if string(got)+"\n" != string(want) {
		t.Errorf("got\n%s", got)
	}
	again := testlog.Must(ParseAlert(want))(t)
	if again.Entry.Index != 7 || !again.Time.Equal(a.Time) {
		t.Errorf("%+v", again)
	}
}
