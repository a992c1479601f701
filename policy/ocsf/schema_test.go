package ocsf

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// shared returns a file of the OCSF reference data beside the repository, nil where that is not there.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("CONMOTION_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	b, err := os.ReadFile(filepath.Join(dir, "ocsf", name))
	if os.IsNotExist(err) {
		t.Logf("no reference data: %v", err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const reference = "ocsf-1.5.0-seven-classes.json"

// embedded is the built-in schema as Load reads it.
func embedded(t *testing.T) *rawSchema {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(builtIn))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := readJSON(z)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestGenerate: the generator makes the embedded schema out of itself, and out of the compiled schema that it came from.
func TestGenerate(t *testing.T) {
	const file = "schema-1.5.0.json.gz"
	sources := map[string][]byte{file: builtIn}
	if b := shared(t, reference); b != nil {
		sources[reference] = b
	}
	for name, source := range sources {
		from, to := filepath.Join(t.TempDir(), name), filepath.Join(t.TempDir(), file)
		if err := os.WriteFile(from, source, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "run", "gen.go", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		got, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, builtIn) {
			t.Errorf("from %s come %d bytes, which are not the embedded %d: run go generate", name, len(got), len(builtIn))
		}
	}
}

// TestCompiledSchema: the embedded schema says what the compiled one says that it came from. Left out are the members that
// no rule reads: name (the key again), category (a name; category_uid is compared), extends and type_name.
func TestCompiledSchema(t *testing.T) {
	b := shared(t, reference)
	if b == nil {
		return
	}
	var got, want any
	z, err := gzip.NewReader(bytes.NewReader(builtIn))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(json.NewDecoder(z).Decode(&got), json.Unmarshal(b, &want)); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"classes", "objects"} {
		for _, it := range want.(object)[kind].(object) {
			drop(it.(object), "name", "category", "extends")
			for _, a := range it.(object)["attributes"].(object) {
				drop(a.(object), "type_name")
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("the embedded schema says something else")
	}
}

func drop(o object, names ...string) {
	for _, name := range names {
		delete(o, name)
	}
}

func TestDefault(t *testing.T) {
	s := Default()
	if s.Version() != "1.5.0" || !slices.Equal(s.Classes(), []int64{2003, 2004, 3004, 5001, 5002, 5019, 5023}) {
		t.Errorf("version %s, classes %v", s.Version(), s.Classes())
	}
	if s != Default() {
		t.Error("a second Default")
	}
	for _, name := range []string{"cloud", "container", "data_classification", "datetime", "host", "incident", "linux/linux_users",
		"load_balancer", "network_proxy", "osint", "security_control", "trace"} {
		if s.profiles[name] == 0 {
			t.Errorf("no profile %s", name)
		}
	}
	if len(s.profiles) != 12 {
		t.Errorf("%d profiles", len(s.profiles))
	}
}

// TestProfileRules: each owner and each attribute of profiles-1.5.0.txt exists. (The schema's own list of an owner's
// profiles is no help: it leaves out cloud for file, whose is_public is of that profile.)
func TestProfileRules(t *testing.T) {
	raw := embedded(t)
	items := map[string]*rawItem{}
	for name, it := range raw.items() {
		items[name] = it
	}
	for line := range strings.Lines(profilesText) {
		head, attrs, ok := strings.Cut(strings.TrimSpace(line), ":")
		words := strings.Fields(head)
		if !ok || words[0][0] == '#' {
			continue
		}
		for _, owner := range words[1:] {
			for name, it := range items {
				if owner != name && (owner != "*" || raw.Classes[name] == nil) {
					continue
				}
				for attr := range strings.FieldsSeq(attrs) {
					if it.Attributes[attr] == nil {
						t.Errorf("%s: %s has no attribute %s", words[0], name, attr)
					}
				}
			}
			if owner != "*" && items[owner] == nil {
				t.Errorf("%s: no class or object %s", words[0], owner)
			}
		}
	}
}

// TestReference: the compiled schema, loaded, finds what the embedded table finds.
func TestReference(t *testing.T) {
	b := shared(t, reference)
	if b == nil {
		return
	}
	s, err := Load(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	events := [][]byte{[]byte(`{"class_uid":2004,"osint":1}`), []byte(`{"class_uid":1}`)}
	for _, o := range examples() {
		events = append(events, encode(t, o))
	}
	for _, e := range events {
		if got, want := check(t, s, e), check(t, Default(), e); !reflect.DeepEqual(got, want) {
			t.Errorf("loaded %+v\ntable  %+v", got, want)
		}
	}
}

// small is a schema in the layout of a full export: enum values, deprecations and profiles are objects and lists, and
// an extension's names are scoped.
const small = `{
  "version": "2.1.0-dev", "compile_version": 1, "base_event": {}, "dictionary_attributes": {},
  "dictionary": {"types": {"attributes": {
    "integer_t": {"caption": "Integer"}, "string_t": {}, "level_t": {"type": "integer_t", "range": [1, 3], "caption": "Level"},
    "step_t": {"type": "level_t"}, "color_t": {"type": "string_t", "values": ["red", "blue"]}, "odd_t": {"type": "string_t", "regex": "(?=x)"}
  }}},
  "profiles": {"night": {}, "ext/day": {}},
  "classes": {"ext/thing": {
    "uid": 7001, "category_uid": 7, "caption": "Thing", "constraints": {"at_least_one": ["part.sub", "level"], "just_one": ["color", "mark"]},
    "@deprecated": {"message": "Use <code>other</code>.", "since": "2.0.0"},
    "attributes": {
      "class_uid": {"type": "integer_t", "requirement": "required"},
      "level": {"type": "level_t", "requirement": "optional", "profile": null},
      "step": {"type": "step_t", "requirement": "optional"},
      "odd": {"type": "odd_t"},
      "color": {"type": "color_t", "requirement": "optional"},
      "mark_id": {"type": "integer_t", "sibling": "mark", "enum": {
        "1": {"caption": "One", "description": "x"}, "2": {"caption": "Two", "@deprecated": {"message": "no since"}}}},
      "mark": {"type": "string_t"},
      "hue_ids": {"type": "integer_t", "is_array": true, "enum": {"1": {"caption": "Warm"}, "2": {"caption": "Cold", "@deprecated": {"message": "x", "since": "2.0.0"}}}},
      "star": {"type": "string_t", "requirement": "required", "profiles": ["night", "ext/day"]},
      "part": {"type": "object_t", "object_type": "ext/part", "requirement": "recommended"},
      "metadata": {"type": "object_t", "object_type": "metadata"}
    }}},
  "objects": {
    "ext/part": {"attributes": {"sub": {"type": "string_t"}}},
    "metadata": {"attributes": {"version": {"type": "string_t"}, "profiles": {"type": "string_t", "is_array": true}}}}
}`

func TestLoad(t *testing.T) {
	s, err := Load(strings.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	if s.Version() != "2.1.0-dev" || !slices.Equal(s.Classes(), []int64{7001}) {
		t.Errorf("version %s, classes %v", s.Version(), s.Classes())
	}
	old := "W $.class_uid class_deprecated"
	for _, tt := range []struct {
		event string
		want  []string
	}{
		{`{"class_uid":7001,"level":3,"color":"red"}`, []string{old}},
		{`{"class_uid":7001,"part":{"sub":"x"},"mark":"x"}`, []string{old}},
		{`{"class_uid":7001,"part":{},"sub":"x","mark":"x"}`, []string{"E $.sub attribute_unknown", "E $ constraint_failed", old}},
		{`{"class_uid":7001,"level":1,"color":"red","mark":"x"}`, []string{"E $ constraint_failed", old}},
		{`{"class_uid":7001,"level":4,"color":"green"}`,
			[]string{"E $.level attribute_value_exceeds_range", "E $.color attribute_value_not_in_type_values", old}},
		{`{"class_uid":7001,"level":1,"step":4,"color":"blue","odd":"y"}`, []string{"E $.step attribute_value_exceeds_range", old}},
		{`{"class_uid":7001,"level":1,"mark_id":2,"mark":"One"}`,
			[]string{old, "W $.mark_id attribute_enum_value_deprecated", "W $.mark attribute_enum_sibling_incorrect"}},
		{`{"class_uid":7001,"level":1,"color":"red","hue_ids":[1,2,3]}`,
			[]string{"E $.hue_ids[2] attribute_enum_array_value_unknown", old, "W $.hue_ids[1] attribute_enum_array_value_deprecated"}},
		{`{"class_uid":7001,"level":1,"color":"red","star":"x"}`, []string{"E $.star attribute_profile_missing", old}},
		{`{"class_uid":7001,"level":1,"color":"red","metadata":{"profiles":["night"]}}`, []string{"E $.star attribute_required_missing", old}},
		{`{"class_uid":7001,"level":1,"color":"red","star":"x","metadata":{"version":"2.1.0-dev","profiles":["ext/day"]}}`, []string{old}},
		{`{"class_uid":7001,"level":1,"color":"red","metadata":{"version":"2.1.0"}}`, []string{"E $.metadata.version version_incompatible_later", old}},
	} {
		if got := findings(check(t, s, []byte(tt.event))); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.event, got, tt.want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	swap := func(old, new string) io.Reader {
		if strings.Count(small, old) == 0 {
			t.Fatalf("%q is not in the schema", old)
		}
		return strings.NewReader(strings.ReplaceAll(small, old, new))
	}
	for _, tt := range []struct {
		name string
		in   io.Reader
		want string
	}{
		{"nothing", strings.NewReader(""), "EOF"},
		{"no JSON", strings.NewReader("<html>"), "invalid character"},
		{"not a schema", strings.NewReader(`{"caption":"x"}`), `version ""`},
		{"no classes", strings.NewReader(`{"version":"1.5.0"}`), "it has no classes"},
		{"trailing bytes", strings.NewReader(small + "{}"), "after top-level value"},
		{"too large", io.MultiReader(strings.NewReader("["), &endless{}), "larger than"},
		{"version", swap(`2.1.0-dev`, "2.1"), `version "2.1"`},
		{"null class", swap(`"ext/thing": {`, `"x": null, "ext/thing": {`), "x is null"},
		{"null attribute", swap(`"mark": {"type": "string_t"}`, `"mark": null`), "ext/thing.mark is null"},
		{"unknown type", swap(`{"type": "level_t", "requirement"`, `{"type": "depth_t", "requirement"`), `attribute level: unknown type "depth_t"`},
		{"unknown object", swap(`"object_type": "metadata"`, `"object_type": "meta"`), `attribute metadata: unknown object "meta"`},
		{"unknown constraint", swap("just_one", "at_most_one"), `unknown constraint "at_most_one"`},
		{"empty constraint", swap(`["color", "mark"]`, `["colour"]`), "constraint just_one names no attribute"},
		{"unknown primitive", swap(`"integer_t": {"caption": "Integer"}`, `"integer_t": {}, "void_t": {}`), `unknown primitive type "void_t"`},
		{"base nowhere", swap(`{"type": "level_t"}`, `{"type": "depth_t"}`), `its base "depth_t"`},
		{"base in a circle", swap(`{"type": "level_t"}`, `{"type": "step_t"}`), `its base "step_t"`},
		{"range of one", swap(`[1, 3]`, `[1]`), "its range has 1 ends"},
		{"range of fractions", swap(`[1, 3]`, `[1.5, 3]`), "range"},
		{"range of text", swap(`[1, 3]`, `[1, "x"]`), "range"},
		{"same uid", swap(`"classes": {`, `"classes": {"twin": {"uid": 7001, "attributes": {}},`), "ext/thing and twin have the same uid 7001"},
		{"too many profiles", swap(`"night": {}`, `"night": {}`+manyProfiles()), "at most 64"},
	} {
		if s, err := Load(tt.in); err == nil || s != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func manyProfiles() string {
	var b strings.Builder
	for i := range 64 {
		b.WriteString(`,"p` + strings.Repeat("x", i) + `": {}`)
	}
	return b.String()
}

// endless is a JSON array without end.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "0,"[e.n%2]
		e.n++
	}
	return len(p), nil
}

func TestProfileRulesRefused(t *testing.T) {
	if err := applyProfiles(&rawSchema{}, "cloud api"); err == nil {
		t.Error("a profile rule without a colon")
	}
}

func TestVersions(t *testing.T) {
	order := []string{"0.9.0", "1.0.0-alpha", "1.0.0-rc.2", "1.0.0", "1.0.1", "1.1.0-dev", "1.1.0", "1.10.0", "2.0.0"}
	for i, a := range order {
		for j, b := range order {
			v, ok1 := parseVersion(a)
			w, ok2 := parseVersion(b)
			if !ok1 || !ok2 || v.compare(w) != sign(i-j) {
				t.Errorf("%s and %s: %d", a, b, v.compare(w))
			}
		}
	}
	for _, s := range []string{"", "1", "1.5", "1.5.0.0", "1.5.x", "v1.5.0", "1.05.0", "+1.5.0", "1.5.0-", "1.5.-1", "99999999999.0.0"} {
		if _, ok := parseVersion(s); ok {
			t.Errorf("%q is a version", s)
		}
	}
}

func sign(n int) int { return min(1, max(-1, n)) }
