package importer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestSplitRaw(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte("{\"a\":1}\n{\"b\":2}")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ in, want string }{
		"lines":           {"{\"a\":1}\n{\"b\":2}\n", `1 {"a":1}|2 {"b":2}|`},
		"array":           {"[\n {\"a\":1},\n {\"b\":\n2}]", "2 {\"a\":1}|3 {\"b\":\n2}|"},
		"gzip":            {zipped.String(), `1 {"a":1}|2 {"b":2}|`},
		"a line cut off":  {"{\"a\":1}\n{\"b\n{\"c\":3}", `1 {"a":1}|2 problem|3 {"c":3}|`},
		"the end cut off": {"{\"a\":1}\n{\"b\":", `1 {"a":1}|2 end|`},
		"nothing":         {" \n", ``},
		"no containers":   {`{"configurationItems":[{"a":1}]}`, `1 {"configurationItems":[{"a":1}]}|`},
	} {
		var got strings.Builder
		for raw, err := range Split(strings.NewReader(c.in), Options{}) {
			got.WriteString(strings.TrimSpace(string(rune('0'+raw.Position.Line))) + " ")
			switch _, problem := errors.AsType[*Problem](err); {
			case problem:
				got.WriteString("problem")
			case err != nil:
				got.WriteString("end")
			}
			got.WriteString(string(raw.JSON) + "|")
		}
		if got.String() != c.want {
			t.Errorf("%s: %s, want %s", name, &got, c.want)
		}
	}
}

// FuzzSplitRaw: what is split and joined again is split the same way.
func FuzzSplitRaw(f *testing.F) {
	f.Add([]byte("{\"a\":1}\n{\"b\":2}\n"))
	f.Add([]byte(`[{"a":[1,2]},{"b":"}"}]`))
	f.Add([]byte("{\"a\n{\"b\":1}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		items := func(data []byte) (out [][]byte) {
			for raw, err := range Split(bytes.NewReader(data), Options{maxItem: 1 << 16}) {
				if err == nil && json.Valid(raw.JSON) && raw.JSON[0] == '{' {
					var line bytes.Buffer
					if err := json.Compact(&line, raw.JSON); err != nil {
						t.Fatal(err)
					}
					out = append(out, line.Bytes())
				}
			}
			return out
		}
		first := items(data)
		second := items(bytes.Join(first, []byte("\n")))
		if len(first) != len(second) {
			t.Fatalf("%d items, then %d", len(first), len(second))
		}
		for i := range first {
			if !bytes.Equal(first[i], second[i]) {
				t.Errorf("%q became %q", first[i], second[i])
			}
		}
	})
}
