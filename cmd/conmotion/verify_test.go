package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/witness"
)

// outcome is what a run of the tool came to.
type outcome struct {
	code           int
	stdout, stderr string
}

func runTool(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{cli.App{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Home: cmp.Or(os.Getenv("CONMOTION_HOME"), t.TempDir()), Among: &party.Among{}}}
	code := a.run(t.Context(), append([]string{}, args...)) // not nil, which is what the test binary was started with
	return outcome{code, stdout.String(), stderr.String()}
}

// runIn is runTool in a context, with the test's own input and output.
func runIn(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return (&app{cli.App{Stdin: stdin, Stdout: stdout, Stderr: stderr, Home: os.Getenv("CONMOTION_HOME"), Among: &party.Among{}}}).run(ctx, args)
}

// vector is a statement and a receipt of a log that hashes the digest of a
// statement, with the keys in PEM.
type vector struct{ dir string }

func (v vector) verify(t *testing.T, leaf string) outcome {
	t.Helper()
	at := func(name string) string { return filepath.Join(v.dir, name) }
	return runTool(t, "verify", "--json", "--leaf", leaf, "--keys", at("log-key.pub"), "--issuer-key", at("issuer-key.pub"),
		"--payload", at("payload.bin"), "--receipt", at("receipt.cose"), at("statement.cose"))
}

// expectation is what expected.json says of a vector.
type expectation struct {
	Statement bool   `json:"statement_signature_valid"`
	Receipt   bool   `json:"receipt_valid"`
	Result    string `json:"result"`
}

func (v vector) check(t *testing.T, want expectation) {
	t.Helper()
	got := v.verify(t, "digest")
	var report verify.Result
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("%v in %q, %s", err, got.stdout, got.stderr)
	}
	if report.Verified != (want.Result == "VALID") || (got.code == cli.ExitGood) != report.Verified || got.code == cli.ExitUsage {
		t.Errorf("verified %t, exit code %d, want %s", report.Verified, got.code, want.Result)
	}
	results := map[string]string{}
	for _, c := range report.Checks {
		results[c.Check] = c.Result
	}
	word := map[bool]string{true: witness.OK, false: witness.Failed}
	if results["signature"] != word[want.Statement] || results["receipt 1"] != word[want.Receipt] || results["payload"] != witness.OK {
		t.Errorf("checks %v, want %+v", results, want)
	}
	// Its leaf is the digest: as an entry of this project's kind it is none.
	if got := v.verify(t, "entry"); got.code != cli.ExitBad {
		t.Errorf("--leaf entry: exit code %d", got.code)
	}
}

// Vectors of another implementation, where they are there.
func TestForeignVectors(t *testing.T) {
	dirs, err := filepath.Glob("../../../shared/vectors/*/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range dirs {
		v := vector{filepath.Dir(path)}
		t.Run(filepath.Base(v.dir), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var want expectation
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			v.check(t, want)
		})
	}
}

// The same kinds of vectors, made here.
func TestDigestVectors(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		for name, tc := range map[string]struct {
			want   expectation
			change func(statement, receipt []byte)
		}{
			"good":          {expectation{true, true, "VALID"}, func(_, _ []byte) {}},
			"bad signature": {expectation{false, false, "INVALID"}, func(s, _ []byte) { s[len(s)-1] ^= 1 }},
			"bad path":      {expectation{true, false, "INVALID"}, func(_, r []byte) { r[bytes.Index(r, sibling[:8])] ^= 1 }},
			"bad receipt":   {expectation{true, false, "INVALID"}, func(_, r []byte) { r[len(r)-1] ^= 1 }},
		} {
			t.Run(alg+" "+name, func(t *testing.T) {
				v := makeVector(t, alg, tc.change)
				v.check(t, tc.want)
			})
		}
	}
}

// sibling is the other leaf of the tree of two.
var sibling = bytes.Repeat([]byte("sibling."), 4)

func makeVector(t *testing.T, alg string, change func(statement, receipt []byte)) vector {
	t.Helper()
	v := vector{t.TempDir()}
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(v.dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	issuer, err := scitt.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	logKey, err := scitt.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	issuerJWK, err := did.MarshalJWK(issuer.Public())
	if err != nil {
		t.Fatal(err)
	}
	key, err := scitt.NewKey(logKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	coseKey, err := key.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte("payload")
	data, err := scitt.SignStatement(issuer, scitt.SignOptions{Issuer: "https://issuer.example", Subject: "s"}, payload)
	if err != nil {
		t.Fatal(err)
	}
	st, err := scitt.ParseStatement(data)
	if err != nil {
		t.Fatal(err)
	}
	root := rfc6962.DefaultHasher.HashChildren(scitt.LeafHash(scitt.LeafDigest.Leaf(st)), sibling)
	tree, err := scitt.SignTree(logKey, "https://log.example", "log.example", time.Unix(1e9, 0), root)
	if err != nil {
		t.Fatal(err)
	}
	receipt := tree.Receipt(&scitt.InclusionProof{Size: 2, Index: 0, Path: [][]byte{sibling}})
	change(data, receipt)
	write("payload.bin", payload)
	write("issuer-key.pub", issuerJWK)
	write("log-key.pub", coseKey)
	write("statement.cose", data)
	write("receipt.cose", receipt)
	return v
}

// Every command explains itself, with an example.
func TestHelp(t *testing.T) {
	a := &app{}
	for _, cmd := range a.root().Commands() {
		if cmd.Name() == "help" || cmd.Hidden || cmd.IsAdditionalHelpTopicCommand() {
			continue
		}
		got := runTool(t, cmd.Name(), "--help")
		if got.code != cli.ExitGood || !strings.Contains(got.stdout, "Examples:\n  conmotion "+cmd.Name()) || !strings.Contains(got.stdout, "--json") {
			t.Errorf("%s --help: exit code %d\n%s", cmd.Name(), got.code, got.stdout)
		}
	}
	if got := runTool(t); got.code != cli.ExitGood || !strings.Contains(got.stdout, "Statements and Receipts:") {
		t.Errorf("no arguments: exit code %d\n%s", got.code, got.stdout)
	}
}
