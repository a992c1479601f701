package main

import (
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/witness/audit"
)

// own signs a statement of the kind that a service and its administrators make.
func own(t *testing.T, key crypto.Signer, typ, subject string, payload []byte) *scitt.Statement {
	t.Helper()
	data := testlog.Must(scitt.SignStatement(key, scitt.SignOptions{
		Subject: subject, Type: typ, ContentType: "application/octet-stream", IssuedAt: time.Unix(1e9, 0),
	}, payload))(t)
	return testlog.Must(scitt.ParseStatement(data))(t)
}

// announced is the log's first keys statement.
func announced(t *testing.T, keys *testlog.Keys) *scitt.Statement {
	t.Helper()
	return testlog.Must(scitt.ParseStatement(keys.Announce(t, keys.Service, keys.Announced)))(t)
}

func policyStatement(t *testing.T, key crypto.Signer, document string) *scitt.Statement {
	t.Helper()
	return own(t, key, scitt.TypePolicy, scitt.PolicySubject(testlog.Origin), []byte(document))
}

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// withVKeys are arguments for a log whose keys are known from elsewhere.
func withVKeys(keys *testlog.Keys, args ...string) []string {
	for _, vkey := range keys.VKeys {
		args = append(args, "--vkey", vkey)
	}
	return args
}

// TestPolicyHistory: what a dishonest operator put into a log is told and
// does not come into force, and what merely needs another schema is no accusation.
func TestPolicyHistory(t *testing.T) {
	keys := testlog.NewKeys(t)
	admin, stranger := testlog.Key(t, "ES256"), testlog.Key(t, "ES256")
	first := fmt.Sprintf(`{"version": 1, "description": "first", "administrators": [{"issuer": %q}]}`, testlog.Must(did.NewJWK(admin.Public()))(t))
	foreignKeys := announced(t, testlog.NewKeys(t))
	announced, founding := announced(t, keys), policyStatement(t, keys.Service, first)
	next := func(description string, of *scitt.Statement) string {
		return fmt.Sprintf(`{"version": 1, "description": %q, "previous": %q}`, description, of.ID())
	}
	schema := []byte(`{"version": "9.9.9", "classes": {"thing": {"uid": 7001, "category_uid": 7, "attributes": {"class_uid": {"type": "string_t"}}}}, "objects": {}, "profiles": {}, "dictionary": {"types": {"attributes": {"string_t": {}}}}}`)
	schemaFile := writeFile(t, "schema.json", schema)
	foreign := fmt.Sprintf(`{"version": 1, "description": "events", "ocsf": {"mode": "enforce", "schema": "%x"}}`, sha256.Sum256(schema))
	for name, tc := range map[string]struct {
		log       []*scitt.Statement
		args      []string
		code      int
		inForce   string // description
		misplaced string // part of the only reason
		stderr    string
	}{
		"by an administrator": {log: []*scitt.Statement{announced, founding, policyStatement(t, admin, next("second", founding))}, inForce: "second"},
		"by the service":      {log: []*scitt.Statement{announced, founding, policyStatement(t, keys.Service, next("second", founding))}, inForce: "second"},
		"by a stranger": {log: []*scitt.Statement{announced, founding, policyStatement(t, stranger, next("second", founding))},
			code: cli.ExitBad, inForce: "first", misplaced: "is no administrator of the policy in force"},
		"a replay": {log: []*scitt.Statement{announced, founding, policyStatement(t, keys.Service, next("second", founding)), policyStatement(t, keys.Service, next("third", founding))},
			code: cli.ExitBad, inForce: "second", misplaced: "it is a replay"},
		"of another log": {log: []*scitt.Statement{announced, founding, own(t, admin, scitt.TypePolicy, "other/registration-policy", []byte(next("second", founding)))},
			code: cli.ExitBad, inForce: "first", misplaced: "is not that of this log's policy"},
		"foreign keys": {log: []*scitt.Statement{announced, founding, foreignKeys},
			code: cli.ExitBad, inForce: "first", misplaced: "key"},
		"the first statement": {log: []*scitt.Statement{announced, policyStatement(t, stranger, first)}, inForce: "first"},
		"not the first statement": {log: []*scitt.Statement{announced, statement(t, "asset"), policyStatement(t, stranger, first)},
			code: cli.ExitBad, stderr: "no Registration Policy"},
		"the service for another log": {log: []*scitt.Statement{announced, own(t, keys.Service, scitt.TypePolicy, "other", []byte(first))},
			code: cli.ExitBad, stderr: "no Registration Policy"},
		"no keys":     {log: []*scitt.Statement{statement(t, "asset"), founding}, code: cli.ExitBad, stderr: "entry 0 does not announce the keys"},
		"other keys":  {log: []*scitt.Statement{foreignKeys, founding}, code: cli.ExitBad, stderr: "is trusted, and no keys statement of the log announces it"},
		"no document": {log: []*scitt.Statement{announced, policyStatement(t, keys.Service, "[]")}, code: cli.ExitBad, stderr: "no Registration Policy"},
		"a schema that is not given": {log: []*scitt.Statement{announced, policyStatement(t, keys.Service, foreign)},
			code: cli.ExitUsage, stderr: "give it with --ocsf-schema"},
		"a schema that is given": {log: []*scitt.Statement{announced, policyStatement(t, keys.Service, foreign)}, args: []string{"--ocsf-schema", schemaFile}, inForce: "events"},
		"a schema too many": {log: []*scitt.Statement{announced, policyStatement(t, keys.Service, `{"version": 1, "ocsf": {"mode": "warn"}}`)}, args: []string{"--ocsf-schema", schemaFile},
			code: cli.ExitUsage, stderr: "leave out --ocsf-schema"},
	} {
		t.Run(name, func(t *testing.T) {
			files := staticFiles(t, keys, tc.log)
			got := runTool(t, withVKeys(keys, append(tc.args, "policy", "show", "--json", "--static", files)...)...)
			if got.code != tc.code || !strings.Contains(got.stderr, tc.stderr) {
				t.Fatalf("exit code %d, %s", got.code, got.stderr)
			}
			if tc.inForce == "" {
				return
			}
			var report struct {
				Description string
				Misplaced   []audit.Refused
			}
			if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
				t.Fatalf("%v in %q", err, got.stdout)
			}
			if report.Description != tc.inForce || (tc.misplaced == "") != (len(report.Misplaced) == 0) {
				t.Errorf("got %+v", report)
			}
			for _, m := range report.Misplaced {
				if m.Index != uint64(len(tc.log)-1) || !strings.Contains(m.Reason, tc.misplaced) || !strings.Contains(got.stderr, "should not be in the log") {
					t.Errorf("got %+v, %s", m, got.stderr)
				}
			}
		})
	}
}

// TestPolicyChains: chains go on from what was given before, or from the log.
func TestPolicyChains(t *testing.T) {
	keys := testlog.NewKeys(t)
	issuer := testlog.Key(t, "ES256")
	const document = `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "chain": "required"}`
	link := func(seq uint64, prev []byte) *scitt.Statement {
		data := testlog.Must(scitt.SignStatement(issuer, scitt.SignOptions{
			Subject: "a", Chain: &scitt.ChainLink{Name: "c", Seq: seq, Prev: prev},
		}, fmt.Append(nil, seq, prev)))(t)
		return testlog.Must(scitt.ParseStatement(data))(t)
	}
	id := func(st *scitt.Statement) []byte { id := st.ID(); return id[:] }
	zero := link(0, nil)
	one := link(1, id(zero))
	two, fork := link(2, id(one)), link(1, id(statement(t, "other")))
	files := staticFiles(t, keys, []*scitt.Statement{announced(t, keys), policyStatement(t, keys.Service, document), zero, one})
	policyFile := writeFile(t, "policy.json", []byte(document))
	for name, tc := range map[string]struct {
		args  []string
		given []*scitt.Statement
		want  []string
		code  int
		says  string
	}{
		"from the beginning": {given: []*scitt.Statement{zero, one, two}, want: []string{policy.Admitted, policy.Admitted, policy.Admitted}, says: `it is taken to begin the chain \"c\"`},
		"a refused one is no head": {given: []*scitt.Statement{zero, fork, one, two, statement(t, "none")}, code: cli.ExitBad,
			want: []string{policy.Admitted, policy.Refused, policy.Admitted, policy.Admitted, policy.Refused}, says: "wrong prev"},
		"a gap":               {given: []*scitt.Statement{zero, two}, want: []string{policy.Admitted, policy.Refused}, code: cli.ExitBad, says: "gap"},
		"twice":               {given: []*scitt.Statement{zero, zero}, want: []string{policy.Admitted, policy.Admitted}, says: "registered already, as entry 0"},
		"nobody has the head": {given: []*scitt.Statement{two}, want: []string{policy.Undecided}, code: cli.ExitUsage, says: "the head of the chain"},
		"the log has it":      {args: []string{"--static", files}, given: []*scitt.Statement{two}, want: []string{policy.Admitted}},
		"the log is further":  {args: []string{"--static", files}, given: []*scitt.Statement{one, fork}, want: []string{policy.Admitted, policy.Refused}, code: cli.ExitBad, says: "at index 3"},
		"the log knows no other": {args: []string{"--static", files}, given: []*scitt.Statement{two, link(4, id(two))}, code: cli.ExitBad,
			want: []string{policy.Admitted, policy.Refused}, says: "at index 4"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"policy", "test", "--json", "--policy", policyFile}, tc.args...)
			args = withVKeys(keys, args...)
			for _, st := range tc.given {
				args = append(args, writeFile(t, "s.cose", st.Entry()))
			}
			got := runTool(t, args...)
			var results []string
			for line := range strings.Lines(got.stdout) {
				var r judged
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatal(err)
				}
				results = append(results, r.Result)
			}
			if got.code != tc.code || !slices.Equal(results, tc.want) || !strings.Contains(got.stdout, tc.says) {
				t.Errorf("exit code %d, results %v\n%s%s", got.code, results, got.stdout, got.stderr)
			}
		})
	}
}

func TestParsePolicyRef(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"log", "odd@2"} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("log@7", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{
		"policy.json":              "file policy.json",
		"-":                        "file -",
		"":                         "file ",
		"@3":                       "file @3",
		"log":                      "log log",
		"log@3":                    "log log at 3",
		"log@x":                    "file log@x",
		"log@-1":                   "file log@-1",
		"log@7":                    "file log@7", // it is there
		"odd@2":                    "log odd@2",
		"odd@2@5":                  "log odd@2 at 5",
		"https://log.example/":     "log https://log.example/",
		"http://log.example:80@12": "log http://log.example:80 at 12",
		"https://me@log.example":   "log https://me@log.example",
		"https://log@example@0":    "log https://log@example at 0",
		"log@99999999999999999999": "file log@99999999999999999999",
	} {
		ref := parsePolicyRef(arg)
		got := "file " + ref.file
		if ref.log != "" {
			got = "log " + ref.log
		}
		if ref.at != nil {
			got += fmt.Sprintf(" at %d", *ref.at)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", arg, got, want)
		}
	}
}

// pageText is what people are shown.
func pageText(t *testing.T, show func(*cli.Page)) string {
	t.Helper()
	var out strings.Builder
	if err := (&cli.App{Stdout: &out}).Print(nil, show); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPolicyText(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{pageText(t, policyReport{"p", policy.Checked{Errors: []policy.SyntaxError{{Line: 1, Column: 2, Path: "a", Message: "wrong"}}}}.show), "p:1:2: a: wrong\n"},
		{pageText(t, policyReport{"p", policy.Checked{Valid: true, Hash: "00", Warnings: []string{"odd"}}}.show), "p: warning: odd\np: valid, 1 warning, hash 00\n"},
		{pageText(t, judged{"s", policy.Judged{Result: policy.Undecided, Note: "n"}}.show), "undecided  s\n  note     n\n"},
		{pageText(t, judged{"s", policy.Judged{Result: policy.Refused, EntryID: "00", Findings: []policy.Finding{
			{Check: "key", Outcome: policy.Passed}, {Check: "ocsf", Outcome: policy.Warned, Message: "m"}, {Check: "r", Outcome: policy.Failed, Message: "m", Fix: "f"},
		}}}.show), "refused  s  entry id 00\n  passed   key\n  warned   ocsf: m\n  failed   r: m\n           to pass: f\n"},
	} {
		if tc.got != tc.want {
			t.Errorf("got  %q\nwant %q", tc.got, tc.want)
		}
	}
}

// Whatever a policy holds, it does not command the terminal.
func TestPolicyTerminal(t *testing.T) {
	keys := testlog.NewKeys(t)
	document := "{\"version\": 1, \"description\": \"\u202e\u009b31m\"}"
	files := staticFiles(t, keys, []*scitt.Statement{announced(t, keys), policyStatement(t, keys.Service, document)})
	file := writeFile(t, "p.json", []byte(`{"version": 1, "description": "plain"}`))
	for _, args := range [][]string{{"policy", "show", "--static", files}, {"policy", "diff", files, file}} {
		got := runTool(t, withVKeys(keys, args...)...)
		if !strings.Contains(got.stdout, `\u202e\u009b31m`) || strings.ContainsAny(got.stdout, "\u202e\u009b") {
			t.Errorf("%v: %q, %s", args, got.stdout, got.stderr)
		}
	}
}
