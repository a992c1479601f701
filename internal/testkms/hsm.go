package testkms

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// HSM makes a token of SoftHSM with key pairs on the curves P-256 and Ed25519, which
// are called ES256 and EdDSA, and returns the URI of a key by its label. The test is
// skipped where there is no SoftHSM.
func HSM(t *testing.T) (uri func(label string) string) {
	t.Helper()
	for _, program := range []string{"softhsm2-util", "pkcs11-tool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s (Debian packages softhsm2 and opensc): %v", program, err)
		}
	}
	libraries, _ := filepath.Glob("/usr/lib/*/softhsm/libsofthsm2.so")
	if len(libraries) == 0 {
		libraries = []string{"/usr/lib/softhsm/libsofthsm2.so"}
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "softhsm2.conf")
	err := os.Mkdir(filepath.Join(dir, "tokens"), 0o700)
	if err == nil {
		err = os.WriteFile(config, []byte("directories.tokendir = "+filepath.Join(dir, "tokens")+"\nlog.level = ERROR\n"), 0o600)
	}
	pin := filepath.Join(dir, "pin")
	if err == nil {
		err = os.WriteFile(pin, []byte("1234\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", config)
	commands := [][]string{{"softhsm2-util", "--init-token", "--free", "--label", "conmotion", "--pin", "1234", "--so-pin", "12345678"}}
	for label, curve := range map[string]string{"ES256": "EC:prime256v1", "EdDSA": "EC:edwards25519"} {
		commands = append(commands, []string{"pkcs11-tool", "--module", libraries[0], "--login", "--pin", "1234", "--keypairgen", "--key-type", curve, "--label", label})
	}
	for _, c := range commands {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	return func(label string) string {
		return "pkcs11:token=conmotion;object=" + label + "?module-path=" + libraries[0] + "&pin-source=file:" + pin
	}
}
