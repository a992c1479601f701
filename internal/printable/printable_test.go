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
