package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/teststorage"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/posix"
)

// runTool runs the program.
func runTool(ctx context.Context, t *testing.T, stdout, stderr io.Writer, args ...string) int {
	t.Helper()
	return run(ctx, &cli.App{Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr, Home: t.TempDir(), Among: &party.Among{}}, args)
}

// withKeys adds --vkey for each key of the log.
func withKeys(keys *testlog.Keys, args ...string) []string {
	for _, vkey := range keys.VKeys {
		args = append(args, "--vkey", vkey)
	}
	return args
}

func statement(t *testing.T, subject string) []byte {
	t.Helper()
	return testlog.Statement(t, testlog.Key(t, "EdDSA"), subject, []byte(subject))
}

// TestIndexFollows follows a log that grows, until it is interrupted.
func TestIndexFollows(t *testing.T) {
	keys := testlog.NewKeys(t)
	dir := testlog.Must(storage.OpenDir(t.TempDir()))(t)
	defer dir.Close()
	log := testlog.Must(storage.Open(t.Context(), posix.New(dir, teststorage.Options(keys).Logger), teststorage.Options(keys)))(t)
	grow := func(subject string) {
		t.Helper()
		wait := testlog.Must(log.Append(t.Context(), statement(t, subject)))(t)
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
		args := withKeys(keys, "update", dir.Public(), "--db", filepath.Join(t.TempDir(), "search.db"), "--follow", "--interval", "10ms", "--json")
		code := runTool(ctx, t, in, &stderr, args...)
		in.Close()
		ended <- code
	}()
	lines := bufio.NewScanner(out)
	for i, subject := range []string{"second", "third", ""} {
		if !lines.Scan() {
			t.Fatalf("it ended: %d %s", <-ended, stderr.String())
		}
		var r Report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Size != uint64(i+1) || r.New != 1 {
			t.Errorf("%s: %v", lines.Text(), err)
		}
		if subject != "" {
			grow(subject)
		}
	}
	interrupt()
	if code := <-ended; code != cli.ExitGood || stderr.Len() > 0 {
		t.Errorf("interrupted: %d %s", code, stderr.String())
	}
	if err := log.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// TestIndexInterrupted: what is not done is said, and the next run does it.
func TestIndexInterrupted(t *testing.T) {
	keys, log, dir := testlog.NewKeys(t), &testlog.Files{}, t.TempDir()
	var entries [][]byte
	for i := range 300 {
		entries = append(entries, statement(t, fmt.Sprint(i)))
	}
	log.Publish(t, keys, entries)
	log.WriteTo(t, dir)
	files := http.FileServer(http.Dir(dir))
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/tile/entries/001") {
			interrupt()
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	db := filepath.Join(t.TempDir(), "search.db")
	args := withKeys(keys, "update", server.URL, "--db", db)
	var out, stderr bytes.Buffer
	if code := runTool(ctx, t, io.Discard, &stderr, args...); code != cli.ExitUsage || !strings.Contains(stderr.String(), "of 300 entries in the index; the same command goes on from there") {
		t.Errorf("%d %s", code, &stderr)
	}
	if code := runTool(t.Context(), t, &out, &stderr, args...); code != cli.ExitGood || !strings.Contains(out.String(), "300") {
		t.Errorf("%d %s %s", code, &out, &stderr)
	}
	out.Reset()
	if code := runTool(t.Context(), t, &out, &stderr, "search", "--db", db, "--sub", "299"); code != cli.ExitGood || !strings.Contains(out.String(), "\n299 ") {
		t.Errorf("%d %s %s", code, &out, &stderr)
	}
}
