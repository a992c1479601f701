package keys

import (
	"crypto"
	"encoding/hex"
	"errors"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// Description is what a public key is called.
type Description struct {
	Algorithm string `json:"algorithm"`         // that statements are signed with by default
	KID       string `json:"kid"`               // COSE Key Thumbprint (RFC 9679), in hexadecimal
	DIDJWK    string `json:"did_jwk,omitempty"` // not of ML-DSA-44, which signs no statements
	DIDKey    string `json:"did_key,omitempty"` // nor of RSA keys
}

// Describe says what a public key is called. Errors wrap scitt.ErrAlgorithm for a key that
// signs neither statements nor Receipts.
func Describe(public crypto.PublicKey) (d Description, err error) {
	alg, err := scitt.AlgorithmFor(public)
	if err != nil {
		return d, err
	}
	kid, err := scitt.Thumbprint(public)
	if err != nil {
		return d, err
	}
	d.Algorithm, d.KID = scitt.AlgorithmName(alg), hex.EncodeToString(kid)
	for _, form := range []struct {
		to   *string
		name func(crypto.PublicKey) (string, error)
	}{{&d.DIDJWK, did.NewJWK}, {&d.DIDKey, did.NewKey}} {
		if *form.to, err = form.name(public); err != nil && !errors.Is(err, scitt.ErrAlgorithm) {
			return d, err
		}
	}
	return d, nil
}
