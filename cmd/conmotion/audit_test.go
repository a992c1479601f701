package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/audit"
)

// dishonest makes a log whose entry 2 is by an issuer that the policy does
// not list, and gives its public directory and how to trust it.
func dishonest(t *testing.T, members string, entries ...*scitt.Statement) []string {
	t.Helper()
	keys := testlog.NewKeys(t)
	sign := func(o scitt.SignOptions, payload []byte) *scitt.Statement {
		return testlog.Must(scitt.ParseStatement(testlog.Must(scitt.SignStatement(keys.Service, o, payload))(t)))(t)
	}
	statements := append([]*scitt.Statement{
		announced(t, keys),
		sign(scitt.SignOptions{Type: scitt.TypePolicy, Subject: testlog.Origin + "/registration-policy"}, fmt.Appendf(nil, `{"version": 1, %s}`, members)),
	}, entries...)
	args := []string{staticFiles(t, keys, statements)}
	for _, vkey := range keys.VKeys {
		args = append(args, "--vkey", vkey)
	}
	return args
}

// TestAuditFollow: an interrupt ends it in order, with the state written.
func TestAuditFollow(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	args := append([]string{"audit", "--follow", "--interval", "1h", "--state", state},
		dishonest(t, `"issuers": [{"issuer": "https://alice.example"}]`, statement(t, "by a stranger"))...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- runIn(ctx, args, strings.NewReader(""), w, io.Discard)
		w.Close()
	}()
	out := bufio.NewReader(r)
	line := testlog.Must(out.ReadString('\n'))(t)
	if !strings.HasPrefix(line, "VIOLATION  entry 2 ") || !strings.Contains(line, "issuer: ") {
		t.Errorf("told %q", line)
	}
	cancel()
	rest := testlog.Must(io.ReadAll(out))(t)
	if got := <-code; got != cli.ExitBad || !strings.Contains(string(rest), "BAD: 1 violation") {
		t.Errorf("exit code %d, %s", got, rest)
	}
	s := testlog.Must(audit.ParseState(testlog.Must(os.ReadFile(state))(t)))(t)
	if s.Next != 3 || len(s.Violations) != 1 {
		t.Errorf("%+v", s)
	}
	// What was told is not told again, and still counts.
	got := runTool(t, append([]string{"audit", "--state", state}, args[6:]...)...)
	if got.code != cli.ExitBad || strings.Contains(got.stdout, "VIOLATION") || !strings.Contains(got.stdout, "BAD: 1 violation") {
		t.Errorf("%+v", got)
	}
}

// TestAuditIncomplete: without artifacts some policies cannot be replayed.
func TestAuditIncomplete(t *testing.T) {
	data := testlog.Must(scitt.SignStatement(testlog.Key(t, "EdDSA"), scitt.SignOptions{Subject: "a", Hash: true}, []byte("content")))(t)
	args := append([]string{"audit"}, dishonest(t, `"trust_anchors": {"self_certifying": ["did:jwk"]}, "artifact": "required"`,
		testlog.Must(scitt.ParseStatement(data))(t))...)
	got := runTool(t, args...)
	if got.code != cli.ExitUsage || !strings.Contains(got.stdout, "INCOMPLETE") || !strings.Contains(got.stderr, "1 entry needs --artifacts") {
		t.Errorf("%+v", got)
	}
	empty := t.TempDir()
	if err := os.Mkdir(filepath.Join(empty, "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	got = runTool(t, append(args, "--artifacts", empty)...)
	// That it is not there now is no evidence of what was there at the admission.
	if got.code != cli.ExitUsage || !strings.Contains(got.stdout, "INCOMPLETE") || !strings.Contains(got.stderr, "the artifacts of 1 entry are not in the storage") {
		t.Errorf("%+v", got)
	}
}
