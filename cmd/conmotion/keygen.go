package main

import (
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plain"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

func (a *app) keygen() *cobra.Command {
	var out, alg string
	cmd := &cobra.Command{
		Use: "keygen --out FILE", Short: "Make an issuer's signing key",
		Long: `Make a signing key and print the issuer that it stands for: a did:jwk, an
identifier that carries its own public key, so that anybody can verify what it
signs. The file holds the private key (PKCS#8 PEM, mode 0600); an existing file
is never replaced.`,
		Example: `  conmotion keygen --out issuer.pem
  conmotion keygen --out issuer.pem --alg EdDSA`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.runKeygen(out, alg) },
	}
	cmd.Flags().StringVar(&out, "out", "", "file for the private key")
	cmd.Flags().StringVar(&alg, "alg", "ES256", "signing algorithm: ES256, ES384, ES512 or EdDSA")
	cli.Require(cmd, "out")
	return cmd
}

// newKey is a key that was made.
type newKey struct {
	Issuer    string `json:"issuer"`
	Algorithm string `json:"algorithm"`
	KID       string `json:"kid"`
	File      string `json:"file"`
}

func (a *app) runKeygen(out, alg string) error {
	key, err := scitt.GenerateKey(alg)
	if err != nil {
		return cli.Usage(err)
	}
	issuer, err := did.NewJWK(key.Public())
	if err != nil {
		return err
	}
	kid, err := scitt.Thumbprint(key.Public())
	if err != nil {
		return err
	}
	pem, err := scitt.MarshalPrivateKey(key)
	if err != nil {
		return err
	}
	if err := createFile(out, pem); err != nil {
		return err
	}
	a.Notice("wrote %s: private key for %s, to be kept secret", out, alg)
	return a.Print(newKey{issuer, alg, hex.EncodeToString(kid), out}, func(p *cli.Page) { p.Raw(issuer + "\n") })
}

// createFile makes a private file that is not there yet, or none when it cannot be
// written. A crash within leaves a file with a part of the key, which no command
// accepts and which has to be removed before the next try.
func createFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and a secret is never replaced; choose another name", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// privateKey reads the private key in the file that a flag names, and warns when
// others may read it too.
func (a *app) privateKey(flag, path string) (crypto.Signer, error) {
	pem, err := cli.ReadFileFlag(flag, path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && plain.Shared(info) {
		a.Notice("warning: --%s: others may read the private key in %s (mode %04o); chmod 600 it", flag, path, info.Mode().Perm())
	}
	key, err := scitt.ParsePrivateKey(pem)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("--%s %s: %w", flag, path, err))
	}
	return key, nil
}
