//go:build !light

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/posix"
	"github.com/conmotion/conmotion/storage/search"
)

// withKeys adds --vkey for each key of the log.
func withKeys(keys *testlog.Keys, args ...string) []string {
	for _, vkey := range keys.VKeys {
		args = append(args, "--vkey", vkey)
	}
	return args
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
	keys := testlog.NewKeys(t)
	var statements []*scitt.Statement
	for i := range 40 {
		statements = append(statements, statement(t, fmt.Sprintf("asset %d", i)))
	}
	files := staticFiles(t, keys, statements)
	db := filepath.Join(t.TempDir(), "search.db")
	if got := runTool(t, withKeys(keys, "index", files, "--db", db)...); got.code != exitGood {
		t.Fatal(got)
	}
	x, err := search.Open(t.Context(), db, search.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
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
		{name: "one is left out", lie: func(a *search.Answer) { a.Entries = slices.Delete(a.Entries, 7, 8) }, all: exitBad, says: "entry 7 was left out|entry 8 stands where entry 7 should"},
		{name: "the rest is left out", lie: func(a *search.Answer) { a.Entries, a.Next = a.Entries[:5], "" }, all: exitBad, says: "entry 5 was left out"},
		{name: "another subject", lie: func(a *search.Answer) { a.Entries[3].Subject = "asset 4" }, hits: exitBad, all: exitBad, says: "entry 3 is said to be"},
		{name: "another time", lie: func(a *search.Answer) { a.Entries[3].IssuedAt++ }, hits: exitBad, all: exitBad, says: "entry 3 is said to be"},
		{name: "another log", lie: func(a *search.Answer) { a.Checkpoint.Root = make([]byte, 32) }, hits: exitBad, all: exitBad, says: "does not extend"},
		{name: "of a state to come", lie: func(a *search.Answer) { a.Checkpoint.Size++ }, hits: exitUsage, all: exitUsage, says: "read a newer one"},
		{name: "more than was asked for", lie: func(a *search.Answer) { a.Entries = slices.Repeat(a.Entries, 20) }, hits: exitBad, all: exitBad, unverified: exitBad},
		{name: "no end", lie: func(a *search.Answer) { a.Entries, a.Next = nil, "3" }, hits: exitBad, all: exitBad, unverified: exitBad, says: "does not go on"},
		{name: "no JSON", raw: "<html>", hits: exitBad, all: exitBad, unverified: exitBad, says: "not answer as a search does"},
		{name: "no object", raw: `{"entries":[17]}`, hits: exitBad, all: exitBad, unverified: exitBad, says: "not answer as a search does"},
		{name: "two truths in one member", raw: `{"entries":[{"index":1,"Index":2}]}`, hits: exitBad, all: exitBad},
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
			if v.want != exitGood && v.flags != nil && got.stdout != "" {
				t.Errorf("%s, %v: shows %s", c.name, v.flags, got.stdout)
			}
			found := false
			for _, says := range strings.Split(c.says, "|") {
				found = found || strings.Contains(got.stderr, says)
			}
			if v.want != exitGood && !found {
				t.Errorf("%s, %v: says %s", c.name, v.flags, got.stderr)
			}
		}
	}
}

// TestSearchIncomplete: who answers does not choose up to where an answer has to be
// complete.
func TestSearchIncomplete(t *testing.T) {
	keys := testlog.NewKeys(t)
	files := staticFiles(t, keys, []*scitt.Statement{statement(t, "a"), statement(t, "b"), statement(t, "c")})
	db := filepath.Join(t.TempDir(), "search.db")
	if got := runTool(t, withKeys(keys, "index", files, "--db", db)...); got.code != exitGood {
		t.Fatal(got)
	}
	x, err := search.Open(t.Context(), db, search.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
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
		{"all", func(*search.Answer) {}, nil, exitGood, true, "complete up to "},
		{"nothing, for size 0", nothing, nil, exitUsage, false, "of 3 more that the log has the answer says nothing"},
		{"nothing, for size 0, of one entry", nothing, []string{"--index-to", "1"}, exitUsage, false, "of 1 more that the log has the answer says nothing"},
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
	keys := testlog.NewKeys(t)
	files := staticFiles(t, keys, []*scitt.Statement{statement(t, "first"), statement(t, "second")})
	db := filepath.Join(t.TempDir(), "search.db")
	if got := runTool(t, withKeys(keys, "index", files, "--db", db)...); got.code != exitGood {
		t.Fatal(got)
	}
	truth := runTool(t, "search", "--db", db, "--json", "--sub", "first").stdout
	hit, _, _ := strings.Cut(truth, "\n")
	var summary searchSummary
	if err := json.Unmarshal([]byte(strings.Split(truth, "\n")[1]), &summary); err != nil {
		t.Fatal(err)
	}
	cp := testlog.Must(json.Marshal(summary.Checkpoint))(t)
	service := &liar{raw: fmt.Sprintf(`{"checkpoint":%s,"indexed":2,"entries":[%s]}`, cp, strings.Replace(hit, `"type":"entry"`, `"severity":"none"`, 1))}
	server := httptest.NewServer(service)
	defer server.Close()
	got := runTool(t, withKeys(keys, "search", "--log", server.URL, "--static", files, "--sub", "first", "--json", "--verify")...)
	if got.code != exitGood || strings.Contains(got.stdout, "severity") || !strings.HasPrefix(got.stdout, strings.TrimSuffix(hit, "}")+`,"standing":"counts"}`) {
		t.Errorf("%+v", got)
	}
}

// TestIndexFollows follows a log that grows, until it is interrupted.
func TestIndexFollows(t *testing.T) {
	keys := testlog.NewKeys(t)
	dir := testlog.Must(storage.OpenDir(t.TempDir()))(t)
	defer dir.Close()
	log := testlog.Must(storage.Open(t.Context(), posix.New(dir, keys.Options().Logger), keys.Options()))(t)
	grow := func(subject string) {
		t.Helper()
		wait := testlog.Must(log.Append(t.Context(), statement(t, subject).Entry()))(t)
		index, _, err := wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		testlog.Must(log.Await(t.Context(), index))(t)
	}
	grow("first")
	ctx, interrupt := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan int)
	var stderr bytes.Buffer
	go func() {
		args := withKeys(keys, "index", dir.Public(), "--db", filepath.Join(t.TempDir(), "search.db"), "--follow", "--interval", "10ms", "--json")
		code := run(ctx, args, strings.NewReader(""), in, &stderr)
		in.Close()
		ended <- code
	}()
	lines := bufio.NewScanner(out)
	for i, subject := range []string{"second", "third", ""} {
		if !lines.Scan() {
			t.Fatalf("it ended: %d %s", <-ended, stderr.String())
		}
		var r indexReport
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Size != uint64(i+1) || r.New != 1 {
			t.Errorf("%s: %v", lines.Text(), err)
		}
		if subject != "" {
			grow(subject)
		}
	}
	interrupt()
	if code := <-ended; code != exitGood || stderr.Len() > 0 {
		t.Errorf("interrupted: %d %s", code, stderr.String())
	}
	if err := log.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// TestIndexInterrupted: what is not done is said, and the next run does it.
func TestIndexInterrupted(t *testing.T) {
	keys := testlog.NewKeys(t)
	var statements []*scitt.Statement
	for i := range 300 {
		statements = append(statements, statement(t, fmt.Sprint(i)))
	}
	files := http.FileServer(http.Dir(staticFiles(t, keys, statements)))
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/tile/entries/001") {
			interrupt()
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	db := filepath.Join(t.TempDir(), "search.db")
	args := withKeys(keys, "index", server.URL, "--db", db)
	var stderr bytes.Buffer
	if code := run(ctx, args, strings.NewReader(""), io.Discard, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "of 300 entries in the index; the same command goes on from there") {
		t.Errorf("%d %s", code, stderr.String())
	}
	if got := runTool(t, args...); got.code != exitGood || !strings.Contains(got.stdout, "300") {
		t.Errorf("%+v", got)
	}
	if got := runTool(t, "search", "--db", db, "--sub", "299"); got.code != exitGood || !strings.Contains(got.stdout, "\n299 ") {
		t.Errorf("%+v", got)
	}
}

func TestTyped(t *testing.T) {
	for in, want := range map[string]string{
		`{ "a": 1 }`: `{"type":"entry","a":1}`,
		`{ }`:        `{"type":"entry"}`,
	} {
		if got, err := typed("entry", []byte(in)); err != nil || string(got) != want+"\n" {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{`17`, `[]`, `{`, ``, `null`} {
		if got, err := typed("entry", []byte(in)); err == nil {
			t.Errorf("%s: %s", in, got)
		}
	}
	if _, err := parsePage([]byte(`[]`)); !errors.As(err, new(coded)) {
		t.Errorf("%v", err)
	}
}

// FuzzTyped: an entry of a service becomes one line of JSON with the same
// members, or an error.
func FuzzTyped(f *testing.F) {
	for _, seed := range []string{`{"index":1}`, `{}`, `[]`, "{\n\"a\" : [1, {}]}", `{"a":"\u2028<"}`, `{"type":"x"}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		line, err := typed("entry", in)
		if err != nil {
			return
		}
		if !json.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("%q became %q", in, line)
		}
		rest, ok := bytes.CutPrefix(line, []byte(`{"type":"entry"`))
		var want bytes.Buffer
		if err := json.Compact(&want, in); err != nil || !ok {
			t.Fatalf("%q became %q: %v", in, line, err)
		}
		if got := "{" + strings.TrimPrefix(string(rest), ","); got != want.String()+"\n" {
			t.Fatalf("%q became %q", in, line)
		}
	})
}
