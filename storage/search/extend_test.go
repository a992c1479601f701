package search

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestExtends: a log that is not the one that was indexed is told before
// anything is changed, also in the middle of a catch-up.
func TestExtends(t *testing.T) {
	l := eventLog(t, 0, 600)
	view := l.published(t)
	fork := slices.Clone(l)
	fork[450] = eventLog(t, 5000, 1)[0]
	for _, c := range []struct {
		name string
		log  memLog
		size int
		want error
	}{
		{"nothing is read", l, 0, nil},
		{"a part is read", l, 300, nil},
		{"all is read", l, 600, nil},
		{"the fork is behind", fork, 450, nil},
		{"the fork is before", fork, 451, scitt.ErrProof},
		{"the same size", fork, 600, scitt.ErrProof},
		{"older", append(slices.Clone(l), eventLog(t, 600, 1)...), 601, ErrOlder},
	} {
		x := openIndex(t, "", Options{Keep: true})
		catchUp(t, x, c.log, c.size)
		if err := x.Extends(t.Context(), view); !errors.Is(err, c.want) || (c.want == nil && err != nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if at := testlog.Must(x.Position())(t); at.Size != uint64(c.size) || !slices.Equal(at.Root, c.log.checkpoint(c.size).Root) {
			t.Errorf("%s: %+v", c.name, at)
		}
	}
	x := indexed(t, l, Options{Keep: true})
	cp := *view.Checkpoint
	cp.Origin = "another.example"
	other := *view
	other.Checkpoint = &cp
	if err := x.Extends(t.Context(), &other); !errors.Is(err, ErrOtherLog) || !strings.Contains(err.Error(), testlog.Origin) {
		t.Errorf("another log: %v", err)
	}
}

// TestKeep: with Keep nothing that is in a file is thrown away.
func TestKeep(t *testing.T) {
	l, other := eventLog(t, 0, 300), eventLog(t, 5000, 300)
	x := indexed(t, l[:200], Options{Keep: true})
	want := answers(t, x)
	mixed := append(slices.Clone(l[:150]), other...)
	for _, size := range []int{200, 250} {
		if err := x.CatchUp(t.Context(), mixed.checkpoint(size), mixed); !errors.Is(err, ErrOtherLog) {
			t.Errorf("a fork of size %d: %v", size, err)
		}
	}
	named := l.checkpoint(250)
	named.Origin = "another.example"
	if err := x.CatchUp(t.Context(), named, l); !errors.Is(err, ErrOtherLog) {
		t.Errorf("another log: %v", err)
	}
	same(t, "after other logs", answers(t, x), want)

	dir := t.TempDir()
	database := filepath.Join(dir, "other.db")
	db := testlog.Must(sql.Open("sqlite", "file:"+database))(t)
	if _, err := db.Exec("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("It is nobody's database.\n", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{database, text} {
		before := testlog.Must(os.ReadFile(path))(t)
		for _, o := range []Options{{Keep: true}, {ReadOnly: true}} {
			if _, err := Open(t.Context(), path, o); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v", path, err)
			}
		}
		if after := testlog.Must(os.ReadFile(path))(t); !slices.Equal(before, after) {
			t.Errorf("%s was changed", path)
		}
	}
}

// TestReadOnly reads what another one writes, and writes nothing.
func TestReadOnly(t *testing.T) {
	l := eventLog(t, 0, 300)
	path := filepath.Join(t.TempDir(), "search.db")
	if _, err := Open(t.Context(), path, Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
	x := openIndex(t, path, Options{})
	catchUp(t, x, l, 100)
	y := openIndex(t, path, Options{ReadOnly: true})
	for _, size := range []int{100, 200, 300} {
		catchUp(t, x, l, size)
		same(t, "while another one writes", answers(t, y), answers(t, x))
	}
	if err := y.CatchUp(t.Context(), l.checkpoint(300), l); err == nil || !strings.Contains(err.Error(), "for reading only") {
		t.Errorf("it wrote: %v", err)
	}
	for _, service := range []string{"https://service.example", "https://moved.example"} {
		if err := x.SetService(t.Context(), service); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, y, "limit=1").Entries[0].Receipt; !strings.HasPrefix(got, service+"/entries/") {
			t.Errorf("the receipt is at %q", got)
		}
	}
	catchUp(t, x, append(l, eventLog(t, 300, 10)...), 310)
	if err := y.SetService(t.Context(), "https://other.example"); err == nil {
		t.Error("it wrote who the service is")
	}
}
