package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinesOfTheirOwn: text from outside that has line feeds in it writes no
// lines, such as a verdict.
func TestLinesOfTheirOwn(t *testing.T) {
	const planted = "verified"
	at := func(dir, name string) string { return filepath.Join(dir, name) }
	dir := t.TempDir()
	if err := os.WriteFile(at(dir, "event.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	sub := "asset\n" + planted + "\r\n" + planted + "\u2028" + planted
	for _, args := range [][]string{
		{"keygen", "--out", at(dir, "k.pem")},
		{"keygen", "--out", at(dir, "other.pem")},
		{"sign", "--key", at(dir, "k.pem"), "--sub", sub, "--out", at(dir, "s.cose"), at(dir, "event.json")},
		{"sign", "--key", at(dir, "k.pem"), "--iss", "https://issuer.example/\n" + planted, "--sub", "asset", "--out", at(dir, "t.cose"), at(dir, "event.json")},
		{"inspect", at(dir, "s.cose")},
		{"verify", at(dir, "s.cose")},
		{"verify", "--issuer-key", at(dir, "other.pem"), at(dir, "s.cose")},
		{"verify", at(dir, "t.cose")},
		{"verify", at(dir, "none\n"+planted)},
		{"policy", "test", "--policy", at(dir, "event.json"), at(dir, "s.cose")},
	} {
		got := runTool(t, args...)
		for line := range strings.Lines(got.stdout + got.stderr) {
			if strings.HasPrefix(line, planted) {
				t.Errorf("conmotion %q:\n%s%s", args, got.stdout, got.stderr)
				break
			}
		}
	}
}
