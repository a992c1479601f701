package printable

import (
	"encoding/json"
	"testing"
	"unicode"
)

// FuzzJSON: what is printed says what was there, in characters that a terminal shows.
func FuzzJSON(f *testing.F) {
	f.Add("a\u009b31m\u202e\U000e0001\u007f \x1b[31m<é>\U0001f600")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		var before, after map[string]string
		out := JSON(in)
		for _, r := range string(out) {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %q", out, r)
			}
		}
		if json.Unmarshal(in, &before) != nil || json.Unmarshal(out, &after) != nil || before["text"] != after["text"] {
			t.Errorf("%q became %q", in, out)
		}
	})
}

// TestLines: what is printable stays as it is, and nothing else.
func TestLines(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "arn:aws:s3:::b \u00e9\u65e5\nnext": "arn:aws:s3:::b \u00e9\u65e5\nnext",
		"\x1b[31m": `\u001b[31m`, "a\u202eb": `a\u202eb`, "a\tb\x7f": `a\u0009b\u007f`, "a\xffb": "a\ufffdb", "\u00a0": `\u00a0`,
	} {
		if got := Lines(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
