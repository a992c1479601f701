package policy

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
)

// FuzzJSON: a document is read as its text says, and rules read the same in a payload.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, -2.5e+3, "\u00e4\n\"\\\/", null, true, false], "": {}, "b": []}`, `"\ud83d\ude00"`, `-0`, `01`, `{"a":1,}`, "\"\t\"",
		`[1 2]`, `{"a" 1}`, ` [ ] `, `1e`, `tru`, "\ufeff1", `"\ud800"`, `{"` + strings.Repeat(`a": 1, "a`, 40) + `": 1}`, `"\x"`, `1.`, `"abc`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseNode([]byte(text))
		e := evaluation{s: &scitt.Statement{ContentType: "application/json"}}
		v, err2 := e.parseContent([]byte(text))
		if (err == nil) != (err2 == nil) {
			t.Fatalf("%v; %v", err, err2)
		}
		if err != nil {
			e, ok := errors.AsType[*jsonx.Error](err)
			if !ok || e.Offset < 0 || e.Offset > len(text) || e.Message == "" || !utf8.ValidString(e.Message) {
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
		same(t, n, v, want)
	})
}

// same compares a value of a document, and the CEL value of the same text, with what encoding/json makes of it.
func same(t *testing.T, n *node, v ref.Val, want any) {
	t.Helper()
	ok := false
	switch w := want.(type) {
	case nil:
		ok = n.kind == jsonx.Null && v == types.NullValue
	case bool:
		ok = n.kind == jsonx.Bool && n.text == strconv.FormatBool(w) && v == types.Bool(w)
	case json.Number:
		ok = n.kind == jsonx.Number && n.text == w.String() && v == fromNumber(number(n.text))
	case string:
		ok = n.kind == jsonx.String && n.text == w && v == types.String(w)
	case []any:
		list, isList := v.(traits.Lister)
		if ok = n.kind == jsonx.Array && isList && len(n.items) == len(w) && list.Size() == types.Int(len(w)); ok {
			for i := range w {
				same(t, &n.items[i], list.Get(types.Int(i)), w[i])
			}
		}
	case map[string]any:
		m, isMap := v.(*celMap)
		if ok = n.kind == jsonx.Object && isMap && len(n.items) == len(w) && m.len() == len(w); ok {
			for i := range w {
				same(t, n.member(i), m.Get(types.String(i)), w[i])
			}
		}
	}
	if !ok {
		t.Fatalf("%+v, %v; want %#v", n, v, want)
	}
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
		strings.Repeat("[", 64) + strings.Repeat("]", 64): true, strings.Repeat("[", 65) + strings.Repeat("]", 65): false,
		`1`: true, `-`: false, `+1`: false, `.5`: false, `1.`: false, `1e5`: true, `1e`: false, `00`: false, `-01`: false, `0x1`: false, `1 2`: false, `NaN`: false, ``: false, ` `: false,
	} {
		if _, err := parseNode([]byte(text)); (err == nil) != want {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}
