package policy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// jsonSchema checks values against the part of JSON Schema that
// docs/policy.schema.json uses; another keyword is an error.
type jsonSchema struct{ root map[string]any }

func (s jsonSchema) check(schema map[string]any, v any, path string) (errs []string) {
	bad := func(format string, args ...any) { errs = append(errs, path+": "+fmt.Sprintf(format, args...)) }
	object, _ := v.(map[string]any)
	array, isArray := v.([]any)
	text, isText := v.(string)
	number, isNumber := v.(float64)
	for keyword, arg := range schema {
		limit, _ := arg.(float64)
		switch keyword {
		case "$schema", "$id", "$defs", "title", "description":
		case "$ref":
			def := s.root["$defs"].(map[string]any)[strings.TrimPrefix(arg.(string), "#/$defs/")].(map[string]any)
			errs = append(errs, s.check(def, v, path)...)
		case "type":
			got := map[bool]string{object != nil: "object", isArray: "array", isText: "string", isNumber && number == float64(int64(number)): "integer"}[true]
			if got != arg {
				bad("not of type %v", arg)
			}
		case "properties":
			for name, member := range object {
				if sub, ok := arg.(map[string]any)[name]; ok {
					errs = append(errs, s.check(sub.(map[string]any), member, path+"."+name)...)
				} else if schema["additionalProperties"] == false {
					bad("unknown %s", name)
				}
			}
		case "additionalProperties":
		case "required":
			for _, name := range arg.([]any) {
				if _, ok := object[name.(string)]; !ok {
					bad("no %s", name)
				}
			}
		case "oneOf":
			n := 0
			for _, alternative := range arg.([]any) {
				if len(s.check(alternative.(map[string]any), v, path)) == 0 {
					n++
				}
			}
			if n != 1 {
				bad("%d alternatives fit", n)
			}
		case "items":
			for i := range array {
				errs = append(errs, s.check(arg.(map[string]any), array[i], fmt.Sprintf("%s[%d]", path, i))...)
			}
		case "uniqueItems":
			for i := range array {
				for j := range i {
					if reflect.DeepEqual(array[i], array[j]) {
						bad("%v twice", array[i])
					}
				}
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				bad("%v is none of %v", v, arg)
			}
		case "pattern":
			if isText && !regexp.MustCompile(arg.(string)).MatchString(text) {
				bad("%q does not fit", text)
			}
		case "minItems", "maxItems":
			if isArray && (keyword[:3] == "min") == (float64(len(array)) < limit) && float64(len(array)) != limit {
				bad("%d items", len(array))
			}
		case "minLength", "maxLength":
			if isText && (keyword[:3] == "min") == (float64(len(text)) < limit) && float64(len(text)) != limit {
				bad("%d characters", len(text))
			}
		case "minimum", "maximum":
			if isNumber && (keyword == "minimum") == (number < limit) && number != limit {
				bad("%v out of range", number)
			}
		default:
			bad("keyword %s", keyword)
		}
	}
	return errs
}

// TestSchemaFile: docs/policy.schema.json takes what Parse takes, and refuses
// what is wrong about the form of a document.
func TestSchemaFile(t *testing.T) {
	data, err := os.ReadFile("../docs/policy.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s jsonSchema
	if err := json.Unmarshal(data, &s.root); err != nil {
		t.Fatal(err)
	}
	check := func(doc []byte) []string {
		var v any
		if err := json.Unmarshal(doc, &v); err != nil {
			t.Fatal(err)
		}
		return s.check(s.root, v, "$")
	}
	files, err := filepath.Glob(examplesDir + "/*.json")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, f := range files {
		doc, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if errs := check(doc); errs != nil {
			t.Errorf("%s: %v", f, errs)
		}
	}
	a := `{"id": "a", "jwk": ` + jwk(t, p256(t, "a")) + `}`
	for doc, good := range map[string]bool{
		string(Default().Canonical()): true,
		`{"version": 1, "previous": "` + strings.Repeat("0", 64) + `", "chain": "off", "limits": {"max_entry_bytes": 65535, "algorithms": ["PS256"]}}`:                          true,
		`{"version": 1, "trust_anchors": {"keys": [` + a + `]}, "issuers": [{"issuer": "a*", "keys": ["a"]}], "administrators": [{"issuer": "a", "keys": ["a"]}]}`:              true,
		`{"version": 1, "ocsf": {"mode": "warn", "versions": ["1.5.0"], "classes": [5023]}, "rules": [{"id": "a", "expr": "iat > 0", "message": "m"}], "artifact": "required"}`: true,
		`{"version": 1, "issuers": [{"issuer": "x", "certificates": ["did:x509:0:sha256:` + strings.Repeat("A", 43) + `::eku:1"], "subjects": ["a"], "content_types": ["*"]}]}`: true,
		`{"version": 1, "signature": "low-s"}`: true, `{"version": 1, "signature": "any"}`: true, `{"version": 1, "signature": "high-s"}`: false, `{"version": 1, "signature": ""}`: false,
		`{}`: false, `[]`: false, `{"version": 2}`: false, `{"version": "1"}`: false, `{"version": 1, "x": 1}`: false,
		`{"version": 1, "chain": "on"}`: false, `{"version": 1, "issuers": []}`: false, `{"version": 1, "issuers": [{}]}`: false, `{"version": 1, "issuers": [{"issuer": ""}]}`: false,
		`{"version": 1, "administrators": [{"issuer": "a*"}]}`: false, `{"version": 1, "administrators": [{"issuer": "a", "subjects": ["a"]}]}`: false,
		`{"version": 1, "limits": {"max_entry_bytes": 65536}}`: false, `{"version": 1, "limits": {"max_entry_bytes": 0}}`: false, `{"version": 1, "limits": {"algorithms": ["RS256"]}}`: false,
		`{"version": 1, "limits": {"algorithms": ["ES256", "ES256"]}}`: false, `{"version": 1, "ocsf": {}}`: false, `{"version": 1, "ocsf": {"mode": "enforce", "versions": ["1.5"]}}`: false,
		`{"version": 1, "rules": [{"id": "A", "expr": "iat > 0", "message": "m"}]}`: false, `{"version": 1, "rules": [{"id": "a", "expr": "iat > 0"}]}`: false,
		`{"version": 1, "previous": "x"}`: false, `{"version": 1, "trust_anchors": {"self_certifying": ["did:web"]}}`: false, `{"version": 1, "trust_anchors": {"keys": [{"id": "a"}]}}`: false,
		`{"version": 1, "trust_anchors": {"x509_roots": [{"id": "a"}]}}`: false,
	} {
		if errs := check([]byte(doc)); (errs == nil) != good {
			t.Errorf("%s: the schema says %v", doc, errs)
		}
		if _, err := Parse([]byte(doc)); (err == nil) != good {
			t.Errorf("%s: Parse says %v", doc, err)
		}
	}
}

// TestDocumentation: the policy in docs/policy.md loads, and every variable
// and check has its place there.
func TestDocumentation(t *testing.T) {
	data, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	_, rest, _ := strings.Cut(text, "```json\n")
	doc, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	if w := parse(t, doc).Warnings(); len(w) > 0 {
		t.Errorf("lint: %v", w)
	}
	for _, v := range variables {
		group, member, _ := strings.Cut(v.name, ".")
		if !strings.Contains(text, "`"+v.name+"`") && !strings.Contains(text, "`."+member+"`") {
			t.Errorf("%s.%s is not explained", group, member)
		}
	}
	for _, c := range builtin {
		if !strings.Contains(text, "`"+c+"`") && c != CheckPayload {
			t.Errorf("the check %s is not explained", c)
		}
	}
}
