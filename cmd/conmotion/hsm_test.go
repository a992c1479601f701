package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testkms"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testprogram"
)

// TestHSM: an issuer whose key is in an HSM registers a record, by way of
// conmotion-signer, and shows what the key is. The PIN is never said.
func TestHSM(t *testing.T) {
	uri := testkms.HSM(t)
	dir := t.TempDir()
	build := exec.Command("go", "build", "-tags", "pkcs11", "-o", dir, "github.com/conmotion/conmotion/cmd/conmotion-signer")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("conmotion-signer with PKCS #11 needs a C compiler: %v\n%s", err, out)
	}
	s := &service{daemon: testprogram.Path(t, "conmotiond"), listen: "127.0.0.1:0"}
	log := testlog.Must(s.start(filepath.Join(dir, "log"), nil))(t)
	t.Cleanup(func() { _ = s.stop() })
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("CONMOTION_HOME", filepath.Join(dir, "home"))
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("conmotion", args...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "1234") {
			t.Fatalf("conmotion %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, alg := range []string{"ES256", "EdDSA"} {
		transparent := filepath.Join(dir, alg+".cose")
		run("record", "inventory", "create", "--log", log, "--key", uri(alg), "--out", transparent, "../../policy/ocsf/testdata/inventory_provider.json")
		run("verify", "--log", log, transparent)
		if out := run("key", "inspect", uri(alg)); !strings.Contains(out, alg) || !strings.Contains(out, "did:jwk:") {
			t.Errorf("%s: %s", alg, out)
		}
	}
}
