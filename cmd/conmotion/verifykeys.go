package main

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// verifier reads the keys of the issuer.
func (v *verification) verifier() (*scitt.Verifier, error) {
	out := &scitt.Verifier{}
	switch mode := scitt.LeafMode(v.leaf); mode {
	case "":
	case scitt.LeafEntry, scitt.LeafDigest:
		out.Leaf = []scitt.LeafMode{mode}
	default:
		return nil, usage(fmt.Errorf("--leaf is entry or digest, not %q", v.leaf))
	}
	if v.issuerKey != "" {
		data, err := readFileFlag("issuer-key", v.issuerKey)
		if err != nil {
			return nil, err
		}
		if out.IssuerKey, err = scitt.ParsePublicKey(data); err != nil {
			return nil, usage(fmt.Errorf("--issuer-key %s: %w", v.issuerKey, err))
		}
	}
	if v.rootCAs != "" {
		data, err := readFileFlag("roots", v.rootCAs)
		if err != nil {
			return nil, err
		}
		v.roots = x509.NewCertPool()
		if !v.roots.AppendCertsFromPEM(data) {
			return nil, usage(fmt.Errorf("--roots %s: no certificate in the PEM file", v.rootCAs))
		}
		out.Roots = v.roots
	}
	return out, nil
}

// logKeys finds whose receipts count.
func (v *verification) logKeys(ctx context.Context) (k witness.Keys, err error) {
	switch {
	case v.keys != "":
		return readKeys(v.keys)
	case v.static != "":
		if v.files, err = v.examine(ctx, v.static, v.memoryFlags); err != nil {
			return k, err
		}
		k.Named, err = v.files.ReceiptKeys(ctx)
		return k, err
	case v.log != "":
		c, err := v.connect(v.log, 1)
		if err != nil {
			return k, usage(fmt.Errorf("--log: %w", err))
		}
		k.Named, err = c.Keys(ctx)
		return k, usage(err)
	}
	return k, nil
}
