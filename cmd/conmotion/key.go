package main

import (
	"context"
	"crypto"
	"encoding/base64"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/keys/helper"
	"github.com/conmotion/conmotion/scitt"
)

func (a *app) key() *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "Show and convert keys",
		Long: `Show and convert keys. KEY is a file, with a private or a public key, or the URI of
a private key in a KMS or an HSM:

  issuer.pem                                   PEM, a JSON Web Key or a COSE_Key
  file:issuer.pem?passphrase-file=FILE         encrypted PEM
  awskms:///arn:aws:kms:REGION:ACCOUNT:key/ID  AWS KMS
  gcpkms://projects/.../cryptoKeyVersions/N    Google Cloud KMS
  pkcs11:token=NAME;object=LABEL?module-path=LIBRARY&pin-source=file:FILE

The passphrase of an encrypted key is in the file that is named, in CONMOTION_PASSPHRASE,
or asked for. Keys in a KMS or an HSM are opened by the program conmotion-signer.`,
		Example: `  conmotion key inspect issuer.pem
  conmotion key convert issuer.pem --encrypt --out encrypted.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keyInspect(), a.keyPublic(), a.keyVKey(), a.keyConvert(), a.keyHandover())
	return cmd
}

// privateKey opens the private key that a flag names.
func (a *app) privateKey(ctx context.Context, flag, uri string) (crypto.Signer, error) {
	return a.OpenKey(ctx, flag, uri, helper.Openers())
}

// anyKey is a key of which only the public half may be known.
type anyKey struct {
	public    crypto.PublicKey
	private   crypto.Signer // nil for a public key
	encrypted bool
}

func (a *app) anyKey(ctx context.Context, flag, uri string) (k anyKey, err error) {
	if path, _, err := keys.File(uri); err == nil && keys.Scheme(uri) == "file" {
		data, err := cli.ReadFileFlag(ctx, flag, path)
		if err != nil {
			return k, err
		}
		if public, err := scitt.ParsePublicKey(data); err == nil {
			k.public = public.Public
			return k, nil
		}
		k.encrypted = keys.Encrypted(data)
	}
	if k.private, err = a.privateKey(ctx, flag, uri); err == nil {
		k.public = k.private.Public()
	}
	return k, err
}

// keyCommand is a command about one key.
func keyCommand(cmd *cobra.Command, run func(ctx context.Context, uri string) error) *cobra.Command {
	cmd.Use, cmd.Args = cmd.Use+" KEY", cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args[0]) }
	return cmd
}

// keyInfo is what a key is, without its secret.
type keyInfo struct {
	keys.Description
	Private   bool `json:"private"`
	Encrypted bool `json:"encrypted"`
}

func (a *app) keyInspect() *cobra.Command {
	return keyCommand(&cobra.Command{
		Use: "inspect", Short: "Show what a key is, and never its secret",
		Example: `  conmotion key inspect issuer.pem
  conmotion key inspect awskms:///arn:aws:kms:eu-central-1:111122223333:key/0a1b...`,
	}, func(ctx context.Context, uri string) error {
		k, err := a.anyKey(ctx, "key", uri)
		if err != nil {
			return err
		}
		info := keyInfo{Private: k.private != nil, Encrypted: k.encrypted}
		if info.Description, err = keys.Describe(k.public); err != nil {
			return cli.Usage(err)
		}
		kind := map[bool]string{true: "private", false: "public"}[info.Private]
		if info.Encrypted {
			kind += ", encrypted"
		}
		return a.Print(info, cli.Rows([][]string{{"key", kind}, {"algorithm", info.Algorithm}, {"kid", info.KID}, {"did:jwk", info.DIDJWK}, {"did:key", info.DIDKey}}))
	})
}

// publicKey is a public key in one form.
type publicKey struct {
	Form keys.Form `json:"form"`
	Key  string    `json:"key"` // base64 of a COSE_Key, and the text of the others
}

func (a *app) keyPublic() *cobra.Command {
	var form string
	cmd := keyCommand(&cobra.Command{
		Use: "public", Short: "Print the public half of a key",
		Example: `  conmotion key public issuer.pem >issuer.pub
  conmotion key public --form jwk issuer.pem`,
	}, func(ctx context.Context, uri string) error {
		k, err := a.anyKey(ctx, "key", uri)
		if err != nil {
			return err
		}
		data, err := keys.MarshalPublic(k.public, keys.Form(form))
		if err != nil {
			return cli.Usage(err)
		}
		out := publicKey{keys.Form(form), string(data)}
		if out.Form == keys.COSE {
			out.Key = base64.StdEncoding.EncodeToString(data)
		}
		return a.PrintData(out, data)
	})
	cmd.Flags().StringVar(&form, "form", string(keys.PEM), "pem, jwk or cose")
	return cmd
}

// vkey is a verifier key (C2SP signed-note).
type vkey struct {
	VKey string `json:"vkey"`
}

func (a *app) keyVKey() *cobra.Command {
	var name string
	var cosigner bool
	cmd := keyCommand(&cobra.Command{
		Use: "vkey", Short: "Print the verifier key of a log's or a witness's key",
		Long: `Print the verifier key (C2SP signed-note): of an Ed25519 key that of a log's
checkpoints, of an ECDSA key that of its Receipts, and with --cosigner that of a
witness (Ed25519 or ML-DSA-44), which a log's own checkpoints have in this form too.`,
		Example: `  conmotion key vkey --origin transparency.example checkpoint-key.pem
  conmotion key vkey --origin witness.example/w1 --cosigner awskms:///arn:aws:kms:eu-central-1:111122223333:key/0a1b...`,
	}, func(ctx context.Context, uri string) error {
		k, err := a.anyKey(ctx, "key", uri)
		if err != nil {
			return err
		}
		var out vkey
		if cosigner {
			out.VKey, err = scitt.CosignerVKey(name, k.public)
		} else {
			out.VKey, err = scitt.LogVKey(name, k.public)
		}
		if err != nil {
			return cli.Usage(err)
		}
		return a.Print(out, func(p *cli.Page) { p.Raw(out.VKey + "\n") })
	})
	cmd.Flags().StringVar(&name, "origin", "", "name of the log or the witness")
	cmd.Flags().BoolVar(&cosigner, "cosigner", false, "the key is that of a witness")
	cli.Require(cmd, "origin")
	return cmd
}

// converted is a key that was written in another form.
type converted struct {
	File      string    `json:"file"`
	Form      keys.Form `json:"form"`
	Private   bool      `json:"private"`
	Encrypted bool      `json:"encrypted"`
}

func (a *app) keyConvert() *cobra.Command {
	var form string
	var out newKeyFile
	cmd := keyCommand(&cobra.Command{
		Use: "convert", Short: "Write a key in another form, encrypted or not",
		Long: `Write a key in another form: PEM, JSON Web Key or COSE_Key; private PEM also
encrypted, which is asked for: without --encrypt a private key is written as it is. An
existing file is never replaced.`,
		Example: `  conmotion key convert issuer.pem --form jwk --out issuer.jwk
  conmotion key convert issuer.pem --encrypt --out encrypted.pem
  conmotion key convert encrypted.pem --out plain.pem`,
	}, func(ctx context.Context, uri string) error {
		k, err := a.anyKey(ctx, "key", uri)
		if err != nil {
			return err
		}
		var data []byte
		if k.private == nil {
			data, err = keys.MarshalPublic(k.public, keys.Form(form))
		} else if data, err = out.marshal(ctx, a, k.private, keys.Form(form)); err != nil {
			err = fmt.Errorf("the key cannot be written as %s: %w", form, err)
		}
		if err != nil {
			return cli.Usage(err)
		}
		if err := keys.Create(out.path, data); err != nil {
			return err
		}
		result := converted{out.path, keys.Form(form), k.private != nil, keys.Encrypted(data)}
		return a.Print(result, cli.Rows([][]string{{"wrote", out.path}}))
	})
	out.add(cmd)
	cmd.Flags().StringVar(&form, "form", string(keys.PEM), "pem, jwk or cose")
	return cmd
}
