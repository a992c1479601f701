package reader

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
)

func TestParseDigest(t *testing.T) {
	const hello = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
	d, err := ParseDigest(hello)
	if err != nil || d != sha256.Sum256([]byte("hello\n")) || d.String() != hello {
		t.Errorf("ParseDigest: %v, %v", d, err)
	}
	if got := d.Path(); got != "sha256/58/91/"+hello {
		t.Errorf("its path is %s", got)
	}
	for _, bad := range []string{"", hello[1:], hello + "0", strings.ToUpper(hello), "g" + hello[1:], " " + hello[1:], "../" + hello[3:], hello[:63] + "\x00"} {
		if d, err := ParseDigest(bad); !errors.Is(err, ErrDigest) || d != (Digest{}) {
			t.Errorf("ParseDigest(%q): %v, %v, want ErrDigest", bad, d, err)
		}
	}
}

func FuzzParseDigest(f *testing.F) {
	for _, s := range []string{"", strings.Repeat("0a", 32), strings.Repeat("0A", 32), strings.Repeat("..", 32), "/" + strings.Repeat("a", 63)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDigest(s)
		if err == nil && (d.String() != s || strings.Trim(s, "0123456789abcdef") != "") {
			t.Errorf("%q was taken for %s", s, d)
		}
		if err != nil && !errors.Is(err, ErrDigest) {
			t.Errorf("%v is not ErrDigest", err)
		}
	})
}
