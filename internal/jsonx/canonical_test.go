package jsonx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// TestCanonical: examples of RFC 8785, and the numbers at the edge of a double.
func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		// Section 3.2.2 and 3.2.3.
		`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`:                                        `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`: "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		// What is in that form already, and what is nearly.
		`{"":"é\u001f","1":-1,"\n":"\n","a":[true,{}],"b":[]}`: `{"":"é\u001f","\n":"\n","1":-1,"a":[true,{}],"b":[]}`, `{"a":[1,2],"b":"\u000a"}`: `{"a":[1,2],"b":"\n"}`,
		"{\"\U00010000\":1,\"\ue000\":-0}": "{\"\U00010000\":1,\"\ue000\":0}", "{\"\ue000\":1,\"\U00010000\":2}": "{\"\U00010000\":2,\"\ue000\":1}", `{"a":1,"b": 2}`: `{"a":1,"b":2}`,
		// Appendix B.
		`[-0, 5e-324, -5e-324, 1.7976931348623157e308, 9.999999999999997e22, 1e23, 1e21, 0.000001, 1e-7, 333333333.3333332]`: `[0,5e-324,-5e-324,1.7976931348623157e+308,9.999999999999997e+22,1e+23,1e+21,0.000001,1e-7,333333333.3333332]`,

		` { "b" : 1 , "a" : [ ] } `: `{"a":[],"b":1}`, `"<&>\u2028\u007f"`: "\"<&>\u2028\u007f\"", `null`: `null`,
		`[9007199254740991,-9007199254740991]`: `[9007199254740991,-9007199254740991]`, `[1e16, 9007199254740993.0]`: `[10000000000000000,9007199254740992]`,
	} {
		if got, err := Canonical([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		`[9007199254740992]`: "byte 1: the integer 9007199254740992 is beyond 2^53-1", `{"a": -9007199254740992}`: "byte 6: the integer 9007199254740992",
		"[" + strings.Repeat("1", 100) + "]": "the integer " + strings.Repeat("1", 40) + "... is beyond", `[1e309]`: "the number 1e309 is beyond", `[-1.8e308]`: "the number -1.8e308",
		`{"a":1,"a":1}`: `the member "a" is there twice`, `["\ud800"]`: "surrogate", "[\"\xff\"]": "UTF-8", `[01]`: "byte 2", `[] []`: "byte 3: something follows",
	} {
		if got, err := Canonical([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

// FuzzCanonical: the canonical form says the same, and is its own canonical form; that of a part is the same wherever
// the part stands.
func FuzzCanonical(f *testing.F) {
	for _, s := range append(texts, `{"b":[1.50,"\u0000\"\\<é\u2028"],"a":{}}`, `{"a":1,"b":[true,null,"x y"],"c":{}}`, `[truefalse]`, `[999999999999999]`, `[9007199254740993]`,
		"[\"\x7f\"]", `{"":""}`, "{\"\uffff\":1,\"\U00010000\":2,\"\ue000\":3}") {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		out, err := Canonical(src)
		if tree, err := Parse(src); err == nil {
			v := tree.nodes[0]
			if size, ok := tree.isCanonical(0); ok && size == v.end-v.pos {
				if slow := jsontext.Value(bytes.Clone(src[v.pos:v.end])); slow.Canonicalize() != nil || string(slow) != string(out) {
					t.Fatalf("%q is taken for canonical, and is %q", src, slow)
				}
			}
		}
		if !bytes.Equal(src, before) {
			t.Fatal("the text has changed")
		}
		if err != nil {
			if _, perr := Parse(src); perr == nil && !strings.Contains(err.Error(), "is beyond") {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		// 1e17 is not an integer as it is written, and its canonical form is one.
		if again, err := Canonical(out); err == nil && !bytes.Equal(again, out) || err != nil && !strings.Contains(err.Error(), "is beyond 2^53-1") {
			t.Fatalf("%q becomes %q: %v", out, again, err)
		}
		var x, y any
		if err := json.Unmarshal(src, &x); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &y); err != nil || !reflect.DeepEqual(x, y) {
			t.Fatalf("%q says another thing than %q: %v", out, src, err)
		}
		inside, err := Parse([]byte(`{"wide": 9007199254740993, "part": [1, ` + string(src) + `]}`))
		if err != nil {
			return // nested too deep
		}
		part := inside.Next(inside.First(inside.Find("part")))
		if got, err := inside.Canonical(part); err != nil || !bytes.Equal(got, out) {
			t.Fatalf("%q in another text: %q, %v", out, got, err)
		}
	})
}

func TestMembers(t *testing.T) {
	src := []byte(` {"a" : [1, 2 ], "b\u0062":{"c":null}, "":-0}`)
	got, err := Members(src)
	if want := map[string]json.RawMessage{"a": json.RawMessage("[1, 2 ]"), "bb": json.RawMessage(`{"c":null}`), "": json.RawMessage("-0")}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s, %v", got, err)
	}
	_ = append(got["a"], "x"...)
	if !bytes.HasPrefix(src, []byte(` {"a" : [1, 2 ],`)) {
		t.Error("a member has room for the next one")
	}
	for _, s := range []string{`[]`, `null`, `{"a":1,"\u0061":2}`, `{"a":1}x`, ``} {
		if m, err := Members([]byte(s)); err == nil {
			t.Errorf("%s has %v", s, m)
		}
	}
}

func TestDiff(t *testing.T) {
	for _, tt := range []struct {
		a, b, want string
		more       int
	}{
		{`{"a":1}`, `{"a":1}`, "", 0},
		{`{"a":1}`, `{"a": 1}`, "$", 0}, {`1`, `1 1`, "$", 0}, {`{"a":1,"a":1}`, `{}`, "$", 0}, {`1`, `"1"`, "$", 0},
		{`{"b":[1,{"x":true},3],"a":1.0,"c":"\u0061"}`, `{"a":1,"b":[1,{"x":false}],"c":"a","d":null}`, "$.a $.b[1].x $.b[2] $.d", 0},
		{`{"a":[],"b":{},"":1,"x y":1,"1":1,"<":1,"_9":1}`, `{"a":{},"b":[]}`, `$[""] $["1"] $["\u003c"] $._9 $.a $.b`, 1},
		{`[1,2,3,4,5,6,7,8]`, `[]`, "$[0] $[1] $[2] $[3] $[4] $[5]", 2},
	} {
		for range 2 {
			paths, more := Diff([]byte(tt.a), []byte(tt.b), 6)
			if got := strings.Join(paths, " "); got != tt.want || more != tt.more {
				t.Errorf("%s and %s: %s and %d more", tt.a, tt.b, got, more)
			}
			tt.a, tt.b = tt.b, tt.a
		}
	}
}

// TestDiffValues: each path comes with what both texts have there.
func TestDiffValues(t *testing.T) {
	d := DiffBut([]byte(`{"a":1,"b":["x",{"y":true}],"c":{"z":[]},"h":"?"}`), []byte(`{"a":"1","b":["x"],"c":{"z":{}},"d":null,"h":"!"}`), 3,
		func(t *Tree, n int32) bool { return t.Text(n) == "?" })
	want := Difference{[]string{"$.a", "$.b[1]", "$.c.z"}, [][2]string{{"1", `"1"`}, {`{"y":true}`, ""}, {"[]", "{}"}}, 1, []string{"$.h"}}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("%+v, want %+v", d, want)
	}
	if d := DiffBut([]byte(`1`), []byte(` 1`), 3, func(*Tree, int32) bool { return false }); !reflect.DeepEqual(d.Values, [][2]string{{"1", " 1"}}) {
		t.Errorf("%q", d.Values)
	}
}

// TestDiffLongNames: a long name with many values below it costs no more than its length.
func TestDiffLongNames(t *testing.T) {
	text := func(last string) []byte {
		return fmt.Appendf(nil, `{%q:{"a":[%s%s]}}`, strings.Repeat("n", 1<<20), strings.Repeat("1,", 1<<14), last)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	paths, more := Diff(text("1"), text("2"), 10)
	if runtime.ReadMemStats(&after); len(paths) != 1 || more != 0 || !strings.HasSuffix(paths[0], "n.a[16384]") || after.TotalAlloc-before.TotalAlloc > 1<<30 {
		t.Errorf("%d bytes were used, %d paths", after.TotalAlloc-before.TotalAlloc, len(paths))
	}
}
