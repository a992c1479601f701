package policy

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// plain makes of a node what encoding/json makes of its text.
func plain(n *node) any {
	switch n.kind {
	case kindBool:
		return n.text == "true"
	case kindNumber:
		return json.Number(n.text)
	case kindString:
		return n.text
	case kindArray:
		out := make([]any, 0, len(n.items))
		for i := range n.items {
			out = append(out, plain(&n.items[i]))
		}
		return out
	case kindObject:
		out := map[string]any{}
		for i := range n.items {
			out[n.items[i].key] = plain(&n.items[i])
		}
		return out
	}
	return nil
}

// FuzzJSON compares the strict parser with encoding/json: it takes nothing
// that the other refuses, and reads the same.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, -2.5e+3, "\u00e4\n\"\\\/", null, true, false], "": {}, "b": []}`, `"\ud83d\ude00"`, `-0`, `01`, `{"a":1,}`, "\"\t\"",
		`[1 2]`, `{"a" 1}`, ` [ ] `, `1e`, `tru`, "\ufeff1", `"\ud800"`, `{"` + strings.Repeat(`a": 1, "a`, 40) + `": 1}`, `"\x"`, `1.`, `"abc`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseNode(text)
		if err != nil {
			if err.pos < 0 || err.pos > len(text) || err.msg == "" {
				t.Fatalf("%+v", err)
			}
			return
		}
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var want any
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) || dec.Decode(&want) != nil {
			t.Fatalf("%q is taken", text)
		}
		if got := plain(n); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %#v, want %#v", text, got, want)
		}
	})
}

func TestStrictJSON(t *testing.T) {
	members := func(n int, last string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(`"` + strings.Repeat("m", i+1) + `": 1, `)
		}
		return "{" + b.String() + `"` + last + `": 2}`
	}
	for text, want := range map[string]bool{
		`{"a": 1, "b": {"a": 1}}`: true, `{"a": 1, "a": 1}`: false, `{"a": 1, "\u0061": 1}`: false, `{"": 1, "": 2}`: false,
		members(31, "x"): true, members(31, "m"): false, members(100, "x"): true, members(100, "m"): false, members(100, strings.Repeat("m", 100)): false,
		`"\ud83d\ude00"`: true, `"\ud83d"`: false, `"\ud83dx"`: false, `"\ude00\ud83d"`: false, `"\u12g4"`: false, `"\u+123"`: false, `"\u12"`: false,
		"\"\x7f\"": true, "\"\x00\"": false, "\"\\a\"": false, "\"\xff\"": false, `"\`: false, `"a\n` + "\n" + `"`: false,
		strings.Repeat("[", 65) + strings.Repeat("]", 65): true, strings.Repeat("[", 66) + strings.Repeat("]", 66): false,
		`1`: true, `-`: false, `+1`: false, `.5`: false, `1.`: false, `1e5`: true, `1e`: false, `00`: false, `-01`: false, `0x1`: false, `1 2`: false, `NaN`: false, ``: false, ` `: false,
	} {
		if _, err := parseJSON(text); (err == nil) != want {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}
