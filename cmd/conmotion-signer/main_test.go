package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
)

// TestErrors: what is wrong is said in a line that no terminal obeys, and in the exit code.
func TestErrors(t *testing.T) {
	for _, args := range [][]string{{"a\x1b[31m\nconmotion-signer: good\u009b\u202e"}, {"--a\x1b[31m\nconmotion-signer: good\u009b\u202e"}} {
		var out, said bytes.Buffer
		code := run(t.Context(), args, strings.NewReader(""), &out, &said)
		if code != 1 || out.Len() > 0 || !strings.HasPrefix(said.String(), "conmotion-signer: unknown ") {
			t.Errorf("exit code %d, %q, %q", code, &out, &said)
		}
		for line := range strings.Lines(said.String()) {
			if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }) || strings.HasPrefix(line, "conmotion-signer: good") {
				t.Errorf("%q", line)
			}
		}
	}
	var out, said bytes.Buffer
	if code := run(t.Context(), nil, strings.NewReader(""), &out, &said); code != 0 || said.Len() > 0 {
		t.Errorf("the input ended: exit code %d, %q", code, &said)
	}
}
