package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// TestLogAddRotation: a log that is known is added again with the key that it announces with the
// one before, and with no other.
func TestLogAddRotation(t *testing.T) {
	keys := testlog.NewKeys(t)
	entries := keys.Begin(t, "{}")
	next, more := keys.Rotate(t, entries, entries[0])
	last, most := next.Rotate(t, more, more[len(more)-1])
	stolen := testlog.NewKeys(t)
	withoutHandover := *last
	withoutHandover.Handovers = nil
	for name, c := range map[string]struct {
		keys    *testlog.Keys
		entries [][]byte
		good    bool
	}{
		"after two changes":   {last, most, true},
		"another log":         {stolen, stolen.Begin(t, "{}"), false},
		"without a handover":  {&withoutHandover, most, false},
		"the keys as before":  {keys, entries, true},
		"a copy that is late": {next, more, true},
	} {
		t.Run(name, func(t *testing.T) {
			var files testlog.Files
			files.Publish(t, keys, entries)
			server := httptest.NewServer(&files)
			defer server.Close()
			dir := t.TempDir()
			add := func() (int, string) {
				var out bytes.Buffer
				a := &cli.App{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}
				code := a.Run(t.Context(), root(a), []string{"log", "add", "--dir", dir, server.URL})
				return code, out.String()
			}
			if code, out := add(); code != 0 {
				t.Fatalf("exit code %d: %s", code, out)
			}
			files.Clear()
			files.Publish(t, c.keys, c.entries)
			code, out := add()
			if c.good != (code == 0) || !c.good && !strings.Contains(out, "add") {
				t.Fatalf("exit code %d: %s", code, out)
			}
			if c.good && slices.ContainsFunc(c.keys.VKeys, func(vkey string) bool { return !strings.Contains(out, vkey) }) {
				t.Errorf("not every key is there: %s", out)
			}
		})
	}
}

// TestLogAddNothing: a directory that is not here is not called a malformed key.
func TestLogAddNothing(t *testing.T) {
	var out bytes.Buffer
	a := &cli.App{Stdout: &out, Stderr: &out}
	code := a.Run(t.Context(), root(a), []string{"log", "add", "--dir", t.TempDir(), "data/public"})
	if want := `"data/public" is neither a verifier key, nor a URL, nor a directory that is here`; code != cli.ExitUsage || !strings.Contains(out.String(), want) {
		t.Errorf("exit code %d: %s", code, &out)
	}
}

// TestLogListReads: to look at the logs writes nothing, so that it works on a disk that is
// read-only, and of a directory that is not there.
func TestLogListReads(t *testing.T) {
	dir := t.TempDir()
	run := func(dir string, args ...string) (int, string) {
		var out bytes.Buffer
		a := &cli.App{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}
		code := a.Run(t.Context(), root(a), append([]string{"log", args[0], "--dir", dir}, args[1:]...))
		return code, out.String()
	}
	vkey := scitt.NoteVKey(testlog.NewKeys(t).VKeys)
	if code, out := run(dir, "add", vkey); code != cli.ExitGood {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if err := os.Remove(filepath.Join(dir, "logs.lock")); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none")
	for where, want := range map[string]string{dir: vkey, none: ""} {
		if code, out := run(where, "list"); code != cli.ExitGood || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d: %s", where, code, out)
		}
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("the directory has %v, %v", all, err)
	}
}
