package main

import (
	"cmp"
	"context"
	"crypto"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/scitt"
)

func (a *app) keygen() *cobra.Command {
	var out newKeyFile
	var alg string
	cmd := &cobra.Command{
		Use: "keygen --out FILE", Short: "Make an issuer's signing key",
		Long: `Make a signing key and print the issuer that it stands for: a did:jwk, an
identifier that carries its own public key, so that anybody can verify what it
signs. The file holds the private key (PKCS#8 PEM, mode 0600); an existing file
is never replaced. --encrypt encrypts it; whoever signs with it gives the passphrase in
CONMOTION_PASSPHRASE, in a file (--key file:issuer.pem?passphrase-file=FILE), or types it.

A key of ML-DSA-44 is for a log (conmotiond key rotate pq-receipt --to FILE) and stands
for no issuer; its thumbprint is printed.`,
		Example: `  conmotion keygen --out issuer.pem
  conmotion keygen --out issuer.pem --alg EdDSA
  conmotion keygen --out issuer.pem --encrypt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runKeygen(cmd.Context(), out, alg) },
	}
	out.add(cmd)
	cmd.Flags().StringVar(&alg, "alg", "ES256", "signing algorithm: ES256, ES384, ES512, EdDSA or ML-DSA-44")
	return cmd
}

// newKey is a key that was made.
type newKey struct {
	Issuer    string `json:"issuer,omitempty"` // not of ML-DSA-44
	Algorithm string `json:"algorithm"`
	KID       string `json:"kid"`
	File      string `json:"file"`
}

func (a *app) runKeygen(ctx context.Context, out newKeyFile, alg string) error {
	key, err := scitt.GenerateKey(alg)
	if err != nil {
		return cli.Usage(err)
	}
	d, err := keys.Describe(key.Public())
	if err != nil {
		return err
	}
	pem, err := out.marshal(ctx, a, key, keys.PEM)
	if err != nil {
		return cli.Usage(err)
	}
	if err := keys.Create(out.path, pem); err != nil {
		return err
	}
	a.Notice("wrote %s: private key for %s, to be kept secret", out.path, alg)
	return a.Print(newKey{d.DIDJWK, alg, d.KID, out.path}, func(p *cli.Page) {
		p.Raw(cmp.Or(d.DIDJWK, d.KID) + "\n")
	})
}

// newKeyFile is where a private key is written, and whether it is encrypted.
type newKeyFile struct {
	path, passphrase string
	encrypt          bool
}

func (f *newKeyFile) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "out", "", "file for the key")
	cmd.Flags().BoolVar(&f.encrypt, "encrypt", false, "encrypt it with a passphrase: that in CONMOTION_PASSPHRASE, else one that you type")
	cmd.Flags().StringVar(&f.passphrase, "passphrase-file", "", "encrypt it with the passphrase in the first line of this file")
	cli.Require(cmd, "out")
}

func (f *newKeyFile) marshal(ctx context.Context, a *app, key crypto.Signer, form keys.Form) (data []byte, err error) {
	var passphrase []byte
	if f.encrypt || f.passphrase != "" {
		if passphrase, err = a.NewPassphrase(ctx, f.passphrase, f.path); err != nil {
			return nil, err
		}
	}
	return keys.Marshal(key, form, passphrase)
}
