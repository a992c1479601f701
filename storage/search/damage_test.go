package search

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestDamage overwrites each part of a file that nobody uses. With the sum that
// closing left every change is seen; without it, as after a crash, SQLite sees
// those that it can. What is asked then is refused, and the next call makes it good.
func TestDamage(t *testing.T) {
	l := eventLog(t, 0, 260) // more than a bundle
	fresh := filepath.Join(t.TempDir(), "search.db")
	x := openIndex(t, fresh, Options{})
	catchUp(t, x, l, len(l))
	want := answers(t, x)
	if err := x.Close(); err != nil { // the last one to close writes the log of the database back
		t.Fatal(err)
	}
	whole, sum := testlog.Must(os.ReadFile(fresh))(t), testlog.Must(os.ReadFile(fresh+".sha256"))(t)
	open := func(content, sum []byte) *Index {
		path := filepath.Join(t.TempDir(), "search.db")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if sum != nil {
			if err := os.WriteFile(path+".sha256", sum, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return openIndex(t, path, Options{})
	}
	same(t, "whole", answers(t, open(whole, sum)), want)
	refused := 0
	places := 20
	if testlog.Race {
		places = 8
	}
	for at := 0; at < len(whole); at += len(whole) / places {
		damaged := slices.Clone(whole)
		for i := at; i < min(len(whole), at+512); i++ {
			damaged[i] ^= byte(0x55 + i)
		}
		for _, sum := range [][]byte{sum, nil} {
			x := open(damaged, sum)
			for _, query := range questions {
				_, err := x.Search(t.Context(), parseQuery(t, query))
				if p := scitt.ProblemOf(err); err != nil && (p == nil || p.Status != 503) {
					t.Errorf("damaged at %d: %v", at, err)
				}
				if err == nil && sum != nil {
					t.Errorf("damaged at %d: it was not seen", at)
				}
				if err != nil && sum == nil {
					refused++
				}
			}
			catchUp(t, x, l, len(l)) // finds nothing new, or begins anew
			if sum != nil {
				same(t, fmt.Sprint("damaged at ", at), answers(t, x), want)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d questions were refused without a sum", refused)
	if refused == 0 {
		t.Error("SQLite saw no damage: this test has shown nothing")
	}
	for name, content := range map[string][]byte{"no database": []byte("not a database, but longer than a header would be, by far; that is all there is to it"), "empty": nil, "cut": whole[:len(whole)/2]} {
		x := open(content, nil)
		catchUp(t, x, l, len(l))
		same(t, name, answers(t, x), want)
	}
}

// TestDamagedTables damages what stands in each table while it is used. A
// question that meets it is refused, and the index is made anew.
func TestDamagedTables(t *testing.T) {
	l := eventLog(t, 0, 300)
	x := indexed(t, l, Options{})
	want := answers(t, x)
	for _, damage := range []string{
		"UPDATE term_data SET block = zeroblob(50) WHERE id > 10", "DELETE FROM term_data WHERE id > 10", "DROP TABLE term",
		"DELETE FROM hit", "UPDATE common SET hit = '{' || id", "DELETE FROM common", "UPDATE number SET data = x'0011223344'", "DELETE FROM state", "UPDATE state SET data = ''",
	} {
		execute(t, x, damage)
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
