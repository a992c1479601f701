package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/report"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// reportOn makes a JSON report and gives it with the exit code.
func reportOn(t *testing.T, args ...string) (*report.Report, int, string) {
	t.Helper()
	var out, errOut bytes.Buffer
	args = append([]string{"report", "--json", "--from", "2026-01-01", "--to", "2026-01-02", "--at", "2026-01-03"}, args...)
	code := runIn(t.Context(), args, strings.NewReader(""), &out, &errOut)
	var r report.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("exit code %d: %v\n%s", code, err, errOut.String())
	}
	return &r, code, errOut.String()
}

// TestReportFork: a log that signed two histories is in the report, with the
// proof, also when it shows one of them again.
func TestReportFork(t *testing.T) {
	keys := testlog.NewKeys(t)
	var files testlog.Files
	server := httptest.NewServer(&files)
	defer server.Close()
	publish := func(n int, history string) {
		var entries [][]byte
		for i := range n {
			entries = append(entries, fmt.Appendf(nil, "%s %d", history, i))
		}
		files.Publish(t, keys, entries)
	}
	home := t.TempDir()
	publish(3, "a")
	args := []string{"--auditor", server.URL, "--home", home}
	for _, vkey := range keys.VKeys {
		args = append(args, "--vkey", vkey)
	}
	r, code, _ := reportOn(t, args...)
	if l := r.Logs[0]; code != cli.ExitGood || l.State != report.StateGood || l.Keys != report.KeysGiven || l.SeenBefore {
		t.Errorf("exit code %d: %+v", code, l)
	}
	publish(3, "b")
	r, code, stderr := reportOn(t, args...)
	if l := r.Logs[0]; code != cli.ExitBad || l.State != report.StateForked || len(l.Proofs) != 1 || r.Level != report.Critical || !strings.Contains(stderr, "forked") {
		t.Errorf("exit code %d: %+v: %s", code, l, stderr)
	}
	publish(4, "a")
	r, code, stderr = reportOn(t, args...)
	if l := r.Logs[0]; code != cli.ExitBad || l.State != report.StateGood || !l.SeenBefore || len(l.Proofs) != 1 || r.Level != report.Critical || !strings.Contains(stderr, "signed two histories") {
		t.Errorf("exit code %d: %+v: %s", code, l, stderr)
	}
	publish(2, "a")
	if r, code, _ = reportOn(t, args...); code != cli.ExitUsage || r.Logs[0].State != report.StateRolledBack || r.Logs[0].Level != "high" {
		t.Errorf("exit code %d: %+v", code, r.Logs[0])
	}
	// The keys of another log do not count for this one: it is not known yet.
	args = []string{"--auditor", server.URL, "--home", t.TempDir(), "--vkey", testlog.NewKeysOf(t, "another.example").VKeys[0]}
	if r, code, _ = reportOn(t, args...); code != cli.ExitGood || r.Logs[0].Keys != report.KeysFirstUse {
		t.Errorf("exit code %d: %+v", code, r.Logs[0])
	}
}

func TestStateOf(t *testing.T) {
	for err, want := range map[error]report.State{
		party.ErrForked: report.StateForked, party.ErrRolledBack: report.StateRolledBack, tiles.ErrOtherLog: report.StateOtherLog,
		party.ErrKeysChanged: report.StateKeysChanged, tiles.ErrCorrupt: report.StateCorrupt, tiles.ErrKeys: report.StateCorrupt, scitt.ErrCheckpoint: report.StateCorrupt,
		errors.New("connection refused"): report.StateUnreachable, witness.ErrQuorum: report.StateUnwitnessed, witness.ErrStale: report.StateUnwitnessed,
	} {
		if got := stateOf(fmt.Errorf("the log: %w", err)); got != want {
			t.Errorf("%v is %s, not %s", err, got, want)
		}
	}
}

// TestReportRoles: a log that is given twice is one log with two roles.
func TestReportRoles(t *testing.T) {
	keys := testlog.NewKeys(t)
	var files testlog.Files
	files.Publish(t, keys, [][]byte{[]byte("a")})
	dir := t.TempDir()
	files.WriteTo(t, dir)
	r, code, _ := reportOn(t, "--provider", dir, "--own", dir+"/", "--log", dir, "--home", t.TempDir())
	if code != cli.ExitGood || len(r.Logs) != 1 || len(r.Logs[0].Roles) != 3 {
		t.Errorf("exit code %d: %+v", code, r.Logs)
	}
	var out, errOut bytes.Buffer
	if code := runIn(t.Context(), []string{"report", "--provider", dir, "--own", t.TempDir(), "--artifact-token-file", dir + "/checkpoint", "--home", t.TempDir()},
		strings.NewReader(""), &out, &errOut); code != cli.ExitUsage || !strings.Contains(errOut.String(), "needs --artifacts") {
		t.Errorf("exit code %d: %s", code, errOut.String())
	}
}
