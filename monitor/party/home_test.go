package party

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestKnown(t *testing.T) {
	h := Home(t.TempDir())
	remember := func(location, origin string, vkeys ...string) {
		t.Helper()
		if err := h.remember(known{Location: location, Origin: origin, VKeys: vkeys}); err != nil {
			t.Fatal(err)
		}
	}
	remember("https://one.example", "one", "one+1", "one+2")
	remember("/mirror/one", "one", "one+2", "one+1")
	remember("https://two.example", "two", "two+1")
	places, err := h.Known("one")
	if err != nil || len(places) != 2 || !slices.ContainsFunc(places, func(k KnownLog) bool { return k.Location == "/mirror/one" }) {
		t.Errorf("%v, %v", places, err)
	}
	if places, err := h.Known("three"); len(places) > 0 || err != nil {
		t.Errorf("%v, %v", places, err)
	}
	if places, err := Home("").Known("one"); len(places) > 0 || err != nil {
		t.Errorf("%v, %v", places, err)
	}
	// Somebody else who says to be that log.
	remember("https://evil.example", "one", "one+3")
	if places, err := h.Known("one"); err == nil {
		t.Errorf("%v", places)
	}
	if _, err := h.Known("two"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(string(h), "logs", "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Known("two"); err == nil {
		t.Error("a damaged file was passed over")
	}
}
