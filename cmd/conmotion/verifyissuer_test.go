package main

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
)

// TestTaggedDate: the statements of other services may have an iat with a tag.
// verify and inspect read it, and inspect says that a log would refuse it.
// Receipts that somebody signed into a statement prove nothing of it.
func TestTaggedDate(t *testing.T) {
	key := testpki.P256(t, "a")
	path := filepath.Join(t.TempDir(), "s.cose")
	data := testpki.SignAgain(t, key, testlog.Statement(t, key, "s", nil), func(h cose.ProtectedHeader) {
		h[cose.HeaderLabelCWTClaims] = map[any]any{int64(1): testlog.DIDJWK(t, key), int64(2): "s", int64(6): cbor.Tag{Number: 1, Content: 1_700_000_000}}
		h[int64(394)] = []any{[]byte("a receipt")}
	})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string][]string{
		"verify":  {"ok           signature ", "signed    2023-11-14T22:13:20Z", "not checked  signed receipts  1 receipt is in the protected header"},
		"inspect": {"2023-11-14T22:13:20Z", "a log would refuse it", "CWT claim iat has a tag"},
	} {
		got := runTool(t, command, path)
		for _, piece := range want {
			if !strings.Contains(got.stdout, piece) {
				t.Errorf("%s does not say %q: %s%s", command, piece, got.stdout, got.stderr)
			}
		}
	}
}

// TestCertificateBesideRoots: the certificate in --issuer-key is trusted as it
// is, so that --roots would say nothing about it.
func TestCertificateBesideRoots(t *testing.T) {
	corp, dir := testpki.New(t, "corp"), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, data := range map[string][]byte{
		"roots.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: corp.Root.Raw}),
		"corp.pem":  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: corp.Leaf.Raw}),
		"s.cose":    testlog.Statement(t, corp.Leaf.Key, "s", nil),
	} {
		if err := os.WriteFile(at(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for target, key := range map[string]string{at("s.cose"): at("corp.pem"), dir: "https://corp.example=" + at("corp.pem")} {
		got := runTool(t, "verify", "--issuer-key", key, "--roots", at("roots.pem"), target)
		if got.code != cli.ExitUsage || !strings.Contains(got.stderr, "is a certificate, whose key would be taken without asking --roots") {
			t.Errorf("%s: exit code %d, %s", target, got.code, got.stderr)
		}
	}
}
