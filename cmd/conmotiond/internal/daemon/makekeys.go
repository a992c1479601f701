package daemon

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/conmotion/conmotion/internal/durable"
)

// MakeKeys makes the keys of a service that has no log yet, in an empty directory or
// one that is not there, for Config.Keys of its instances. The recovery key is
// written to recovery and only its public half to the directory. No file is
// replaced; a crash leaves some of the files, and another directory is to be used.
func MakeKeys(c Config, recovery string) error {
	if c.Issuer == "" {
		return errors.New("--issuer: give the URL under which others reach this service, such as https://transparency.example")
	}
	dir := keyDir(c.Keys)
	if err := os.MkdirAll(c.Keys, 0o700); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if files, err := os.ReadDir(c.Keys); err != nil || len(files) > 0 {
		return errors.Join(err, fmt.Errorf("keys: %s is not empty, and what it has may be the keys of a log", c.Keys))
	}
	if _, err := os.Lstat(recovery); err == nil {
		return fmt.Errorf("keys: %s is there already", recovery)
	}
	key, err := makeKey(recovery, "ES256")
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err := durable.WriteFile(dir.file(recoveryKeyFile), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	for name, algorithm := range map[string]string{noteKeyFile: "EdDSA", receiptKeyFile: "ES256", serviceKeyFile: "ES256"} {
		if _, err := makeKey(dir.file(name), algorithm); err != nil {
			return err
		}
	}
	_, err = newIdentity(dir.file(identityFile), &c)
	return err
}
