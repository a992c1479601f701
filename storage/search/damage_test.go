package search

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestDamage overwrites each part of the file in turn. Whatever is asked then
// is answered rightly or not at all, and the next call makes it good.
func TestDamage(t *testing.T) {
	l := eventLog(t, 0, 400)
	fresh := filepath.Join(t.TempDir(), "search.db")
	x := openIndex(t, fresh, Options{})
	catchUp(t, x, l, len(l))
	want := answers(t, x)
	if err := x.Close(); err != nil { // the last one to close writes the log of the database back
		t.Fatal(err)
	}
	whole := testlog.Must(os.ReadFile(fresh))(t)
	refused := 0
	for at := 0; at < len(whole); at += len(whole) / 40 {
		path := filepath.Join(t.TempDir(), "search.db")
		damaged := slices.Clone(whole)
		for i := at; i < min(len(whole), at+512); i++ {
			damaged[i] ^= byte(0x55 + i)
		}
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		x := openIndex(t, path, Options{})
		for _, query := range questions {
			a, err := x.Search(t.Context(), parseQuery(t, query))
			if err != nil {
				refused++
				continue
			}
			if got := string(testlog.Must(json.Marshal(a))(t)); a.Checkpoint.Size > 0 && a.Checkpoint.Size != 400 {
				t.Errorf("damaged at %d: %s", at, got)
			}
		}
		catchUp(t, x, l, len(l)) // finds nothing new, or begins anew
		if x.damaged.Load() {
			t.Errorf("damaged at %d: still damaged", at)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d questions were refused", refused)
	if refused == 0 {
		t.Error("no damage was seen: this test has shown nothing")
	}
	for name, content := range map[string][]byte{"no database": []byte("not a database, but longer than a header would be, by far; that is all there is to it"), "empty": nil, "cut": whole[:len(whole)/2]} {
		path := filepath.Join(t.TempDir(), "search.db")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		x := openIndex(t, path, Options{})
		for range 2 { // the first may only find out
			_ = x.CatchUp(t.Context(), l.checkpoint(len(l)), l)
			for _, query := range questions {
				_, _ = x.Search(t.Context(), parseQuery(t, query))
			}
		}
		catchUp(t, x, l, len(l))
		same(t, name, answers(t, x), want)
	}
}

// TestDamagedBlocks damages what stands in each table. Checksums see it, and
// the index is rebuilt.
func TestDamagedBlocks(t *testing.T) {
	l := eventLog(t, 0, 300)
	x := indexed(t, l, Options{})
	want := answers(t, x)
	for _, damage := range []string{
		"UPDATE block SET data = substr(data, 1, length(data) - 1) || x'00'", "UPDATE block SET data = x''", "DELETE FROM block",
		"UPDATE row SET data = x'0011223344'", "DELETE FROM row", "UPDATE time SET data = zeroblob(50)", "DELETE FROM time",
		"UPDATE segment SET dir = x'00000000'", "DELETE FROM segment",
	} {
		x.dirs.Clear()
		if _, err := x.db.Exec(damage); err != nil {
			t.Fatal(err)
		}
		var failed error
		for _, query := range questions {
			if _, err := x.Search(t.Context(), parseQuery(t, query)); err != nil {
				failed = err
			}
		}
		if p := scitt.ProblemOf(failed); !errors.Is(failed, ErrDamaged) || p == nil || p.Status != 503 || p.RetryAfter == 0 {
			t.Errorf("%s: %v", damage, failed)
		}
		catchUp(t, x, l, len(l))
		same(t, damage, answers(t, x), want)
	}
}
