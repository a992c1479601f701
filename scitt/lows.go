package scitt

import (
	"bytes"
	"math/big"

	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// LowS reports whether the signature is in the form that this project makes:
// for ECDSA, s <= n/2, where n is the order of the curve. Of a valid (r, s)
// anybody can make the valid (r, n-s). Strangers cannot do that with other
// algorithms, so their signatures are all low.
func (s *Statement) LowS() bool {
	return bytes.Equal(lowS(s.Algorithm, s.signature), s.signature)
}

// lowS returns a signature with low s. A KMS, an HSM and Go's own signer
// return either form.
//
// RFC 9053 section 2.1: "The signature is encoded by converting the integers
// into byte strings of the same length as the key size"; r comes first.
func lowS(alg cose.Algorithm, signature []byte) []byte {
	a, _ := pubkey.Find(alg)
	curve, ecdsa := a.Curve()
	if !ecdsa {
		return signature
	}
	n := curve.Params().N
	r, s := signature[:len(signature)/2], new(big.Int).SetBytes(signature[len(signature)/2:])
	other := new(big.Int).Sub(n, s)
	if s.Cmp(other) <= 0 || other.Sign() <= 0 { // low, or not valid in either form
		return signature
	}
	return append(bytes.Clone(r), other.FillBytes(make([]byte, len(r)))...)
}
