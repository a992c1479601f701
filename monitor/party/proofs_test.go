package party_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/tiles"
)

// TestProofs: Home knows which log a proof is about.
func TestProofs(t *testing.T) {
	p := newPlace(t)
	if files, err := p.o.Home.Proofs(p.keys.VKeys); err != nil || files != nil {
		t.Errorf("%q, %v", files, err)
	}
	p.publish(300, "a")
	if l := p.opens(300); l.Previous != nil {
		t.Errorf("%+v was there before the first time", l.Previous)
	}
	p.publish(300, "b")
	p.proven(300, 300)
	p.publish(301, "a")
	if l := p.opens(301); l.Previous == nil || l.Previous.Size != 300 {
		t.Errorf("%+v", l.Previous)
	}
	files, err := p.o.Home.Proofs(p.keys.VKeys)
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	if files, err := p.o.Home.Proofs(testlog.NewKeys(t).VKeys); err != nil || len(files) != 0 {
		t.Errorf("a proof about another log: %q, %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(files[0]), ".part.json.1"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if files, err := p.o.Home.Proofs(p.keys.VKeys); err != nil || len(files) != 1 {
		t.Errorf("%q, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.o.Home.Proofs(p.keys.VKeys); !errors.Is(err, tiles.ErrEquivocation) {
		t.Error(err)
	}
}
