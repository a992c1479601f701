package disclosure

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestRFC9901: the disclosure of RFC 9901 section 4.2.2, with its digest.
func TestRFC9901(t *testing.T) {
	const text, digest = "WyJsa2x4RjVqTVlsR1RQVW92TU5JdkNBIiwgIkZSIl0", "w0I8EKcdCtUPkGCNUrfwVp2xEgNjtoIDlOxc9-PlOhs"
	d := Document{Payload: []byte(`{"nationalities":["US",{"...":"` + digest + `"}]}`), Disclosures: []string{text}}
	opened, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	if string(opened.Payload) != `{"nationalities":["US","FR"]}` || opened.Fields[0].Path != "$.nationalities[1]" || string(opened.Fields[0].Value) != `"FR"` {
		t.Errorf("%s, %+v", opened.Payload, opened.Fields)
	}
}

func patterns(t testing.TB, texts ...string) (out []Pattern) {
	for _, text := range texts {
		p, err := ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

const event = `{"a":{"x":"one","y":2,"z":[{"k":"v"},"w"]},"b":{"x":"one"},"gone":{"...":"redacted"}}`

// TestSalts: the same value at the same place of the same thing has one digest; at
// another place, of another thing and with another secret another one.
func TestSalts(t *testing.T) {
	secret := Secret{1}
	hide := func(s Secret, identity, payload string) []byte {
		d, err := s.HideFields(identity, []byte(payload), patterns(t, "a.x", "b.x"))
		if err != nil {
			t.Fatal(err)
		}
		return d.Payload
	}
	base := hide(secret, "i", event)
	if !bytes.Equal(base, hide(secret, "i", event)) {
		t.Error("the same gave another digest")
	}
	if got := hide(secret, "i", string(base)); !bytes.Equal(base, got) {
		t.Errorf("hidden again: %s", got)
	}
	for name, other := range map[string][]byte{
		"another thing": hide(secret, "j", event), "another secret": hide(Secret{2}, "i", event),
		"another value": hide(secret, "i", strings.ReplaceAll(event, "one", "two")),
	} {
		if d := digests(other); slices.ContainsFunc(d, func(s string) bool { return bytes.Contains(base, []byte(s)) }) || len(d) != 2 {
			t.Errorf("%s has the same digest: %s, %s", name, other, base)
		}
	}
	if d := digests(base); d[0] == d[1] {
		t.Error("two places have one digest")
	}
}

func digests(payload []byte) (out []string) {
	for s := range strings.SplitSeq(string(payload), `{"...":"`) {
		if end := strings.IndexByte(s, '"'); end == 43 {
			out = append(out, s[:end])
		}
	}
	return out
}

// TestOpen: what is shown is what was hidden, and nothing that is not it is taken.
func TestOpen(t *testing.T) {
	all, err := (&Secret{3}).HideFields("i", []byte(event), patterns(t, "x", "z[].k", "y"))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := all.Open()
	if err != nil || string(opened.Payload) != event || len(opened.Fields) != 4 || !slices.Equal(opened.Redacted, []string{"$.gone"}) || opened.Hidden != nil {
		t.Fatalf("%+v, %v", opened, err)
	}
	some, err := all.Only("$.a.z[0].k")
	if err != nil {
		t.Fatal(err)
	}
	file, err := some.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(append(file, '\n'))
	if err != nil {
		t.Fatal(err)
	}
	opened, err = again.Open()
	if err != nil || len(opened.Fields) != 1 || string(opened.Fields[0].Value) != `"v"` || !slices.Equal(opened.Hidden, []string{"$.a.x", "$.a.y", "$.b.x"}) {
		t.Errorf("%+v, %v", opened, err)
	}
	if bytes.Contains(file, []byte(all.Disclosures[0])) || bytes.Contains(opened.Payload, []byte(`"one"`)) {
		t.Errorf("what was not to be shown is: %s", file)
	}

	for want, fields := range map[string][]string{"3": {"x", "$.a.z[0].k"}, "2": {"x"}, "no hidden field has such a path": {"x", "$.a"}, "is not a pattern": {"a b[", "x"}} {
		some, err := all.Only(fields...)
		if got := fmt.Sprint(err); err == nil && fmt.Sprint(len(some.Disclosures)) != want || err != nil && !strings.Contains(got, want) {
			t.Errorf("%q: %+v, %v", fields, some, err)
		}
	}

	text := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	mark := func(disclosure string) string { return `{"v":{"...":"` + digestOf(disclosure) + `"}}` }
	for name, d := range map[string]Document{
		"another value":          {all.Payload, []string{text(`["salt","other"]`)}},
		"twice":                  {all.Payload, []string{all.Disclosures[0], all.Disclosures[0]}},
		"digest twice":           {[]byte(`[` + mark(all.Disclosures[0]) + `,` + mark(all.Disclosures[0]) + `]`), all.Disclosures[:1]},
		"digest twice, hidden":   {[]byte(`[` + mark(all.Disclosures[0]) + `,` + mark(all.Disclosures[0]) + `]`), nil},
		"no array":               {[]byte(mark(text(`"x"`))), []string{text(`"x"`)}},
		"three parts":            {[]byte(mark(text(`["s","n","v"]`))), []string{text(`["s","n","v"]`)}},
		"salt no text":           {[]byte(mark(text(`[1,"v"]`))), []string{text(`[1,"v"]`)}},
		"nested":                 {[]byte(mark(text(`["s",{"...":"redacted"}]`))), []string{text(`["s",{"...":"redacted"}]`)}},
		"padding":                {[]byte(mark("WyJzIiwxXQ==")), []string{"WyJzIiwxXQ=="}},
		"members twice":          {[]byte(mark(text(`["s",{"a":1,"a":2}]`))), []string{text(`["s",{"a":1,"a":2}]`)}},
		"large integer":          {[]byte(mark(text(`["s",9007199254740993]`))), []string{text(`["s",9007199254740993]`)}},
		"no mark":                {[]byte(`{"v":{"...":"x"}}`), nil},
		"mark no text":           {[]byte(`{"v":{"...":null}}`), nil},
		"mark and more":          {[]byte(`{"v":{"...":"redacted","x":1}}`), nil},
		"mark of 33 bytes":       {[]byte(`{"v":{"...":"` + strings.Repeat("A", 44) + `"}}`), nil},
		"mark, another spelling": {[]byte(`{"v":{"...":"` + strings.Repeat("A", 42) + `B"}}`), nil},
		"no JSON":                {[]byte(`{`), nil},
	} {
		if opened, err := d.Open(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, opened, err)
		}
	}
	for name, file := range map[string]string{
		"spaces": `{"disclosures": [],"format":"conmotion-disclosure/1","payload":{}}`, "more": `{"disclosures":[],"format":"conmotion-disclosure/1","payload":{},"x":1}`,
		"format": `{"disclosures":[],"format":"conmotion-disclosure/2","payload":{}}`, "null": `{"disclosures":null,"format":"conmotion-disclosure/1","payload":{}}`,
		"payload": `{"disclosures":[],"format":"conmotion-disclosure/1"}`, "twice": `{"disclosures":[],"disclosures":[],"format":"conmotion-disclosure/1","payload":{}}`, "": "",
	} {
		if d, err := Parse([]byte(file)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	for name, bad := range map[string]string{"reserved": `{"a":{"x":{"...":1}}}`, "nested": `{"a":{"x":[{"...":"redacted"}]}}`, "integer": `{"a":{"x":9007199254740993}}`} {
		if d, err := (&Secret{}).HideFields("i", []byte(bad), patterns(t, "a.x")); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// TestLongNames: a long name with many values below it costs no more than its length, and
// paths of hidden values that would fill the memory are refused.
func TestLongNames(t *testing.T) {
	name := strings.Repeat("n", 1<<20)
	below := func(value string) []byte {
		return fmt.Appendf(nil, `{%q:[%s%s]}`, name, strings.Repeat(value+",", 1<<14), value)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	opened, err := (&Document{Payload: below("1")}).Open()
	if runtime.ReadMemStats(&after); err != nil || after.TotalAlloc-before.TotalAlloc > 1<<30 {
		t.Errorf("%d bytes were used: %+v, %v", after.TotalAlloc-before.TotalAlloc, opened.Hidden, err)
	}
	if _, err := (&Document{Payload: below(`{"...":"redacted"}`)}).Open(); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "paths") {
		t.Errorf("%v", err)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"environment.variables.*", "$.data.Environment.Variables.A", true},
		{"environment.variables.*", "$.environment.variables", false},
		{"env[].value", "$.spec.env[3].value", true},
		{"env[].value", "$.spec.env.value", false},
		{"env.*", "$.env[0]", false},
		{"*password", `$["master-user_PASSWORD"]`, true},
		{"*password", "$.passwordLastUsed", false},
		{"value", `$["a.b"].value`, true},
		{"b.value", `$["a.b"].value`, false},
		{"x", `$["[]"].x`, true},
		{"a[].x", `$.a["[]"].x`, false},
		{"a[][].x", "$.a[0][1].x", true},
		{"*", `$["a/b"]`, true},
		{"a*c", `$["a/c"]`, true},
		{"x", `$["\"]"].x`, true},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil || p.Matches(pathSteps(c.path)) != c.want {
			t.Errorf("%s, %s: %v, %v", c.pattern, c.path, !c.want, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", "[]", "a[0]", "a[", "a]", "a?", `a\b`, "a[].", "[]a"} {
		if p, err := ParsePattern(bad); err == nil {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}

// FuzzParse: whatever a document is, it is refused or opened, and what is opened has
// no value that its disclosures do not show, and one spelling.
func FuzzParse(f *testing.F) {
	all, err := (&Secret{3}).HideFields("i", []byte(event), patterns(f, "x", "z[].k"))
	if err != nil {
		f.Fatal(err)
	}
	file, err := all.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte(`{"disclosures":["WyJzIiwxXQ"],"format":"conmotion-disclosure/1","payload":[{"...":"redacted"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		if again, err := d.Marshal(); err != nil || !bytes.Equal(again, bytes.TrimSuffix(data, []byte("\n"))) {
			t.Fatalf("%s, %v", again, err)
		}
		opened, err := d.Open()
		if err != nil {
			return
		}
		if len(opened.Fields) != len(d.Disclosures) {
			t.Fatalf("%d fields of %d disclosures", len(opened.Fields), len(d.Disclosures))
		}
		none, err := d.Only()
		if err != nil {
			t.Fatal(err)
		}
		if closed, err := none.Open(); err != nil || !bytes.Equal(closed.Payload, d.Payload) {
			t.Fatalf("nothing is shown: %s, %v", closed.Payload, err)
		}
	})
}

// TestAdd: what several files show of one document counts once.
func TestAdd(t *testing.T) {
	var d Document
	d.Add("a", "b")
	d.Add("b", "c")
	if got := strings.Join(d.Disclosures, " "); got != "a b c" {
		t.Error(got)
	}
}
