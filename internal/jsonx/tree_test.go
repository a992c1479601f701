package jsonx

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

var texts = []string{
	``, ` `, `{}`, `[]`, ` [ ] `, `1`, `-0`, `01`, `1.`, `1e`, `1e+400`, `tru`, `null`, "\ufeff1", `"abc`, "\"\t\"", `"\x"`, `"\u12g4"`, `"\ud800"`, `"\ud83d\ude00"`, "\"\xff\"",
	`{"a": [1, -2.5e+3, "\u00e4\n\"\\\/", null, true, false], "": {}, "b": []}`, `{"a":1,}`, `[1 2]`, `{"a" 1}`, `{} {}`, `[`, `{"a":1`, `]`, `{"a"]`,
	`{"a":1,"a":1}`, `{"a":1,"\u0061":1}`, `{"\u0062":{"\u0061":"\u0061"},"b":1}`, `{"` + strings.Repeat(`a": 1, "a`, 40) + `": 1}`,
	strings.Repeat(`{"a":[`, 32) + strings.Repeat(`]}`, 32), strings.Repeat(`[`, 65) + strings.Repeat(`]`, 65), strings.Repeat("[", 1000),
}

// FuzzParse compares Parse with encoding/json: what both accept means the same, and what only encoding/json accepts is
// ambiguous, nested too deep, or not in UTF-8.
func FuzzParse(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		tree, err := Parse(src)
		if !bytes.Equal(src, before) {
			t.Fatal("the text has changed")
		}
		loose, looseErr := ParseLoose(src)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Offset < 0 || e.Offset > len(src) || e.Message == "" {
				t.Fatalf("%#v", err)
			}
			twice := strings.Contains(err.Error(), "is there twice")
			if json.Valid(src) && !twice && !strings.Contains(err.Error(), "nested deeper") &&
				!strings.Contains(err.Error(), "surrogate") && !strings.Contains(err.Error(), "invalid UTF-8") {
				t.Fatalf("%q: %v", src, err)
			}
			if looseErr == nil && !twice {
				t.Fatalf("%q is accepted loosely: %v", src, err)
			}
			return
		}
		dec := json.NewDecoder(bytes.NewReader(src))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil || !json.Valid(src) {
			t.Fatalf("%q is accepted: %v", src, err)
		}
		if got := tree.Any(0); !reflect.DeepEqual(got, want) || looseErr != nil || !reflect.DeepEqual(loose.Any(0), want) {
			t.Fatalf("%q: got %v, want %v", src, got, want)
		}
		places(t, tree, 0)
		tree.Free() // the next one takes its memory
		loose.Free()
	})
}

// TestFree: what was read of a tree stays when others take its memory.
func TestFree(t *testing.T) {
	tree, err := Parse([]byte(`{"a":["b\n",1,{"c":true}]}`))
	if err != nil {
		t.Fatal(err)
	}
	list := tree.Member(0, "a")
	name, text, object := tree.Name(list), tree.Text(tree.First(list)), tree.Any(0)
	part, err := tree.Canonical(list)
	if err != nil {
		t.Fatal(err)
	}
	tree.Free()
	for range 100 {
		other, err := Parse([]byte(`[["x","y\t"],{"z":2,"c":[]},null,3]`))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Free()
	}
	want := map[string]any{"a": []any{"b\n", json.Number("1"), map[string]any{"c": true}}}
	if name != "a" || text != "b\n" || !reflect.DeepEqual(object, want) || string(part) != `["b\n",1,{"c":true}]` {
		t.Errorf("%q %q %v %s", name, text, object, part)
	}
}

// places checks where the values of a tree are, and that members are found.
func places(t *testing.T, tree *Tree, n int32) {
	t.Helper()
	count := 0
	for m := tree.First(n); m != 0; m = tree.Next(m) {
		count++
		if tree.Kind(n) == Object && (tree.src[tree.NamePos(m)] != '"' || tree.NamePos(m) >= tree.Pos(m) || tree.Member(n, tree.Name(m)) != m) {
			t.Fatalf("member %q at %d: %d, found %d", tree.Name(m), tree.NamePos(m), m, tree.Member(n, tree.Name(m)))
		}
		if tree.Kind(n) == Array && tree.Name(m) != "" {
			t.Fatalf("an element is called %q", tree.Name(m))
		}
		places(t, tree, m)
	}
	if count != tree.Len(n) || tree.Member(n, "no such name") != 0 {
		t.Fatalf("%d values, want %d", count, tree.Len(n))
	}
	if first := tree.src[tree.Pos(n)]; tree.Kind(n) == Object != (first == '{') || tree.Kind(n) == Array != (first == '[') || tree.Kind(n) == String != (first == '"') {
		t.Fatalf("a %s begins with %q", tree.Kind(n), first)
	}
}

func TestQuote(t *testing.T) {
	for _, tt := range []struct{ in, cut, quote string }{
		{"", "", `""`}, {"abcd", "abcd", `"abcd"`}, {"abcde", "abcd...", `"abcd"...`}, {"abcé", "abc...", `"abc"...`}, {"\xff\"", "\xff\"", `"\xff\""`},
	} {
		if c, q := Cut(tt.in, 4), Quote(tt.in, 4); c != tt.cut || q != tt.quote {
			t.Errorf("%q: %s, %s", tt.in, c, q)
		}
	}
}
