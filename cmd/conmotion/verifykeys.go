package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/witness"
)

// chooseLogs tells a rule over several logs from the one log that there is without.
func (f *verifyFlags) chooseLogs(quorum bool) error {
	n := len(f.logs) + len(f.statics) + len(f.keyFiles)
	for _, url := range f.logs {
		if !party.IsURL(url) {
			return fmt.Errorf("--log: %q is not the URL of a service, such as https://transparency.example", url)
		}
	}
	switch {
	case quorum && (f.quorum < 1 || n == 0):
		return errors.New("--quorum is at least 1, and needs logs: --log, --static or --keys")
	case quorum:
		return nil
	case n > 1:
		return errors.New("several logs need --quorum: how many of them have to vouch")
	}
	for list, one := range map[*[]string]*string{&f.logs: &f.log, &f.statics: &f.static, &f.keyFiles: &f.keys} {
		if len(*list) > 0 {
			*one = (*list)[0]
		}
	}
	return nil
}

// verifier reads what the flags name.
func (a *app) verifier(ctx context.Context, f verifyFlags) (*verify.Verifier, error) {
	v := &verify.Verifier{
		Roots: f.rootCAs != "", Threshold: f.quorum, PostQuantum: f.requirePQ, Search: len(f.statics) > 0,
	}
	var err error
	if v.Statements, err = f.statements(ctx); err != nil {
		return nil, err
	}
	if v.Options, err = a.LogOptions(ctx, f.MemoryFlags); err != nil {
		return nil, err
	}
	if v.Content.Artifacts, err = a.Artifacts(ctx, f.artifactStore, 1); err != nil {
		return nil, err
	}
	if err := a.addLogs(ctx, v, f); err != nil {
		return nil, err
	}
	switch {
	case f.disclosed != "":
		v.Content.File = f.disclosed
		v.Content.Disclosed, err = readDisclosed(ctx, f.disclosed)
	case f.fetch:
		v.Content.Fetch = &reader.Options{Client: a.ClientOptions(1), Limits: f.artifactStore.Limits}
	case f.payload != "":
		v.Content.File = f.payload
		v.Content.Data, err = cli.ReadFileFlag(ctx, "payload", f.payload)
	}
	return v, err
}

// statements reads the keys of the issuer, and how statements are judged.
func (f *verifyFlags) statements(ctx context.Context) (v scitt.Verifier, err error) {
	v.At = time.Now()
	if f.at != "" {
		if v.At, err = parseTime("at", f.at, v.At); err != nil {
			return v, err
		}
	}
	switch mode := scitt.LeafMode(f.leaf); mode {
	case "":
	case scitt.LeafEntry, scitt.LeafDigest:
		v.Leaf = []scitt.LeafMode{mode}
	default:
		return v, cli.Usage(fmt.Errorf("--leaf is entry or digest, not %q", f.leaf))
	}
	if f.issuerKey != "" {
		if v.IssuerKey, err = readIssuerKey(ctx, f.issuerKey); err != nil {
			return v, err
		}
	}
	v.Anchors, err = f.readAnchors(ctx)
	return v, err
}

// readAnchors reads --roots, and certificates in --issuer-key, which x5t may
// name.
func (f *verifyFlags) readAnchors(ctx context.Context) (*scitt.Anchors, error) {
	var roots []*x509.Certificate
	if f.rootCAs != "" {
		data, err := cli.ReadFileFlag(ctx, "roots", f.rootCAs)
		if err != nil {
			return nil, err
		}
		if roots, err = scitt.ParseCertificates(data); err != nil {
			return nil, cli.Usage(fmt.Errorf("--roots %s: %w", f.rootCAs, err))
		}
	}
	known := map[[sha256.Size]byte][][]byte{}
	if data, err := cli.ReadFile(ctx, f.issuerKey); err == nil {
		if certs, err := scitt.ParseCertificates(data); err == nil {
			if f.rootCAs != "" {
				return nil, cli.Usage(fmt.Errorf("--issuer-key %s is a certificate, whose key would be taken without asking --roots; give the public key in it, or --roots alone for a statement with x5chain", f.issuerKey))
			}
			known[sha256.Sum256(certs[0].Raw)] = [][]byte{certs[0].Raw}
		}
	}
	return scitt.SelfCertifying(roots, known), nil
}

// addLogs opens the logs whose Receipts count.
func (a *app) addLogs(ctx context.Context, v *verify.Verifier, f verifyFlags) error {
	o := v.Options
	o.Examine = true
	for _, path := range f.keyFiles {
		keys, err := readKeys(ctx, path)
		if err != nil {
			return err
		}
		if err := v.Add(verify.Log{Name: path, Keys: keys, Saved: true}, nil); err != nil {
			return err
		}
	}
	for _, location := range f.statics {
		l := verify.Log{Name: location}
		var err error
		if l.Files, err = party.Open(ctx, location, o); err == nil {
			l.Keys.Named, err = l.Files.ReceiptKeys(ctx)
		}
		if err := v.Add(l, err); err != nil {
			return err
		}
	}
	if f.quorum > 0 {
		o.Client.Retries = 1 // others may do without it
	}
	for _, url := range f.logs {
		l := verify.Log{Name: url}
		var err error
		l.Files, l.Keys.Named, err = party.OpenService(ctx, url, o)
		if err := v.Add(l, err); err != nil {
			return err
		}
	}
	return nil
}

// readIssuerKey reads the file of --issuer-key.
func readIssuerKey(ctx context.Context, path string) (*scitt.Key, error) {
	data, err := cli.ReadFileFlag(ctx, "issuer-key", path)
	if err != nil {
		return nil, err
	}
	key, err := scitt.ParsePublicKey(data)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("--issuer-key %s: %w", path, err))
	}
	return &key, nil
}

// readKeys reads a COSE Key Set, a COSE_Key, or a public key as PEM, JWK or did:jwk.
func readKeys(ctx context.Context, path string) (witness.Keys, error) {
	data, err := cli.ReadFileFlag(ctx, "keys", path)
	if err != nil {
		return witness.Keys{}, err
	}
	keys, err := witness.ParseKeys(data)
	if err != nil {
		err = cli.Usage(fmt.Errorf("--keys %s: %w", path, err))
	}
	return keys, err
}
