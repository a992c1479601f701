package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
)

// forkedLog shows a log to a participant, then another history of it, and
// gives the proof that the participant then keeps.
func forkedLog(t *testing.T, keys *testlog.Keys) (proof string, location string) {
	t.Helper()
	var entries, other [][]byte
	for i := range 20 {
		entries = append(entries, fmt.Append(nil, "a", i))
		other = append(other, fmt.Append(nil, "b", i))
	}
	var files testlog.Files
	location = t.TempDir()
	files.Publish(t, keys, entries[:10])
	files.WriteTo(t, location)
	o := party.Options{Home: party.Home(t.TempDir())}
	if _, err := party.Open(t.Context(), location, o); err != nil {
		t.Fatal(err)
	}
	files.Publish(t, keys, other)
	files.WriteTo(t, location)
	if _, err := party.Open(t.Context(), location, o); err == nil {
		t.Fatal("a fork was not seen")
	}
	proofs := testlog.Must(filepath.Glob(filepath.Join(string(o.Home), "proofs", "*.json")))(t)
	if len(proofs) != 1 {
		t.Fatalf("proofs %q", proofs)
	}
	return proofs[0], location
}

func TestVerifyEquivocation(t *testing.T) {
	keys := testlog.NewKeys(t)
	proof, location := forkedLog(t, keys)
	data := string(testlog.Must(os.ReadFile(proof))(t))
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "equivocation.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stranger := testlog.NewKeys(t)
	for name, c := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"its own key":     {[]string{proof}, cli.ExitGood, "THE LOG EQUIVOCATED", "notice: the key is the one that the proof names"},
		"the log's key":   {[]string{proof, "--vkey", keys.VKeys[0]}, cli.ExitGood, "10 entries, root", ""},
		"all its keys":    {[]string{proof, "--vkey", keys.VKeys[0], "--vkey", keys.VKeys[1]}, cli.ExitGood, "20 entries, root", ""},
		"from the log":    {[]string{proof, "--static", location}, cli.ExitGood, "THE LOG EQUIVOCATED", "its keys are taken on first use"},
		"a new line":      {[]string{write(data + "\n")}, cli.ExitGood, "THE LOG EQUIVOCATED", ""},
		"another's key":   {[]string{proof, "--vkey", stranger.VKeys[0]}, cli.ExitBad, "NO PROOF", "proves nothing about the log"},
		"changed":         {[]string{write(strings.Replace(data, `"head":["`, `"head":["A`, 1))}, cli.ExitBad, "NO PROOF", "proves nothing"},
		"receipt keys":    {[]string{proof, "--keys", "x"}, cli.ExitUsage, "", "--vkey"},
		"no key anywhere": {[]string{write(strings.Replace(data, `,"vkey":"`+keys.VKeys[0]+`"`, "", 1))}, cli.ExitBad, "NO PROOF", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := runTool(t, append([]string{"verify"}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.stdout, c.stdout) || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("%+v", got)
			}
		})
	}
	var r verify.Equivocation
	got := runTool(t, "verify", "--json", "--vkey", keys.VKeys[0], proof)
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || !r.Proven || !r.Given || r.Older.Size != 10 || r.Newer.Size != 20 || r.Origin != testlog.Origin {
		t.Errorf("%v in %+v", err, got)
	}
}

// TestAuditFork: whoever finds a fork keeps the proof.
func TestAuditFork(t *testing.T) {
	home := t.TempDir()
	t.Setenv("CONMOTION_HOME", home)
	keys := testlog.NewKeys(t)
	entries := keys.Begin(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}}`)
	key := testlog.Key(t, "EdDSA")
	log := func(name string) []string {
		var files testlog.Files
		dir := t.TempDir()
		files.Publish(t, keys, append(entries[:2:2], testlog.Statement(t, key, name, []byte(name))))
		files.WriteTo(t, dir)
		return []string{"audit", "--vkey", keys.VKeys[0], "--vkey", keys.VKeys[1], "--state", filepath.Join(t.TempDir(), "audit.json"), dir}
	}
	first, other := log("a"), log("b")
	state := first[len(first)-2]
	if got := runTool(t, append(first, "--home", t.TempDir())...); got.code != cli.ExitGood {
		t.Fatalf("%+v", got)
	}
	// What the audit's own state shows, and then what the home remembers.
	got := runTool(t, append(other, "--state", state)...)
	if got.code != cli.ExitBad || !strings.Contains(got.stdout, "log/consistency") || !strings.Contains(got.stderr, "for anybody to verify, is "+home) {
		t.Fatalf("%+v", got)
	}
	if got := runTool(t, first...); got.code != cli.ExitBad || !strings.Contains(got.stderr, "the log forked") || !strings.Contains(got.stderr, "for anybody to verify, is "+home) {
		t.Fatalf("%+v", got)
	}
	if got := runTool(t, append(other, "--state", state, "--no-home")...); got.code != cli.ExitBad || !strings.Contains(got.stdout, "log/consistency") {
		t.Fatalf("%+v", got)
	}
	proofs := testlog.Must(filepath.Glob(filepath.Join(home, "proofs", "*.json")))(t)
	if len(proofs) != 2 {
		t.Fatalf("proofs %q", proofs)
	}
	for _, proof := range proofs {
		if got := runTool(t, "verify", "--vkey", keys.VKeys[0], proof); got.code != cli.ExitGood {
			t.Errorf("%+v", got)
		}
	}
}
