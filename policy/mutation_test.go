package policy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// mutations gives every document that differs from v in one place: a member
// that is left out, added, or is another value.
func mutations(v any, yield func(any)) {
	for _, other := range []any{nil, 0.5, "", []any{}, map[string]any{}} {
		yield(other)
	}
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			with := func(m any) any {
				out := map[string]any{}
				for k, e := range v {
					out[k] = e
				}
				out[key] = m
				return out
			}
			mutations(member, func(m any) { yield(with(m)) })
			without := with(nil).(map[string]any)
			delete(without, key)
			yield(without)
		}
		added := map[string]any{"unknown": 1}
		for k, e := range v {
			added[k] = e
		}
		yield(added)
	case []any:
		for i, item := range v {
			mutations(item, func(m any) {
				out := append([]any{}, v...)
				out[i] = m
				yield(out)
			})
		}
		yield(append(append([]any{}, v...), v...))
	}
}

// form is how Parse speaks of the form of a document.
var form = regexp.MustCompile(`unknown field|: missing|expected an? |the array is empty|the text is empty`)

// TestSchemaMutations: what docs/policy.schema.json refuses, Parse refuses too,
// wherever it stands; the schema takes only what Parse refuses for its meaning.
func TestSchemaMutations(t *testing.T) {
	data, err := os.ReadFile("../docs/policy.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s jsonSchema
	if err := json.Unmarshal(data, &s.root); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(examplesDir + "/*.json")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	tried, refused := 0, 0
	for _, f := range files {
		doc, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(doc, &v); err != nil {
			t.Fatal(err)
		}
		mutations(v, func(m any) {
			tried++
			changed, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			wrong := s.check(s.root, m, "$")
			_, err = Parse(changed)
			if wrong == nil {
				if err != nil && form.MatchString(err.Error()) {
					t.Errorf("%s: the schema takes %s: %v", filepath.Base(f), changed, err)
				}
				return
			}
			if refused++; err == nil {
				t.Errorf("%s: the schema refuses and Parse takes %s: %v", filepath.Base(f), changed, wrong)
			}
		})
	}
	if refused < 200 {
		t.Errorf("only %d of %d documents are refused by the schema: this was no test", refused, tried)
	}
	t.Logf("%d of %d documents are refused by the schema", refused, tried)
}
