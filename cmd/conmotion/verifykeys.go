package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// verifier reads the keys of the issuer.
func (v *verification) verifier() (*scitt.Verifier, error) {
	out := &scitt.Verifier{At: time.Now()}
	if v.at != "" {
		var err error
		if out.At, err = time.Parse(time.RFC3339, v.at); err != nil || out.At.IsZero() {
			return nil, cli.Usage(fmt.Errorf("--at %q is not a time such as 2026-07-01T12:00:00Z", v.at))
		}
	}
	switch mode := scitt.LeafMode(v.leaf); mode {
	case "":
	case scitt.LeafEntry, scitt.LeafDigest:
		out.Leaf = []scitt.LeafMode{mode}
	default:
		return nil, cli.Usage(fmt.Errorf("--leaf is entry or digest, not %q", v.leaf))
	}
	if v.issuerKey != "" {
		var err error
		if out.IssuerKey, err = readIssuerKey(v.issuerKey); err != nil {
			return nil, err
		}
	}
	var err error
	v.anchors, err = v.readAnchors()
	out.Anchors = v.anchors
	return out, err
}

// readAnchors reads --roots, and certificates in --issuer-key, which x5t may
// name.
func (f *verifyFlags) readAnchors() (*scitt.Anchors, error) {
	var roots []*x509.Certificate
	if f.rootCAs != "" {
		data, err := cli.ReadFileFlag("roots", f.rootCAs)
		if err != nil {
			return nil, err
		}
		if roots, err = scitt.ParseCertificates(data); err != nil {
			return nil, cli.Usage(fmt.Errorf("--roots %s: %w", f.rootCAs, err))
		}
	}
	known := map[[sha256.Size]byte][][]byte{}
	if data, err := os.ReadFile(f.issuerKey); err == nil {
		if certs, err := scitt.ParseCertificates(data); err == nil {
			if f.rootCAs != "" {
				return nil, cli.Usage(fmt.Errorf("--issuer-key %s is a certificate, whose key would be taken without asking --roots; give the public key in it, or --roots alone for a statement with x5chain", f.issuerKey))
			}
			known[sha256.Sum256(certs[0].Raw)] = [][]byte{certs[0].Raw}
		}
	}
	return scitt.SelfCertifying(roots, known), nil
}

// logKeys finds whose receipts count.
func (v *verification) logKeys(ctx context.Context) (k witness.Keys, err error) {
	switch {
	case v.keys != "":
		return readKeys(v.keys)
	case v.static != "":
		if v.files, err = v.examine(ctx, v.static, v.MemoryFlags); err != nil {
			return k, err
		}
		k.Named, err = v.files.ReceiptKeys(ctx)
		return k, err
	case v.log != "":
		v.files, k, err = v.serviceKeys(ctx, v.log)
		return k, err
	}
	return k, nil
}

// serviceKeys opens the log of a service to check it, which may be damaged.
func (v *verification) serviceKeys(ctx context.Context, url string) (*party.Log, witness.Keys, error) {
	o, err := v.LogOptions(v.MemoryFlags)
	if err != nil {
		return nil, witness.Keys{}, err
	}
	o.Examine = true
	if v.quorum > 0 {
		o.Client.Retries = 1 // others may do without it
	}
	return v.openService(ctx, url, o)
}

// readIssuerKey reads the file of --issuer-key.
func readIssuerKey(path string) (*scitt.Key, error) {
	data, err := cli.ReadFileFlag("issuer-key", path)
	if err != nil {
		return nil, err
	}
	key, err := scitt.ParsePublicKey(data)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("--issuer-key %s: %w", path, err))
	}
	return &key, nil
}
