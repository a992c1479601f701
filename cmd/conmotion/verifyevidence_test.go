package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

// TestVerifyEvidence: anybody verifies evidence, by the file alone or with the log where
// the file leaves entries out. A log that did nothing wrong is not accused.
func TestVerifyEvidence(t *testing.T) {
	t.Setenv("CONMOTION_HOME", t.TempDir())
	keys, alice := testlog.NewKeys(t), testlog.Key(t, "ES256")
	entries := keys.Begin(t, fmt.Sprintf(`{"version": 1, "issuers": [{"issuer": %q}]}`, testlog.DIDJWK(t, alice)))
	for i := range 5 {
		entries = append(entries, testlog.Statement(t, alice, "asset", []byte{byte(i)}))
	}
	good := bytes.Clone(entries[len(entries)-1])
	entries = append(entries, testlog.Statement(t, testlog.Key(t, "ES256"), "asset", []byte("slipped in")), good)
	publish := func(entries [][]byte) (files *testlog.Files, location string) {
		files, location = &testlog.Files{}, t.TempDir()
		files.Publish(t, keys, entries)
		files.WriteTo(t, location)
		return files, location
	}
	files, location := publish(entries)
	_, honest := publish(entries[:7])
	view := testlog.Must(tiles.NewLog(files, keys.Verifiers).Latest(t.Context()))(t)
	index := uint64(7)
	e := testlog.Must(audit.NewEvidence(t.Context(), view, keys.VKeys, audit.Violation{Index: &index, Check: policy.CheckIssuer, Message: "m"}, nil))(t)
	write := func(e audit.Evidence) string {
		path := filepath.Join(t.TempDir(), "evidence.json")
		if err := os.WriteFile(path, testlog.Must(e.Marshal())(t), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole, gap, accused := *e, *e, *e
	gap.Entries = []audit.EvidenceEntry{e.Entries[0], e.Entries[1], e.Entries[7]}
	accused.Entries = e.Entries[:7] // whose last one is good
	vkey := []string{"--vkey", keys.VKeys[0], "--vkey", keys.VKeys[1]}
	stranger := testlog.NewKeys(t)
	for name, c := range map[string]struct {
		evidence audit.Evidence
		args     []string
		code     int
		output   string
	}{
		"alone":                    {whole, nil, cli.ExitGood, "the key is the one that the proof names"},
		"with the log's keys":      {whole, vkey, cli.ExitGood, "THE LOG HOLDS AN ENTRY"},
		"with a stranger's keys":   {whole, []string{"--vkey", stranger.VKeys[0]}, cli.ExitBad, "NO EVIDENCE"},
		"with receipt keys":        {whole, []string{"--keys", "x"}, cli.ExitUsage, "give the log's verifier key"},
		"entries left out":         {gap, vkey, cli.ExitUsage, "entries 2 to 6"},
		"and the log":              {gap, []string{"--static", location}, cli.ExitGood, "THE LOG HOLDS AN ENTRY"},
		"and an older copy of it":  {gap, []string{"--static", honest}, cli.ExitUsage, "cannot be audited"},
		"of an entry that is good": {accused, vkey, cli.ExitBad, "does not fail the check"},
	} {
		t.Run(name, func(t *testing.T) {
			got := runTool(t, append([]string{"verify", write(c.evidence)}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.stdout+got.stderr, c.output) {
				t.Errorf("%+v", got)
			}
		})
	}
	got := runTool(t, append([]string{"verify", "--json", write(whole)}, vkey...)...)
	var r verify.Evidence
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || !r.Proven || r.Index != 7 || r.Size != 9 || !r.Given || r.Check != policy.CheckIssuer {
		t.Errorf("%v, %+v", err, got)
	}
}
