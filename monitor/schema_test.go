package monitor

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// schema checks values against the part of JSON Schema that docs/schemas use;
// another keyword is an error.
type schema struct{ root object }

func (s schema) check(rules object, v any, path string) (errs []string) {
	bad := func(format string, args ...any) { errs = append(errs, path+": "+fmt.Sprintf(format, args...)) }
	members, _ := v.(object)
	array, _ := v.([]any)
	text, isText := v.(string)
	number, isNumber := v.(float64)
	for keyword, arg := range rules {
		limit, _ := arg.(float64)
		switch keyword {
		case "$schema", "$id", "$defs", "title", "description", "additionalProperties", "contentEncoding":
		case "$ref":
			def := s.root["$defs"].(object)[strings.TrimPrefix(arg.(string), "#/$defs/")].(object)
			errs = append(errs, s.check(def, v, path)...)
		case "type":
			got := fmt.Sprintf("%T", v)
			want := map[any]string{"object": "map[string]interface {}", "array": "[]interface {}", "string": "string", "integer": "float64", "boolean": "bool"}[arg]
			if got != want || isNumber && number != float64(int64(number)) {
				bad("%v is no %v", v, arg)
			}
		case "properties":
			for name, member := range members {
				if sub, ok := arg.(object)[name]; ok {
					errs = append(errs, s.check(sub.(object), member, path+"."+name)...)
				} else if rules["additionalProperties"] == false {
					bad("unknown %s", name)
				}
			}
		case "required":
			for _, name := range arg.([]any) {
				if _, ok := members[name.(string)]; !ok {
					bad("no %s", name)
				}
			}
		case "items":
			for i := range array {
				errs = append(errs, s.check(arg.(object), array[i], fmt.Sprintf("%s[%d]", path, i))...)
			}
		case "uniqueItems":
			for i := range array {
				if slices.ContainsFunc(array[:i], func(o any) bool { return reflect.DeepEqual(o, array[i]) }) {
					bad("%v twice", array[i])
				}
			}
		case "const":
			if v != arg {
				bad("%v is not %v", v, arg)
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				bad("%v is none of %v", v, arg)
			}
		case "pattern":
			if isText && !regexp.MustCompile(arg.(string)).MatchString(text) {
				bad("%q does not fit", text)
			}
		case "minItems", "minLength", "minimum":
			if len(array) < int(limit) && array != nil || isText && utf8.RuneCountInString(text) < int(limit) || isNumber && number < limit {
				bad("less than %v", limit)
			}
		case "maxItems", "maxLength", "maximum":
			if len(array) > int(limit) || isText && utf8.RuneCountInString(text) > int(limit) || isNumber && number > limit {
				bad("more than %v", limit)
			}
		default:
			bad("keyword %s", keyword)
		}
	}
	return errs
}

// spoil gives copies of a document, each with one member taken out of an
// object or one put in, at any depth.
func spoil(v any) (less, more []any) {
	switch v := v.(type) {
	case object:
		with := maps.Clone(v)
		with["an unknown member"] = 1.0
		more = append(more, with)
		for name, member := range v {
			without := maps.Clone(v)
			delete(without, name)
			less = append(less, without)
			l, m := spoil(member)
			for i, list := range [][]any{l, m} {
				for _, changed := range list {
					c := maps.Clone(v)
					c[name] = changed
					if i == 0 {
						less = append(less, c)
					} else {
						more = append(more, c)
					}
				}
			}
		}
	case []any:
		if len(v) > 0 {
			l, m := spoil(v[0])
			for i, list := range [][]any{l, m} {
				for _, changed := range list {
					c := slices.Clone(v)
					c[0] = changed
					if i == 0 {
						less = append(less, c)
					} else {
						more = append(more, c)
					}
				}
			}
		}
	}
	return less, more
}

// TestSchemas: docs/schemas take what this package writes, allow no unknown
// member anywhere, and require most of what is there.
func TestSchemas(t *testing.T) {
	documents := map[string]string{
		"acknowledgement.json": "acknowledgement", "endorsement.json": "endorsement", "dispute.json": "endorsement", "withdrawal.json": "endorsement",
		"measurement-inventory.json": "measurement", "measurement-configuration.json": "measurement", "scan.json": "scan",
		"replay.json": "replay", "saved.json": "replay", "comparison.json": "comparison", "history.json": "history", "difference.json": "difference",
		"../../tiles/testdata/equivocation.json": "equivocation", "../watch/testdata/alert.json": "alert",
		"../report/testdata/hostile.json": "report", "../../witness/mirror/testdata/manifest.json": "export",
		"../../witness/audit/testdata/evidence.json": "evidence",
	}
	used := map[string]bool{"record-settings": true}
	for file, name := range documents {
		used[name] = true
		s := readSchema(t, name)
		var v any
		if err := json.Unmarshal(must(os.ReadFile(filepath.Join("testdata", file)))(t), &v); err != nil {
			t.Fatal(err)
		}
		if name == "measurement" {
			v = v.(object)["unmapped"].(object)["conmotion"]
		}
		if errs := s.check(s.root, v, "$"); errs != nil {
			t.Errorf("%s: %q", file, errs)
		}
		less, more := spoil(v)
		for _, m := range more {
			if s.check(s.root, m, "$") == nil {
				t.Errorf("%s: an unknown member fits: %v", file, m)
			}
		}
		refused := 0
		for _, l := range less {
			if s.check(s.root, l, "$") != nil {
				refused++
			}
		}
		if refused*10 < len(less)*6 {
			t.Errorf("%s: of %d members only %d are required", file, len(less), refused)
		}
	}
	files := must(filepath.Glob(filepath.Join("..", "docs", "schemas", "*.schema.json")))(t)
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".schema.json"); !used[name] {
			t.Errorf("%s describes nothing", file)
		}
	}
	settings := readSchema(t, "record-settings")
	for text, good := range map[string]bool{
		`{"configuration":{"uid":"base","content":{"a":null},"assets":["x"]},"mine":1}`: true, `{}`: true,
		`{"configuration":{"asset":"x"}}`: false, `{"configuration":1}`: false, `{"configuration":{"uid":""}}`: false, `{"configuration":{"assets":"x"}}`: false,
		`{"correction":true}`: true, `{"correction":false}`: false,
		`{"upstream":[` + testRef + `]}`: true, `{"upstream":[]}`: false, `{"upstream":[` + testRef + `,` + testRef + `]}`: false,
		`{"upstream":[{"entry_id":"x","index":0,"origin":"o"}]}`: false, `{"upstream":[{"index":0,"origin":"o"}]}`: false,
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if errs := settings.check(settings.root, v, "$"); (errs == nil) != good {
			t.Errorf("%s: %q", text, errs)
		}
	}
}

func readSchema(t *testing.T, name string) schema {
	t.Helper()
	var s schema
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join("..", "docs", "schemas", name+".schema.json")))(t), &s.root); err != nil {
		t.Fatal(err)
	}
	return s
}
