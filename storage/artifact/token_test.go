package artifact

import (
	"errors"
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	token, line, err := NewToken("ci@example.com")
	if err != nil {
		t.Fatal(err)
	}
	again, line2, err := NewToken("ci@example.com")
	if err != nil || again == token || line2 == line {
		t.Fatalf("the second token is %q, the first %q, %v", again, token, err)
	}
	if strings.Contains(line, token) || len(token) < 43 {
		t.Errorf("token %q, line %q", token, line)
	}
	tokens, err := ParseTokens(strings.NewReader("# who may write\n\n" + line + "\r\n  " + line2))
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []string{token, again} {
		if name, ok := tokens.holder(known); !ok || name != "ci@example.com" {
			t.Errorf("%q is of %q, %v", known, name, ok)
		}
	}
	for _, unknown := range []string{"", token[1:], token + "x", strings.ToUpper(token), line, strings.Fields(line)[0][7:]} {
		if name, ok := tokens.holder(unknown); ok {
			t.Errorf("%q is of %q", unknown, name)
		}
	}
}

func TestNewTokenName(t *testing.T) {
	for _, name := range []string{"", "a b", "a\nsha256:", "#", "ü", strings.Repeat("a", 65)} {
		if _, _, err := NewToken(name); !errors.Is(err, ErrTokens) {
			t.Errorf("name %q: %v, want ErrTokens", name, err)
		}
	}
}

func TestParseTokensFails(t *testing.T) {
	hash := "sha256:" + strings.Repeat("0a", 32)
	for file, where := range map[string]string{
		"":                                 "no token",
		"# nobody\n":                       "no token",
		hash:                               "line 1: no valid name",
		hash + " ":                         "line 1: no valid name",
		hash + " a b":                      "line 1: no valid name",
		"\n" + hash + " a\n" + hash + " b": "line 3: this hash is there twice",
		hash[7:] + " a":                    "line 1: want sha256:",
		hash[:70] + " a":                   "line 1: want sha256:",
		strings.ToUpper(hash) + " a":       "line 1: want sha256:",
		"secret-token name":                "line 1: want sha256:",
		strings.Repeat("x", 100_000):       "too long",
	} {
		if _, err := ParseTokens(strings.NewReader(file)); !errors.Is(err, ErrTokens) || !strings.Contains(err.Error(), where) {
			t.Errorf("%.100q: %v, want ErrTokens with %q", file, err, where)
		}
	}
}

func FuzzParseTokens(f *testing.F) {
	hash := "sha256:" + strings.Repeat("0a", 32)
	f.Add(hash + " a\n")
	f.Add("# x\n\n" + hash + " a.b_c-d@e\r\nsha256:" + strings.Repeat("ff", 32) + "  b")
	f.Add(hash + " a\n" + hash + " a")
	f.Add("sha256: a")
	f.Fuzz(func(t *testing.T, file string) {
		tokens, err := ParseTokens(strings.NewReader(file))
		if err != nil {
			if !errors.Is(err, ErrTokens) {
				t.Errorf("%v is not ErrTokens", err)
			}
			return
		}
		// What was understood, written again, is understood the same.
		var b strings.Builder
		for _, k := range tokens.tokens {
			if !strings.Contains(file, k.hash.String()) {
				t.Errorf("hash %s is not in the file", k.hash)
			}
			b.WriteString("sha256:" + k.hash.String() + " " + k.name + "\n")
		}
		again, err := ParseTokens(strings.NewReader(b.String()))
		if err != nil || len(again.tokens) != len(tokens.tokens) {
			t.Fatalf("written again: %v", err)
		}
		for i, k := range tokens.tokens {
			if again.tokens[i] != k {
				t.Errorf("token %d is %v, was %v", i, again.tokens[i], k)
			}
		}
	})
}
