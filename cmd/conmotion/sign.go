package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/scitt"
)

// signFlags are the flags of sign.
type signFlags struct {
	scitt.SignOptions
	key, chain, iat, out string
	store                cli.StoreFlags
	link                 chainFlags
}

func (a *app) sign() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use: "sign --key FILE --sub SUBJECT --out FILE PAYLOAD", Short: "Sign a statement about a file",
		Long: `Sign a file as a Signed Statement (RFC 9943). The file goes into the statement,
which a log stores for everybody to read; with --hash only its SHA-256 does
(RFC 9995), which is right for content that is large or private. With --store it
is first stored in an artifact storage, and its URL there is signed with it.

The issuer is the did:jwk of the key unless --iss names another. With --x5chain
the statement carries a certificate chain, the signer's certificate first, in
place of the key identifier. Its certificates are judged at the time that the
statement was signed, so --iat cannot be "none" then.

A chain makes a gap in an issuer's statements visible: each one names the one
before it by its hash. --chain begins a chain, --after continues the one that
another statement is part of. A log's policy can require it.

PAYLOAD is a file, or "-" for standard input.`,
		Example: `  conmotion sign --key issuer.pem --sub my-asset --content-type text/plain --out s.cose notes.txt

  # only the hash of a large file
  conmotion sign --key issuer.pem --sub image --hash --location https://example.com/image.iso --out s.cose image.iso

  # and store the file where the statement says that it is
  conmotion sign --key issuer.pem --sub image --hash --store https://transparency.example --out s.cose image.iso

  # the first two of a chain
  conmotion sign --key issuer.pem --sub inventory --chain inventory --out 0.cose monday.json
  conmotion sign --key issuer.pem --sub inventory --after 0.cose --out 1.cose tuesday.json

  # with a certificate chain
  conmotion sign --key signer.pem --x5chain chain.pem --iss https://vendor.example --sub image --out s.cose image.iso`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runSign(cmd.Context(), f, args[0]) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.key, "key", "", cli.KeyHelp)
	fl.StringVar(&f.Algorithm, "alg", "", "algorithm, one that the key is for, such as PS384 or ESP256 (default: ES256, ES384, ES512, EdDSA or PS256)")
	fl.StringVar(&f.Subject, "sub", "", "subject: what the statement is about")
	fl.StringVar(&f.Issuer, "iss", "", "issuer (default: the did:jwk of the key)")
	fl.StringVar(&f.ContentType, "content-type", "", "media type of the payload")
	fl.StringVar(&f.Type, "type", "", "media type of the statement itself (typ, RFC 9596)")
	fl.BoolVar(&f.Hash, "hash", false, "sign the SHA-256 of the payload in place of the payload")
	fl.StringVar(&f.Location, "location", "", "URL where the payload can be found; with --hash (default: where --store stores it)")
	f.store.Add(cmd, "store", "URL of a service that is to store the payload; with --hash")
	fl.StringVar(&f.chain, "x5chain", "", "PEM file with the signer's certificate and those above it")
	fl.StringVar(&f.link.name, "chain", "", "name of the chain that the statement begins")
	fl.StringVar(&f.link.after, "after", "", "file with the issuer's statement before this one in its chain")
	fl.StringVar(&f.iat, "iat", "now", "time of signing: "+timeHelp+`; or "none"`)
	fl.StringVar(&f.out, "out", "", `file for the statement, or "-"`)
	cli.Require(cmd, "key", "sub", "out")
	return cmd
}

func (a *app) runSign(ctx context.Context, f signFlags, path string) error {
	switch {
	case f.store.URL != "" && !f.Hash:
		return cli.Usage(errors.New("--store needs --hash: without it the payload is in the statement"))
	case f.store.TokenFile != "" && f.store.URL == "":
		return cli.Usage(errors.New("--token-file is for --store"))
	}
	key, err := a.privateKey(ctx, "key", f.key)
	if err != nil {
		return err
	}
	if f.iat != "none" {
		if f.IssuedAt, err = parseTime("iat", f.iat, time.Now()); err != nil {
			return err
		}
	}
	if f.chain != "" {
		if f.iat == "none" {
			return cli.Usage(fmt.Errorf("--x5chain needs a time of signing, at which the certificates are judged"))
		}
		pem, err := cli.ReadFileFlag(ctx, "x5chain", f.chain)
		if err != nil {
			return err
		}
		certs, err := scitt.ParseCertificates(pem)
		if err != nil {
			return cli.Usage(fmt.Errorf("--x5chain %s: %w", f.chain, err))
		}
		for _, c := range certs {
			f.X5Chain = append(f.X5Chain, c.Raw)
		}
	}
	if f.Chain, err = a.link(ctx, f.link, f.Issuer, key.Public()); err != nil {
		return err
	}
	var payload []byte
	var stored string
	if f.store.URL != "" {
		payload, stored, err = a.storePayload(ctx, &f, path)
	} else {
		payload, err = a.ReadInput(ctx, path)
	}
	if err != nil {
		return err
	}
	data, err := scitt.SignStatement(key, f.SignOptions, payload)
	if err != nil {
		return cli.Usage(fmt.Errorf("sign: %w", err))
	}
	if err := a.WriteOutput(ctx, f.out, data); err != nil {
		return err
	}
	st, err := scitt.ParseStatement(data)
	if err != nil {
		return err
	}
	if f.out == "-" {
		a.Notice("entry id %s", st.ID())
		return nil
	}
	info := signed{File: f.out, EntryID: st.ID().String(), Issuer: st.Issuer, Subject: st.Subject, Algorithm: scitt.AlgorithmName(st.Algorithm), Envelope: st.Envelope != nil}
	if stored != "" {
		info.Artifact, info.Location = stored, f.Location
	}
	return a.Print(info, cli.Rows([][]string{
		{"wrote", f.out}, {"entry id", info.EntryID}, {"issuer", st.Issuer}, {"subject", st.Subject}, {"payload", info.Artifact}, {"location", info.Location},
	}))
}

// signed is a statement that was signed.
type signed struct {
	File      string `json:"file"`
	EntryID   string `json:"entry_id"`
	Issuer    string `json:"issuer"`
	Subject   string `json:"subject"`
	Algorithm string `json:"algorithm"`
	Envelope  bool   `json:"hash_envelope"`
	Artifact  string `json:"artifact,omitempty"` // where the payload was stored, and its URL
	Location  string `json:"location,omitempty"`
}
