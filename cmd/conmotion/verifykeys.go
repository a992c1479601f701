package main

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
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

// trust finds whose receipts count.
func (v *verification) trust(ctx context.Context) (t trust, err error) {
	switch {
	case v.keys != "":
		return readKeys(v.keys)
	case v.static != "":
		if v.files, err = v.openStatic(ctx, v.static, v.vkeys); err != nil {
			return t, err
		}
		return v.files.trust(ctx)
	case v.log != "":
		c, err := v.connect(v.log, 1)
		if err != nil {
			return t, usage(fmt.Errorf("--log: %w", err))
		}
		t.keys, err = c.Keys(ctx)
		return t, usage(err)
	}
	return t, nil
}
