//go:build pkcs11 && cgo

package pkcs11

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testkms"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/scitt"
)

// TestHSM: keys in SoftHSM sign what verifies, through its C library. A wrong PIN is
// tried once, and is in no error. The library reads its configuration once, and a
// process logs in once, so this is one test.
func TestHSM(t *testing.T) {
	uri := testkms.HSM(t)
	pin := filepath.Join(t.TempDir(), "pin")
	_, source, _ := strings.Cut(uri("ES256"), "pin-source=file:")
	remote := testlog.Must(Open(t.Context(), strings.Replace(uri("ES256"), source, pin, 1)))(t)
	for _, digits := range []string{"8765", "1234"} { // the second is not read any more
		if err := os.WriteFile(pin, []byte(digits), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := remote.Public(t.Context())
		if err == nil || !strings.Contains(err.Error(), "refuses the PIN") || strings.Contains(err.Error(), "8765") {
			t.Errorf("a wrong PIN: %v", err)
		}
	}
	o := keys.Options{Openers: map[string]keys.Opener{"pkcs11": Open}}
	for _, alg := range []string{"ES256", "EdDSA"} {
		key, err := o.Open(t.Context(), uri(alg))
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			s := testlog.Must(scitt.ParseStatement(testlog.Statement(t, key, "s", make([]byte, 5000))))(t)
			if err := s.VerifySignature(key.Public()); err != nil || !s.LowS() {
				t.Errorf("%s: %v, low s %v", alg, err, s.LowS())
			}
		}
	}
	if _, err := o.Open(t.Context(), uri("none")); err == nil || !strings.Contains(err.Error(), "0 objects of the class") {
		t.Errorf("no key: %v", err)
	}
	if _, err := o.Open(t.Context(), strings.Replace(uri("ES256"), "token=conmotion", "token=other", 1)); err == nil || !strings.Contains(err.Error(), "0 tokens fit it") {
		t.Errorf("no token: %v", err)
	}
}
