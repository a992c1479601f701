package party

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var named = Names{"did:jwk:abc": "Auditor", "log.example": "Its log", "log.example/second": "Another"}

func TestNamesText(t *testing.T) {
	for text, want := range map[string]string{
		"did:jwk:abc":               "«Auditor»",
		"by did:jwk:abc: no":        "by «Auditor»: no",
		"by did:jwk:abc.":           "by «Auditor».",
		"(did:jwk:abc), it":         "(«Auditor»), it",
		`"did:jwk:abc"`:             `"«Auditor»"`,
		"did:jwk:abcd":              "did:jwk:abcd", // another one
		"xdid:jwk:abc":              "xdid:jwk:abc",
		"did:jwk:abc#0":             "did:jwk:abc#0",
		"entry 5 of log.example":    "entry 5 of «Its log»",
		"log.example/second":        "«Another»",
		"log.example/third":         "log.example/third",
		"log.example.org":           "log.example.org",
		"https://log.example/x":     "https://log.example/x",
		"log.example did:jwk:abc":   "«Its log» «Auditor»",
		"«Auditor»":                 `\u00abAuditor\u00bb`, // somebody who would like to be it
		"Auditor":                   "Auditor",
		"«did:jwk:abc»":             `\u00abdid:jwk:abc\u00bb`,
		"did:jwk:abcdid:jwk:abc":    "did:jwk:abcdid:jwk:abc",
		"\xffdid:jwk:abc":           "\xffdid:jwk:abc",
		"did:jwk:abc did:jwk:abc\n": "«Auditor» «Auditor»\n",
	} {
		if got := named.Text(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := (Names)(nil).Text("«log.example»"); got != "«log.example»" {
		t.Errorf("without names: %q", got)
	}
}

// FuzzNamesText: text shows a name only where it had its identifier.
func FuzzNamesText(f *testing.F) {
	f.Add("by did:jwk:abc, in log.example")
	f.Add("«Auditor» did:jwk:ab")
	f.Fuzz(func(t *testing.T, text string) {
		got := named.Text(text)
		for id, name := range named {
			if shown := strings.Count(got, "«"+name+"»"); shown > strings.Count(text, id) {
				t.Errorf("%q shows %s %d times: %q", text, name, shown, got)
			}
		}
	})
}

func TestCall(t *testing.T) {
	h := Home(t.TempDir())
	for _, step := range []struct {
		more Names
		want int // names afterwards
		err  error
	}{
		{Names{"did:jwk:abc": "Auditor"}, 1, nil},
		{Names{"log.example": "Its log"}, 2, nil},
		{Names{"log.example": "Log"}, 2, nil},
		{Names{"did:jwk:other": "Auditor"}, 2, ErrName},
		{Names{"did:jwk:other": "Auditor", "did:jwk:abc": ""}, 2, nil},
		{Names{"a": "same", "b": "same"}, 2, ErrName},
		{Names{"a": "«x»"}, 2, ErrName},
		{Names{"a": "x\ny"}, 2, ErrName},
		{Names{"a": " x"}, 2, ErrName},
		{Names{"a": strings.Repeat("x", maxName+1)}, 2, ErrName},
		{Names{"a": "\xff"}, 2, ErrName},
		{Names{"": "x"}, 2, ErrName},
		{Names{"a": strings.Repeat("ü", maxName)}, 3, nil},
		{Names{"unknown": ""}, 3, nil},
	} {
		_, err := h.Call(t.Context(), step.more)
		if !errors.Is(err, step.err) || (err == nil) != (step.err == nil) {
			t.Errorf("%q: %v", step.more, err)
		}
		if names, err := h.Names(); err != nil || len(names) != step.want {
			t.Errorf("after %q: %q, %v", step.more, names, err)
		}
	}
	path := filepath.Join(string(h), "names.json")
	for _, damaged := range []string{"", "{}", `{"format": "conmotion-names/2", "names": {}}`, `{"format": "conmotion-names/1", "names": {"a": "x", "b": "x"}}`} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Names(); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", damaged, err)
		}
		if _, err := h.Call(t.Context(), Names{"c": "y"}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q was written over: %v", damaged, err)
		}
	}
	if names, err := Home("").Call(t.Context(), Names{"a": "x"}); err != nil || names["a"] != "x" {
		t.Errorf("without a home: %q, %v", names, err)
	}
}

func TestNamesIn(t *testing.T) {
	names := Names{"did:jwk:abc": "Auditor", `a"b`: "Quoted", "log.example": "Its log"}
	if in := names.In([]byte(`{"issuer": "did:jwk:abc", "other": "a\"b"}`)); len(in) != 2 || in["log.example"] != "" {
		t.Errorf("got %q", in)
	}
}
