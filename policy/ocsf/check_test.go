package ocsf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// set and del change an event at a path such as resources.0.ip.
func set(path string, value any) func(object) {
	return func(o object) {
		parent, key := walk(o, path)
		switch p := parent.(type) {
		case object:
			p[key] = value
		case list:
			i, _ := strconv.Atoi(key)
			p[i] = value
		}
	}
}

func del(path string) func(object) {
	return func(o object) {
		parent, key := walk(o, path)
		delete(parent.(object), key)
	}
}

func all(edits ...func(object)) func(object) {
	return func(o object) {
		for _, e := range edits {
			e(o)
		}
	}
}

func walk(v any, path string) (parent any, key string) {
	steps := strings.Split(path, ".")
	for _, s := range steps[:len(steps)-1] {
		switch x := v.(type) {
		case object:
			v = x[s]
		case list:
			i, _ := strconv.Atoi(s)
			v = x[i]
		}
	}
	return v, steps[len(steps)-1]
}

// findings renders a report without the recommended attributes, which most events lack.
func findings(rep Report) (out []string) {
	for _, f := range rep.Errors {
		out = append(out, "E "+f.Path+" "+f.Code)
	}
	for _, f := range rep.Warnings {
		if f.Code != CodeRecommendedMissing {
			out = append(out, "W "+f.Path+" "+f.Code)
		}
	}
	return out
}

func TestRules(t *testing.T) {
	const (
		inv  = "inventory_provider.json"
		conf = "configuration_provider.json"
		meas = "measurement.json"
		ent  = "entity.json"
		comp = "compliance_finding.json"
	)
	digits := func(n int) string { return strings.Repeat("1", n) }
	for _, tt := range []struct {
		name, base string
		edit       func(object)
		want       []string
	}{
		{"required", inv, del("severity_id"), []string{"E $.severity_id attribute_required_missing"}},
		{"required, null", inv, set("severity_id", nil), []string{"E $.severity_id attribute_required_missing"}},
		{"required, nested", meas, del("finding_info.uid"), []string{"E $.finding_info.uid attribute_required_missing"}},
		{"required, all of them", ent, all(del("entity"), del("time"), del("type_uid"), del("category_uid"), del("activity_id"), del("metadata")), []string{
			"E $.cloud attribute_profile_missing", "E $.activity_id attribute_required_missing", "E $.category_uid attribute_required_missing",
			"E $.entity attribute_required_missing", "E $.metadata attribute_required_missing",
			"E $.time attribute_required_missing", "E $.type_uid attribute_required_missing"}},
		{"optional is optional", inv, del("message"), nil},
		{"optional null", inv, set("duration", nil), nil},

		{"unknown", inv, set("colour", "red"), []string{"E $.colour attribute_unknown"}},
		{"unknown null", inv, set("colour", nil), []string{"E $.colour attribute_unknown"}},
		{"unknown, nested", inv, set("resources.0.owner.colour", 1), []string{"E $.resources[0].owner.colour attribute_unknown"}},
		{"unknown, name is no word", inv, set("a b", 1), []string{`E $["a b"] attribute_unknown`}},
		{"unknown, empty name", inv, set("", 1), []string{`E $[""] attribute_unknown`}},
		{"unmapped is free", inv, set("unmapped", object{"x": list{1, object{"y": nil}}}), nil},
		{"unmapped is an object", inv, set("unmapped", "x"), []string{"E $.unmapped attribute_wrong_type"}},
		{"json_t takes a string", inv, set("resources.0.data", "x"), nil},
		{"json_t takes an array", inv, set("resources.0.data", list{1, true, nil}), nil},

		{"string", inv, set("message", 5), []string{"E $.message attribute_wrong_type"}},
		{"integer, a string", inv, set("count", "5"), []string{"E $.count attribute_wrong_type"}},
		{"integer, a fraction", inv, set("count", json.Number("5.0")), []string{"E $.count attribute_wrong_type"}},
		{"integer, an exponent", inv, set("count", json.Number("5e2")), []string{"E $.count attribute_wrong_type"}},
		{"integer, 64 bits", inv, set("count", json.Number("9223372036854775807")), nil},
		{"integer, 65 bits", inv, set("count", json.Number("9223372036854775808")), []string{"E $.count attribute_wrong_type"}},
		{"integer, negative", inv, set("timezone_offset", -720), nil},
		{"long, a boolean", inv, set("duration", true), []string{"E $.duration attribute_wrong_type"}},
		{"boolean", meas, set("is_alert", false), nil},
		{"boolean, a number", meas, set("is_alert", 0), []string{"E $.is_alert attribute_wrong_type"}},
		{"float", meas, set("vulnerabilities", list{object{"cve": object{"uid": "CVE-2025-1", "cvss": list{object{"version": "3.1", "base_score": 9}}}}}), nil},
		{"float, a string", meas, set("vulnerabilities", list{object{"cve": object{"uid": "CVE-2025-1", "cvss": list{object{"version": "3.1", "base_score": "9"}}}}}),
			[]string{"E $.vulnerabilities[0].cve.cvss[0].base_score attribute_wrong_type"}},
		{"float, too large", meas, set("vulnerabilities", list{object{"cve": object{"uid": "CVE-2025-1", "cvss": list{object{"version": "3.1", "base_score": json.Number("1e999")}}}}}),
			[]string{"E $.vulnerabilities[0].cve.cvss[0].base_score attribute_wrong_type"}},
		{"object, a string", inv, set("cloud", "x"), []string{"E $.cloud attribute_wrong_type"}},
		{"array, one object", inv, set("resources", object{"name": "x"}), []string{"E $.resources attribute_wrong_type"}},
		{"array, element", inv, set("resources.0.labels", list{"a", 1, nil}),
			[]string{"E $.resources[0].labels[1] attribute_wrong_type", "E $.resources[0].labels[2] attribute_wrong_type"}},
		{"array, element no object", inv, set("resources", list{"x"}), []string{"E $.resources[0] attribute_wrong_type"}},
		{"no array, an array", inv, set("message", list{"x"}), []string{"E $.message attribute_wrong_type"}},
		{"empty array", inv, set("resources", list{}), nil},

		{"range, top", meas, set("evidences.0.url.port", 65535), nil},
		{"range, above", meas, set("evidences.0.url.port", 65536), []string{"E $.evidences[0].url.port attribute_value_exceeds_range"}},
		{"range, bottom", meas, set("evidences.0.url.port", 0), nil},
		{"range, below", meas, set("evidences.0.url.port", -1), []string{"E $.evidences[0].url.port attribute_value_exceeds_range"}},
		{"max_len, at", conf, set("device.subnet", digits(42)), nil},
		{"max_len, at, in characters", conf, set("device.subnet", strings.Repeat("é", 42)), nil},
		{"max_len, above", conf, set("device.subnet", digits(43)), []string{"E $.device.subnet attribute_value_exceeds_max_len"}},
		{"pattern, ip", inv, set("resources.0.ip", "10.0.0"), []string{"W $.resources[0].ip attribute_value_regex_not_matched"}},
		{"pattern, IPv6", inv, set("resources.0.ip", "2001:db8::1"), nil},
		{"pattern, mac", conf, set("device.mac", "02:42"), []string{"W $.device.mac attribute_value_regex_not_matched"}},
		{"pattern, email", inv, set("resources.0.owner.email_addr", "ops"), []string{"W $.resources[0].owner.email_addr attribute_value_regex_not_matched"}},
		{"pattern, email right", inv, set("resources.0.owner.email_addr", "ops@example.com"), nil},
		{"pattern, datetime", conf, set("time_dt", "today"), []string{"W $.time_dt attribute_value_regex_not_matched"}},

		{"time, zero", inv, set("time", 0), nil},
		{"time, before 1970", inv, set("time", -1), nil},
		{"time, a second short of seconds", inv, set("time", 99_999_999), nil},
		{"time, seconds", inv, set("time", 1752473191), []string{"E $.time timestamp_not_milliseconds"}},
		{"time, seconds at the bounds", inv, all(set("time", 100_000_000), set("start_time", 99_999_999_999)),
			[]string{"E $.start_time timestamp_not_milliseconds", "E $.time timestamp_not_milliseconds"}},
		{"time, milliseconds of 1973", inv, set("time", 100_000_000_000), nil},
		{"time, end of RFC 3339", inv, set("time", 253_402_300_799_999), nil},
		{"time, microseconds", inv, set("time", 1752473191000000), []string{"E $.time timestamp_not_milliseconds"}},
		{"time, nested", meas, set("finding_info.created_time", 1752473191), []string{"E $.finding_info.created_time timestamp_not_milliseconds"}},
		{"long that is no time", inv, set("raw_data_size", 1752473191), nil},

		{"enum", inv, set("severity_id", 7), []string{"E $.severity_id attribute_enum_value_unknown"}},
		{"enum of strings", meas, set("evidences.0.http_request", object{"http_method": "GET"}), nil},
		{"enum of strings, other", meas, set("evidences.0.http_request", object{"http_method": "Get"}),
			[]string{"E $.evidences[0].http_request.http_method attribute_enum_value_unknown"}},
		{"enum array", meas, set("evidences.0.url.category_ids", list{1, 9999}), []string{"E $.evidences[0].url.category_ids[1] attribute_enum_array_value_unknown"}},
		{"sibling", inv, set("severity", "High"), []string{"W $.severity attribute_enum_sibling_incorrect"}},
		{"sibling absent", inv, del("severity"), nil},
		{"sibling of Other", inv, all(set("severity_id", 99), set("severity", "P1")), nil},
		{"sibling of Other absent", inv, all(set("severity_id", 99), del("severity")), []string{"W $.severity attribute_enum_sibling_missing"}},
		{"sibling of Other null", inv, all(set("severity_id", 99), set("severity", nil)), []string{"W $.severity attribute_enum_sibling_missing"}},
		{"sibling of Other is Other", inv, all(set("severity_id", 99), set("severity", "Other")), []string{"W $.severity attribute_enum_sibling_suspicious_other"}},
		{"sibling of activity Other", inv, all(set("activity_id", 99), set("type_uid", 502399), del("activity_name"), del("type_name")),
			[]string{"W $.activity_name attribute_enum_sibling_missing"}},
		{"sibling of another type", inv, set("severity", 1), []string{"E $.severity attribute_wrong_type"}},
		{"array siblings", meas, all(set("evidences.0.url.category_ids", list{1, 99}), set("evidences.0.url.categories", list{"Adult/Mature Content", "x"})), nil},
		{"array sibling differs", meas, all(set("evidences.0.url.category_ids", list{1}), set("evidences.0.url.categories", list{"Spam"})),
			[]string{"E $.evidences[0].url.categories[0] attribute_enum_array_sibling_incorrect"}},
		{"array sibling too short", meas, all(set("evidences.0.url.category_ids", list{1, 101}), set("evidences.0.url.categories", list{"Adult/Mature Content"})),
			[]string{"E $.evidences[0].url.categories[1] attribute_enum_array_sibling_missing"}},

		{"class missing", inv, del("class_uid"), []string{"E $.class_uid attribute_required_missing"}},
		{"class null", inv, set("class_uid", nil), []string{"E $.class_uid attribute_required_missing"}},
		{"class no integer", inv, set("class_uid", "5023"), []string{"E $.class_uid attribute_wrong_type"}},
		{"class unknown", inv, set("class_uid", 1001), []string{"E $.class_uid class_uid_unknown"}},
		{"class name", inv, set("class_name", "Inventory"), []string{"W $.class_name attribute_enum_sibling_incorrect"}},
		{"category of another class", inv, all(set("category_uid", 2), del("category_name")), []string{"E $.category_uid attribute_enum_value_unknown"}},
		{"type_uid of another activity", inv, all(set("type_uid", 502302), del("type_name")), []string{"E $.type_uid type_uid_incorrect"}},
		{"type_uid of another class", inv, all(set("type_uid", 500101), del("type_name")),
			[]string{"E $.type_uid attribute_enum_value_unknown", "E $.type_uid type_uid_incorrect"}},
		{"activity unknown", inv, set("activity_id", 3), []string{"E $.activity_id attribute_enum_value_unknown", "E $.type_uid type_uid_incorrect"}},

		{"at_least_one of a class", inv, all(del("resources"), del("cloud")), []string{"E $ constraint_failed"}},
		{"at_least_one of a class by another", inv, all(del("resources"), del("cloud"), set("idp", object{"name": "x"})), nil},
		{"at_least_one of an object", inv, all(del("resources.0.name"), del("resources.0.uid")), []string{"E $.resources[0] constraint_failed"}},
		{"at_least_one null", inv, all(set("resources.0.name", nil), set("resources.0.uid", nil)), []string{"E $.resources[0] constraint_failed"}},
		{"at_least_one, one", inv, del("resources.0.name"), nil},
		{"just_one", meas, set("vulnerabilities", list{object{"cwe": object{"uid": "CWE-1"}}}), nil},
		{"just_one, none", meas, set("vulnerabilities", list{object{"title": "x"}}), []string{"E $.vulnerabilities[0] constraint_failed"}},
		{"just_one, two", meas, set("vulnerabilities", list{object{"cwe": object{"uid": "CWE-1"}, "cve": object{"uid": "CVE-2025-1"}}}),
			[]string{"E $.vulnerabilities[0] constraint_failed"}},

		{"profile unknown", inv, set("metadata.profiles", list{"cloud", "weather"}), []string{"E $.metadata.profiles[1] profile_unknown"}},
		{"profile known, of no class here", inv, set("metadata.profiles", list{"cloud", "trace"}), nil},
		{"profile of an extension", inv, set("metadata.profiles", list{"cloud", "linux/linux_users"}), nil},
		{"profile's own name", inv, set("metadata.profiles", list{"cloud", "linux_users"}), []string{"E $.metadata.profiles[1] profile_unknown"}},
		{"profile no string", inv, set("metadata.profiles", list{"cloud", 1}), []string{"E $.metadata.profiles[1] attribute_wrong_type"}},
		{"profile allows", inv, all(set("metadata.profiles", list{"cloud", "security_control"}), set("action_id", 1), set("action", "Allowed")), nil},
		{"profile missing", inv, set("action_id", 1), []string{"E $.action_id attribute_profile_missing"}},
		{"profile requires", inv, set("metadata.profiles", list{"cloud", "osint"}), []string{"E $.osint attribute_required_missing"}},
		{"profile required and there", inv, all(set("metadata.profiles", list{"cloud", "osint"}), set("osint", list{object{"type_id": 1, "value": "192.0.2.1"}})), nil},
		{"profile in an object", inv, all(set("metadata.profiles", list{}), del("resources.0.zone")), []string{"E $.resources[0].region attribute_profile_missing"}},
		{"class's own attribute needs no profile", inv, all(set("metadata.profiles", list{}), del("resources.0.zone"), del("resources.0.region")), nil},
		{"the same attribute under a profile elsewhere", conf, set("metadata.profiles", list{"datetime"}), []string{"E $.cloud attribute_profile_missing"}},
		{"datetime twin", conf, set("metadata.profiles", list{"cloud"}), []string{"E $.time_dt attribute_profile_missing"}},

		{"attribute deprecated", comp, set("resource", object{"name": "x"}), []string{"W $.resource attribute_deprecated"}},
		{"object deprecated", "config_state_deprecated.json", set("cis_benchmark_result", object{"name": "x"}),
			[]string{"W $.class_uid class_deprecated", "W $.cis_benchmark_result attribute_deprecated", "W $.cis_benchmark_result object_deprecated"}},

		{"version earlier", inv, set("metadata.version", "1.4.0"), []string{"W $.metadata.version version_earlier"}},
		{"version earlier patch", inv, set("metadata.version", "1.4.9"), []string{"W $.metadata.version version_earlier"}},
		{"version later", inv, set("metadata.version", "1.5.1"), []string{"E $.metadata.version version_incompatible_later"}},
		{"version prerelease", inv, set("metadata.version", "1.5.0-dev"), []string{"E $.metadata.version version_incompatible_prerelease"}},
		{"version initial", inv, set("metadata.version", "0.9.0"), []string{"E $.metadata.version version_incompatible_initial_development"}},
		{"version malformed", inv, set("metadata.version", "1.5"), []string{"E $.metadata.version version_malformed"}},
		{"version no string", inv, set("metadata.version", 1), []string{"E $.metadata.version attribute_wrong_type"}},

		{"observable", inv, set("observables", list{object{"name": "resources[0].owner.uid", "type_id": 31, "value": "x"}}), nil},
		{"observable, open index", inv, set("observables", list{object{"name": "resources[].ip", "type_id": 2, "value": "x"}}), nil},
		{"observable in a free object", inv, set("observables", list{object{"name": "unmapped.a.b", "type_id": 0, "value": "x"}}), nil},
		{"observable nowhere", inv, set("observables", list{object{"name": "resources.colour", "type_id": 0, "value": "x"}}),
			[]string{"E $.observables[0].name observable_name_invalid_reference"}},
		{"observable, index of no array", inv, set("observables", list{object{"name": "cloud[0].region", "type_id": 0, "value": "x"}}),
			[]string{"E $.observables[0].name observable_name_invalid_reference"}},
		{"observable below a scalar", inv, set("observables", list{object{"name": "message.x", "type_id": 0, "value": "x"}}),
			[]string{"E $.observables[0].name observable_name_invalid_reference"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := examples()[tt.base]
			// The event as its readers have it: lists and objects, not Go types.
			var plain object
			dec := json.NewDecoder(bytes.NewReader(encode(t, o)))
			dec.UseNumber()
			if err := dec.Decode(&plain); err != nil {
				t.Fatal(err)
			}
			tt.edit(plain)
			rep := check(t, Default(), encode(t, plain))
			if got := findings(rep); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q\n%v %v", got, tt.want, rep.Errors, rep.Warnings)
			}
			if hasError := strings.Contains(strings.Join(tt.want, " "), "E $"); rep.OK() == hasError {
				t.Errorf("OK is %v", rep.OK())
			}
		})
	}
}

func TestRecommended(t *testing.T) {
	rep := check(t, Default(), []byte(`{"class_uid":5023,"metadata":{"profiles":["cloud"],"product":{}},"resources":[{"ip":"10.0.0.1"}]}`))
	has := func(path string) bool {
		return slices.ContainsFunc(rep.Warnings, func(f Finding) bool { return f.Path == path && f.Code == CodeRecommendedMissing })
	}
	for _, path := range []string{"$.message", "$.resources[0].owner", "$.metadata.product.version"} {
		if !has(path) {
			t.Errorf("%s is not reported", path)
		}
	}
	for _, path := range []string{"$.resources[0].ip", "$.action_id", "$.duration", "$.time"} {
		if has(path) {
			t.Errorf("%s is there, of a profile not listed, optional, or required", path)
		}
	}
}

// TestBounded: an event cannot make its report large, and what matters more is kept.
func TestBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"class_uid":2004,"severity_id":1,"severity":"Low","evidences":[`)
	b.WriteString(strings.TrimSuffix(strings.Repeat("{},", 1000), ","))
	b.WriteString(`],"` + strings.Repeat("x", 10_000) + `":"` + strings.Repeat("y", 10_000) + `"}`)
	rep := check(t, Default(), []byte(b.String()))
	if len(rep.Errors) != maxFindings || len(rep.Warnings) != maxFindings {
		t.Errorf("%d errors and %d warnings are listed", len(rep.Errors), len(rep.Warnings))
	}
	// 1000 unmet constraints, 1 unknown attribute, and 6 required attributes: activity_id, category_uid, finding_info,
	// metadata, time, type_uid.
	if n := len(rep.Errors) + rep.MoreErrors; n != 1007 {
		t.Errorf("%d errors in all", n)
	}
	if rep.MoreWarnings < 1000 || rep.Warnings[0].Code != CodeSibling {
		t.Errorf("%d more warnings; the first is %v", rep.MoreWarnings, rep.Warnings[0])
	}
	for _, f := range append(rep.Errors, rep.Warnings...) {
		if len(f.Path)+len(f.Message) > 1000 {
			t.Errorf("finding of %d bytes", len(f.Path)+len(f.Message))
		}
	}
}

func TestNotObject(t *testing.T) {
	for _, event := range []string{`[]`, `[{"class_uid":5023}]`, `"x"`, `1`, `null`, `true`} {
		if got := findings(check(t, Default(), []byte(event))); !slices.Equal(got, []string{"E $ event_not_object"}) {
			t.Errorf("%s: %q", event, got)
		}
	}
}

func TestMalformed(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	many := func(last string) string {
		var b strings.Builder
		for i := range 100 {
			fmt.Fprintf(&b, `"k%d":1,`, i)
		}
		return "{" + b.String() + last + "}"
	}
	for _, tt := range []struct{ name, event, want string }{
		{"empty", "", "the text ends where a value is expected"},
		{"blank", " \n", "the text ends where a value is expected"},
		{"cut", `{"a":1`, "the text ends inside a value"},
		{"cut string", `{"a":"b`, "the text ends inside a value"},
		{"cut after escape", `{"a":"b\n`, "the text ends inside a value"},
		{"cut escape", `{"a":"b\`, "the text ends inside a value"},
		{"trailing bytes", `{} x`, "something follows the JSON value"},
		{"two texts", `{}{}`, "something follows the JSON value"},
		{"trailing comma", `{"a":1,}`, "byte 6: invalid character ','"},
		{"array comma", `[1,]`, "byte 2: invalid character ','"},
		{"no comma", `[1 2]`, "expecting ',' or ']'"},
		{"no colon", `{"a" 1}`, "expecting ':'"},
		{"bare name", `{a:1}`, "invalid character 'a'"},
		{"comment", `{/**/}`, "invalid character '/'"},
		{"literal", `nul`, "the text ends inside a value"},
		{"NaN", `NaN`, "invalid character 'N'"},
		{"leading zero", `[01]`, "expecting ',' or ']'"},
		{"bare minus", `[-]`, "expecting digit"},
		{"bare point", `[1.]`, "expecting digit"},
		{"bare exponent", `[1e+]`, "expecting digit"},
		{"plus", `[+1]`, "invalid character '+'"},
		{"control character", "\"a\nb\"", "control character"},
		{"control character after escape", "\"a\\t\x01\"", "control character"},
		{"zero byte", "{}\x00", "something follows the JSON value"},
		{"byte order mark", "\ufeff{}", "invalid character '\\ufeff'"},
		{"bad UTF-8", "\"\xff\"", "invalid UTF-8"},
		{"bad escape", `"\x"`, "invalid escape sequence"},
		{"bad hex", `"\u12g4"`, "invalid escape sequence"},
		{"short hex", `"\u12`, "the text ends inside a value"},
		{"high surrogate", `"\ud800"`, "invalid surrogate pair"},
		{"low surrogate", `"\udc00"`, "invalid surrogate pair"},
		{"two high surrogates", `"\ud800\ud800"`, "invalid surrogate pair"},
		{"duplicate", `{"a":1,"a":1}`, `the member "a" is there twice`},
		{"duplicate by escape", `{"a":1,"\u0061":1}`, `the member "a" is there twice`},
		{"duplicate, deep", `{"unmapped":[{"b":{},"b":{}}]}`, `the member "b" is there twice`},
		{"duplicate among many", many(`"k7":2`), `the member "k7" is there twice`},
		{"too deep", nested(jsonx.MaxDepth + 1), "nested deeper than 64 levels"},
		{"bomb", strings.Repeat("[", 1_000_000), "nested deeper than 64 levels"},
	} {
		_, err := Default().Check([]byte(tt.event))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if _, serr := summarize([]byte(tt.event)); !reflect.DeepEqual(err, serr) {
			t.Errorf("%s: summarize: %v", tt.name, serr)
		}
	}
	for name, event := range map[string]string{
		"as deep as allowed": nested(jsonx.MaxDepth), "many members": many(`"k":2`), "astral": `{"a":"\ud83d\ude00"}`, "blanks": " {\t}\r\n",
	} {
		check(t, Default(), []byte(event))
		if _, err := summarize([]byte(event)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSameMeaning: how an event is written does not matter.
func TestSameMeaning(t *testing.T) {
	event := encode(t, examples()["inventory_provider.json"])
	escaped := bytes.ReplaceAll(event, []byte(`"severity_id"`), []byte(`"\u0073everity_id"`))
	escaped = bytes.ReplaceAll(escaped, []byte(`"Informational"`), []byte(`"\u0049nform\u0061tional"`))
	want := check(t, Default(), event)
	if got := check(t, Default(), escaped); !reflect.DeepEqual(got, want) || bytes.Equal(escaped, event) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestConcurrent(t *testing.T) {
	event := encode(t, examples()["measurement.json"])
	want := check(t, Default(), event)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got, err := Default().Check(event); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

// summarize reads an event's summary without checking the event.
func summarize(event []byte) (Summary, error) {
	d, err := Parse(event)
	if err != nil {
		return Summary{}, err
	}
	return SummaryOf(d), nil
}
