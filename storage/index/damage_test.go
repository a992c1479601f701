package index_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestDamage: an index that is damaged, while nobody uses it or while it is used,
// says so to who asks for what only it knows, and is made anew. An id that is
// new is still known to be new.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	m := &memory{entries: numbered(0, 600)}
	x := open(t, path)
	if err := errors.Join(x.CatchUp(t.Context(), m), x.Close()); err != nil {
		t.Fatal(err)
	}
	data := testlog.Must(os.ReadFile(path))(t)
	for i := range 200 {
		data[len(data)/2+i*37%4096] ^= 0x55
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	x = open(t, path)
	damaged := func(what string) {
		t.Helper()
		for _, e := range m.entries[:10] {
			if _, _, err := x.Lookup(t.Context(), idOf(t, e)); !errors.Is(err, scitt.ErrUnavailable) {
				t.Fatalf("%s: %v", what, err)
			}
		}
		if _, err := x.Policies(t.Context()); !errors.Is(err, scitt.ErrUnavailable) {
			t.Errorf("%s: policies: %v", what, err)
		}
		if _, _, err := x.ChainHead(t.Context(), "i", "c"); !errors.Is(err, scitt.ErrUnavailable) {
			t.Errorf("%s: head: %v", what, err)
		}
		if err := x.CatchUp(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		holds(t, x, m)
	}
	damaged("at rest")
	m.add(numbered(600, 700)...)
	if err := errors.Join(x.CatchUp(t.Context(), m), x.Close()); err != nil {
		t.Fatal(err)
	}
	x = open(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { x.Follower(nil).Follow(ctx, m) })
	for x.Await(ctx, 700) != nil || !x.Filled() {
		runtime.Gosched()
	}
	cancel()
	group.Wait()
	if err := x.Use(t.Context(), func(db *sql.DB) error {
		_, err := db.Exec("DROP TABLE chain; DROP TABLE policy; DROP TABLE entry")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := x.Lookup(t.Context(), idOf(t, entry("another", "s"))); ok || err != nil {
		t.Errorf("an id that is new, in a damaged index: %v %v", ok, err)
	}
	damaged("in use")
}

// TestSilentDamage: after a crash a row that reads well and is another one than was
// stored is found, whatever table it is in.
func TestSilentDamage(t *testing.T) {
	key := testlog.Key(t, "ES256")
	link := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: "asset", Chain: &scitt.ChainLink{Name: "name-of-a-chain"}}, []byte("{}")))(t)
	policy := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Subject: "asset", Type: scitt.TypePolicy}, []byte("{}")))(t)
	m := &memory{entries: append(numbered(0, 300), testlog.Must(scitt.ParseStatement(link))(t).Entry(), testlog.Must(scitt.ParseStatement(policy))(t).Entry())}
	whole := filepath.Join(t.TempDir(), "index.db")
	x := open(t, whole)
	if err := x.CatchUp(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	id := idOf(t, m.entries[7])
	for name, change := range map[string]string{
		"nothing":         "",
		"an id":           fmt.Sprintf("UPDATE entry SET id = x'%x' WHERE id = x'%x'", id[1:], id[:]),
		"a place":         "UPDATE entry SET idx = 8 WHERE idx = 7",
		"a leaf":          "UPDATE entry SET leaf = leaf + 1 WHERE idx = 7",
		"text in a place": "UPDATE entry SET idx = 'x' WHERE idx = 7",
		"a row that went": "DELETE FROM entry WHERE idx = 7",
		"a policy":        "UPDATE policy SET idx = idx - 1",
		"a chain":         "UPDATE chain SET name = 'name-of-b-chain'",
		"where it is":     "UPDATE chain SET seq = seq + 1",
	} {
		path := filepath.Join(t.TempDir(), "index.db")
		for _, suffix := range []string{"", "-wal"} { // as a crash would leave them
			if err := os.WriteFile(path+suffix, testlog.Must(os.ReadFile(whole+suffix))(t), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		db := testlog.Must(sql.Open("sqlite", path))(t)
		_, err := db.ExecContext(t.Context(), change)
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		y := open(t, path)
		if _, ok, err := y.Lookup(t.Context(), id); change == "" && (!ok || err != nil) || change != "" && !errors.Is(err, scitt.ErrUnavailable) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if err := y.CatchUp(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		holds(t, y, m)
	}
}
