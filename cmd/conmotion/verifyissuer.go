package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// didKey is the key of an issuer that is a did:key, nil for every other one.
// A kid must be the key's RFC 9679 thumbprint, as services hold it.
func didKey(st *scitt.Statement) (crypto.PublicKey, error) {
	if did.Method(st.Issuer) != did.MethodKey {
		return nil, nil
	}
	public, err := did.Key(st.Issuer)
	if err != nil {
		return nil, err
	}
	key, err := scitt.NewKey(public)
	if err != nil {
		return nil, err
	}
	if st.KeyID != nil && !bytes.Equal(st.KeyID, key.ID) {
		return nil, fmt.Errorf("%w: the kid is not the COSE Key Thumbprint (RFC 9679) of the did:key's key", scitt.ErrUnknownKey)
	}
	return public, nil
}

// issuer says whether the certificates that vouch for the key speak for the
// issuer that the statement names: below one root anybody can write any name
// into a statement.
func (v *verification) issuer(out *scitt.Verification) {
	if out.KeySource != "x5chain" || out.SignatureErr != nil {
		return
	}
	st := out.Statement
	path, err := certificatePath(st)
	if err != nil {
		v.found("issuer", resultBad, "%v", err)
		return
	}
	if did.Method(st.Issuer) == did.MethodX509 {
		pin, err := did.ParseX509(st.Issuer)
		if err == nil {
			err = pin.Match(path)
		}
		if err != nil {
			v.found("issuer", resultBad, "%v", err)
			return
		}
		v.found("issuer", resultOK, "the certificates are those that the did:x509 describes")
		return
	}
	if did.IssuedTo(path[0], st.Issuer) {
		v.found("issuer", resultOK, "the certificate was issued to %s", st.Issuer)
		return
	}
	v.found("issuer", resultNotChecked, "whether %q may speak for %s: no Subject Alternative Name says so", path[0].Subject, st.Issuer)
}

// certificatePath is x5chain when each certificate in it was valid at iat and
// signed by the next one. That the path leads to a root is known already.
func certificatePath(st *scitt.Statement) ([]*x509.Certificate, error) {
	path := make([]*x509.Certificate, len(st.X5Chain))
	for i, der := range st.X5Chain {
		var err error
		if path[i], err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("x5chain: %w", err)
		}
		if at := st.IssuedTime(); at.Before(path[i].NotBefore) || at.After(path[i].NotAfter) {
			return nil, fmt.Errorf("x5chain: the certificate of %q was not valid at iat", path[i].Subject)
		}
		if i > 0 {
			if err := path[i-1].CheckSignatureFrom(path[i]); err != nil {
				return nil, fmt.Errorf("x5chain: %q is not signed by the next certificate: %w", path[i-1].Subject, err)
			}
		}
	}
	return path, nil
}
