package store_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/conmotion/conmotion/witness/cosigner"
	"github.com/conmotion/conmotion/witness/cosigner/store"
)

// TestFlippedBits: a witness in whose database a disk flipped a bit signs no second history, and
// accuses no log.
func TestFlippedBits(t *testing.T) {
	const size = 23 // from here on the other history is another one
	log := newLogs(t, 1)[0]
	r := start(t, log)
	r.want("the first", http.StatusOK, log, 0, 0, size)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(r.dir, "witness.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var used []int // bytes with something in them
	for i, b := range whole {
		if b != 0 {
			used = append(used, i)
		}
	}
	refused := 0
	for n := 0; n < len(used); n += max(1, len(used)/100) {
		at, bit := used[n], n%8
		dir := t.TempDir()
		copyDir(t, r.dir, dir, "guard")
		data := bytes.Clone(whole)
		data[at] ^= 1 << bit
		if err := os.WriteFile(filepath.Join(dir, "witness.db"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), filepath.Join(dir, "witness.db"), filepath.Join(dir, "guard"), false)
		if err != nil {
			refused++
			continue
		}
		flipped := &running{t: t, cosigners: r.cosigners, now: r.now}
		if flipped.witness, err = cosigner.New(r.cosigners, s, r.now, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		if err := flipped.witness.SetLogs(r.list); err != nil {
			t.Fatal(err)
		}
		for old, honest := range map[uint64]int{0: http.StatusConflict, size: http.StatusUnprocessableEntity} {
			if _, status := flipped.add(log, 1, old, size+1); status != honest && status != http.StatusServiceUnavailable {
				t.Errorf("bit %d of byte %d: another history from %d: status %d", bit, at, old, status)
			}
		}
		if _, status := flipped.add(log, 0, size, size+1); status == http.StatusServiceUnavailable {
			refused++
		} else if status != http.StatusOK {
			t.Errorf("bit %d of byte %d: the log's own history: status %d", bit, at, status)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d refused", refused)
	if refused == 0 {
		t.Error("none was noticed")
	}
}
