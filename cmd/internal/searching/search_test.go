package searching

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	_ "modernc.org/sqlite" // the driver of SQLite

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/storage/search"
)

// withKeys adds --vkey for each key of the log.
func withKeys(keys *testlog.Keys, args ...string) []string {
	for _, vkey := range keys.VKeys {
		args = append(args, "--vkey", vkey)
	}
	return args
}

// outcome is what a run of the command came to.
type outcome struct {
	code           int
	stdout, stderr string
}

func runTool(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &cli.App{Stdout: &stdout, Stderr: &stderr, Home: t.TempDir(), Among: &party.Among{}}
	code := a.Run(t.Context(), a.Root(&cobra.Command{Use: "tool"}, cli.Group{Title: "Commands:", Commands: []*cobra.Command{Command(a, AtService)}}), args)
	return outcome{code, stdout.String(), stderr.String()}
}

// indexed makes a log with a statement about each subject, and an index of it.
func indexed(t *testing.T, subjects ...string) (keys *testlog.Keys, files string, x *search.Index) {
	t.Helper()
	keys, log, files := testlog.NewKeys(t), &testlog.Files{}, t.TempDir()
	var entries [][]byte
	for _, subject := range subjects {
		entries = append(entries, testlog.Statement(t, testlog.Key(t, "EdDSA"), subject, []byte(subject)))
	}
	log.Publish(t, keys, entries)
	log.WriteTo(t, files)
	x = testlog.Must(search.Open(t.Context(), filepath.Join(t.TempDir(), "search.db"), search.Options{Service: testlog.Issuer}))(t)
	t.Cleanup(func() { x.Close() })
	view := testlog.Must(party.Open(t.Context(), files, party.Options{VKeys: keys.VKeys}))(t).View
	if err := x.CatchUp(t.Context(), view.Checkpoint, view); err != nil {
		t.Fatal(err)
	}
	return keys, files, x
}

// liar is a search service that changes answers before it gives them.
type liar struct {
	index *search.Index
	lie   func(a *search.Answer)
	raw   string // in place of any answer
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.raw != "" {
		_, _ = io.WriteString(w, l.raw)
		return
	}
	q, err := search.ParseQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a, err := l.index.Search(r.Context(), q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	l.lie(a)
	_ = json.NewEncoder(w).Encode(a)
}

// TestSearchLies: an answer that is not true is not shown, and the exit code
// says so.
func TestSearchLies(t *testing.T) {
	var subjects []string
	for i := range 40 {
		subjects = append(subjects, fmt.Sprintf("asset %d", i))
	}
	keys, files, x := indexed(t, subjects...)
	service := &liar{index: x}
	server := httptest.NewServer(service)
	defer server.Close()
	for _, c := range []struct {
		name                  string
		lie                   func(a *search.Answer)
		raw                   string
		unverified, hits, all int // exit codes
		says                  string
	}{
		{name: "the truth", lie: func(*search.Answer) {}},
		{name: "one is left out", lie: func(a *search.Answer) { a.Entries = slices.Delete(a.Entries, 7, 8) }, all: cli.ExitBad, says: "entry 7 was left out|entry 8 stands where entry 7 should"},
		{name: "the rest is left out", lie: func(a *search.Answer) { a.Entries, a.Next = a.Entries[:5], "" }, all: cli.ExitBad, says: "entry 5 was left out"},
		{name: "another subject", lie: func(a *search.Answer) { a.Entries[3].Subject = "asset 4" }, hits: cli.ExitBad, all: cli.ExitBad, says: "entry 3 is said to be"},
		{name: "another time", lie: func(a *search.Answer) { a.Entries[3].IssuedAt++ }, hits: cli.ExitBad, all: cli.ExitBad, says: "entry 3 is said to be"},
		{name: "another log", lie: func(a *search.Answer) { a.Checkpoint.Root = make([]byte, 32) }, hits: cli.ExitBad, all: cli.ExitBad, says: "does not extend"},
		{name: "of a state to come", lie: func(a *search.Answer) { a.Checkpoint.Size++ }, hits: cli.ExitUsage, all: cli.ExitUsage, says: "read a newer one"},
		{name: "more than was asked for", lie: func(a *search.Answer) { a.Entries = slices.Repeat(a.Entries, 20) }, hits: cli.ExitBad, all: cli.ExitBad, unverified: cli.ExitBad},
		{name: "no end", lie: func(a *search.Answer) { a.Entries, a.Next = nil, "3" }, hits: cli.ExitBad, all: cli.ExitBad, unverified: cli.ExitBad, says: "does not go on"},
		{name: "no JSON", raw: "<html>", hits: cli.ExitBad, all: cli.ExitBad, unverified: cli.ExitBad, says: "not answer as a search does"},
		{name: "no object", raw: `{"entries":[17]}`, hits: cli.ExitBad, all: cli.ExitBad, unverified: cli.ExitBad, says: "not answer as a search does"},
		{name: "two truths in one member", raw: `{"entries":[{"index":1,"Index":2}]}`, hits: cli.ExitBad, all: cli.ExitBad},
	} {
		service.lie, service.raw = c.lie, c.raw
		for _, v := range []struct {
			flags []string
			want  int
		}{{nil, c.unverified}, {[]string{"--verify=hits"}, c.hits}, {[]string{"--verify"}, c.all}} {
			args := []string{"search", "--log", server.URL, "--json", "--all"}
			if v.flags != nil {
				args = withKeys(keys, append(append(args, v.flags...), "--static", files)...)
			}
			got := runTool(t, args...)
			if got.code != v.want {
				t.Errorf("%s, %v: exit code %d, want %d: %s", c.name, v.flags, got.code, v.want, got.stderr)
			}
			if v.want != cli.ExitGood && v.flags != nil && got.stdout != "" {
				t.Errorf("%s, %v: shows %s", c.name, v.flags, got.stdout)
			}
			found := false
			for _, says := range strings.Split(c.says, "|") {
				found = found || strings.Contains(got.stderr, says)
			}
			if v.want != cli.ExitGood && !found {
				t.Errorf("%s, %v: says %s", c.name, v.flags, got.stderr)
			}
		}
	}
}

// TestSearchIncomplete: who answers does not choose up to where an answer has to be
// complete.
func TestSearchIncomplete(t *testing.T) {
	keys, files, x := indexed(t, "a", "b", "c")
	service := &liar{index: x}
	server := httptest.NewServer(service)
	defer server.Close()
	nothing := func(a *search.Answer) { *a = search.Answer{Entries: []search.Hit{}} }
	for _, c := range []struct {
		name     string
		lie      func(*search.Answer)
		args     []string
		code     int
		complete bool
		says     string
	}{
		{"all", func(*search.Answer) {}, nil, cli.ExitGood, true, "complete up to "},
		{"nothing, for size 0", nothing, nil, cli.ExitUsage, false, "of 3 more that the log has the answer says nothing"},
		{"nothing, for size 0, of one entry", nothing, []string{"--index-to", "1"}, cli.ExitUsage, false, "of 1 more that the log has the answer says nothing"},
	} {
		service.lie = c.lie
		args := withKeys(keys, append([]string{"search", "--log", server.URL, "--all", "--verify", "--static", files}, c.args...)...)
		text, doc := runTool(t, args...), runTool(t, append(args, "--json")...)
		if text.code != c.code || doc.code != c.code || !strings.Contains(text.stdout, c.says) {
			t.Errorf("%s: exit codes %d and %d: %s", c.name, text.code, doc.code, text.stdout)
		}
		if got := strings.Contains(doc.stdout, `"complete":true`); got != c.complete || !strings.Contains(doc.stdout, `"log_size":3`) {
			t.Errorf("%s: %s", c.name, doc.stdout)
		}
	}
}

// TestSearchShowsWhatWasVerified: members that a service adds are not shown
// as verified.
func TestSearchShowsWhatWasVerified(t *testing.T) {
	keys, files, x := indexed(t, "first", "second")
	service := &liar{index: x, lie: func(*search.Answer) {}}
	server := httptest.NewServer(service)
	defer server.Close()
	truth := runTool(t, "search", "--log", server.URL, "--json", "--sub", "first").stdout
	hit, _, _ := strings.Cut(truth, "\n")
	var summary Summary
	if err := json.Unmarshal([]byte(strings.Split(truth, "\n")[1]), &summary); err != nil {
		t.Fatal(err)
	}
	cp := testlog.Must(json.Marshal(summary.Checkpoint))(t)
	service.raw = fmt.Sprintf(`{"checkpoint":%s,"indexed":2,"entries":[%s]}`, cp, strings.Replace(hit, `"type":"entry"`, `"severity":"none"`, 1))
	got := runTool(t, withKeys(keys, "search", "--log", server.URL, "--static", files, "--sub", "first", "--json", "--verify")...)
	if got.code != cli.ExitGood || strings.Contains(got.stdout, "severity") || !strings.HasPrefix(got.stdout, strings.TrimSuffix(hit, "}")+`,"standing":"counts"}`) {
		t.Errorf("%+v", got)
	}
}
