package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWords(t *testing.T) {
	dir := t.TempDir()
	for name, body := range map[string]string{
		"a.go":         "// f says whether it is.\nconst x = \"there is no log\" // and this is no log\n",
		"b.md":         "The artifact is not to be had.\n",
		"c.txt":        "the own log\n",
		"script.txtar": "# it goes on behind the head\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broken, err := words(dir)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, broken, `a.go:1 says "says whether"`, `a.go:2 says "is no log"`, `b.md:1 says "not to be had"`, `script.txtar:1 says "goes on behind"`)
}
