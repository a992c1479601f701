package daemon

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/conmotion/conmotion/internal/durable"
)

// Elsewhere are the URIs of keys that are not in files; "" for those that are.
type Elsewhere struct{ Note, Receipt, Service string }

// MakeKeys makes the keys of a service that has no log yet, in an empty directory or
// one that is not there, for Config.Keys of its instances. The recovery key is
// written to recovery and only its public half to the directory. No file is
// replaced; a crash leaves some of the files, and another directory is to be used.
// A key that elsewhere has the URI of is not made but opened once, and the URI is
// written in its place.
func MakeKeys(ctx context.Context, c Config, recovery string, elsewhere Elsewhere) error {
	if c.Issuer == "" {
		return errors.New("--issuer: give the URL under which others reach this service, such as https://transparency.example")
	}
	dir := newKeyDir(ctx, c.Keys, c.KeyOpeners, nil)
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
	for _, k := range []struct{ uri, name, algorithm string }{
		{elsewhere.Note, noteKeyFile, "EdDSA"}, {elsewhere.Receipt, receiptKeyFile, "ES256"}, {elsewhere.Service, serviceKeyFile, "ES256"},
	} {
		if k.uri == "" {
			_, err = makeKey(dir.file(k.name), k.algorithm)
		} else if err = durable.WriteFile(dir.file(k.name), []byte(k.uri+"\n"), 0o600); err == nil {
			_, err = readKey(dir, k.name, k.algorithm)
		}
		if err != nil {
			return err
		}
	}
	_, err = newIdentity(dir.file(identityFile), &c)
	return err
}
