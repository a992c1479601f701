package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/witness/cosigner"
)

// TestLogList: the logs of a network's list are cosigned. What cannot be used of it is left
// out, a list that cannot be fetched or read leaves the last one, also after a restart, and
// what the operator added wins.
func TestLogList(t *testing.T) {
	keys := map[string]string{}
	for _, name := range []string{"one.example", "two.example", "three.example"} {
		keys[name] = testlog.NewKeysOf(t, name).VKeys[0]
	}
	item := func(name string, qpd int, contact string) string {
		return fmt.Sprintf("\nvkey %s\nqpd %d\ncontact %s\n", keys[name], qpd, contact)
	}
	status, list := http.StatusOK, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, list)
	}))
	defer server.Close()
	f := serveFlags{dir: t.TempDir(), lists: []string{server.URL}, interval: time.Hour, server: serving.Options{Logger: slog.New(slog.DiscardHandler)}}
	if err := os.WriteFile(ownLogs(f.dir), []byte("logs/v0\n"+item("two.example", 7, "https://two.example")), 0o600); err != nil {
		t.Fatal(err)
	}
	var got cosigner.List
	open := func() *sources {
		s := newSources(f, func(l cosigner.List) error { got = l; return nil })
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	wants := func(what, want string) {
		t.Helper()
		var logs []string
		for _, name := range []string{"one.example", "two.example", "three.example"} {
			if l := got[name]; l != nil {
				logs = append(logs, fmt.Sprintf("%s %d %s", name, l.PerDay, l.URL))
			}
		}
		if have := strings.Join(logs, ", "); have != want || len(got) != len(logs) {
			t.Errorf("%s: %q, want %q", what, have, want)
		}
	}
	wants("before it is fetched", "two.example 7 https://two.example")
	first := "one.example 5 , two.example 7 https://two.example"
	for _, c := range []struct {
		what   string
		status int
		list   string
		want   string
		good   bool
	}{
		{"a list", 200, "# of a network\nlogs/v0\n" + item("one.example", 5, "https://one.example") + item("two.example", 9, "https://lies.example"), first, true},
		{"an error", 500, "", first, false},
		{"another format", 200, "logs/v1\n", first, false},
		{"a page", 200, "<html>", first, false},
		{"an item that ends early", 200, "logs/v0\nvkey " + keys["three.example"] + "\n", first, false},
		{"too large", 200, "logs/v0\n" + strings.Repeat("#\n", maxList/2), first, false},
		{"a log that cannot be used", 200, "logs/v0\nvkey log.example+00000000+AAAA\nqpd 1\ncontact x\n" + item("three.example", 1, "x"), "two.example 7 https://two.example, three.example 1 ", true},
	} {
		status, list = c.status, c.list
		file := s.copies[server.URL]
		if err := s.fetch(t.Context(), server.URL, file); (err == nil) != c.good {
			t.Errorf("%s: %v", c.what, err)
		}
		s = open() // a process that starts has what was fetched last
		wants(c.what, c.want)
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 0 {
			t.Errorf("%s: %q is left over", c.what, left)
		}
	}
}
