package party

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/conmotion/conmotion/monitor/disclosure"
)

// TestDisclosures: the secret stays what it was, and a file that is damaged or lost is
// said, and written anew when the same event is recorded again.
func TestDisclosures(t *testing.T) {
	home := Home(t.TempDir())
	secret, err := home.DisclosureSecret(t.Context())
	if err != nil || *secret == (disclosure.Secret{}) {
		t.Fatal(secret, err)
	}
	if again, err := home.DisclosureSecret(t.Context()); err != nil || *again != *secret {
		t.Errorf("another secret: %v", err)
	}
	p, err := disclosure.ParsePattern("a")
	if err != nil {
		t.Fatal(err)
	}
	d, err := secret.HideFields("i", []byte(`{"a":1}`), []disclosure.Pattern{p})
	if err != nil {
		t.Fatal(err)
	}
	payload := sha256.Sum256(d.Payload)
	if _, err := home.Disclosures(payload); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	path := home.disclosures(payload)
	for range 2 {
		if err := home.KeepDisclosures(d); err != nil {
			t.Fatal(err)
		}
		if got, err := home.Disclosures(payload); err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("%+v, %v", got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if err := os.WriteFile(path, []byte(`{"disclosures":[],"format":"conmotion-disclosure/1","payload":{}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := home.Disclosures(payload); !errors.Is(err, ErrDamaged) {
			t.Errorf("damaged: %+v, %v", got, err)
		}
	}
	// Another secret would hide the same values behind other digests, and the same events would be registered again.
	if err := os.Remove(filepath.Join(string(home), "disclosure.key")); err != nil {
		t.Fatal(err)
	}
	if got, err := home.DisclosureSecret(t.Context()); !errors.Is(err, ErrDamaged) {
		t.Errorf("lost: %v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(string(home), "disclosure.key"), []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := home.DisclosureSecret(t.Context()); !errors.Is(err, ErrDamaged) {
		t.Errorf("damaged: %v, %v", got, err)
	}
	if _, err := Home("").DisclosureSecret(t.Context()); err == nil {
		t.Error("a secret without a home")
	}
}
