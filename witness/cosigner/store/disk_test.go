package store

import (
	"crypto/sha256"
	"errors"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// TestDiskFull: what cannot be stored is an error, the database is read again, and
// has what it had. Then it is used again.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), filepath.Join(dir, "witness.db"), filepath.Join(dir, "guard"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	root := sha256.Sum256(nil)
	state := func(size uint64, bytes int) cosigner.State {
		return cosigner.State{Size: size, Root: root[:], At: 1, Text: make([]byte, bytes), LogLines: []byte("l"), Lines: []byte("w")}
	}
	if err := s.Swap(t.Context(), "log.example", cosigner.State{}, state(3, 10)); err != nil {
		t.Fatal(err)
	}
	s.db.SetMaxOpenConns(1) // so that the writer's connection is the one with the limit
	if _, err := s.db.ExecContext(t.Context(), "PRAGMA max_page_count = 6"); err != nil {
		t.Fatal(err)
	}
	if err := s.Swap(t.Context(), "log.example", state(3, 10), state(7, 1<<20)); !errors.Is(err, errUnusable) {
		t.Errorf("on a full disk: %v", err)
	}
	testwait.Until(t, func() bool { return s.Ready() == nil }, "it is ready")
	got, err := s.Load(t.Context(), "log.example")
	if err != nil || got.Size != 3 {
		t.Errorf("afterwards: size %d, %v", got.Size, err)
	}
	if err := s.Swap(t.Context(), "log.example", got, state(7, 1<<20)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
