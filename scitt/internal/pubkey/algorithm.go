package pubkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"

	"filippo.io/mldsa"
	"github.com/veraison/go-cose"
)

// MLDSA44 is ML-DSA-44 (RFC 9964). Logs sign Receipts with it, and issuers sign no
// statements: what a log's policy admits must not depend on the version that judges.
const MLDSA44 cose.Algorithm = -48

// Algorithm is a signing algorithm with the kind of key that it is for.
//
// RFC 9864 section 1: "fully-specified algorithm identifiers" name the curve
// as well. The older ones mean one curve each here, so that ES256 and ESP256
// are one algorithm under two numbers.
type Algorithm struct {
	ID   cose.Algorithm
	Name string         // in COSE; those of JOSE are the same
	Base cose.Algorithm // the number under which go-cose knows it
	Size int            // of a signature in bytes; 0 when it follows the key
	kind string
}

// algorithms are in the order of their kinds of keys, the one that a key of
// the kind signs with first.
var algorithms = []Algorithm{
	{cose.AlgorithmES256, "ES256", cose.AlgorithmES256, 64, "P-256"},
	{-9, "ESP256", cose.AlgorithmES256, 64, "P-256"},
	{cose.AlgorithmES384, "ES384", cose.AlgorithmES384, 96, "P-384"},
	{-51, "ESP384", cose.AlgorithmES384, 96, "P-384"},
	{cose.AlgorithmES512, "ES512", cose.AlgorithmES512, 132, "P-521"},
	{-52, "ESP512", cose.AlgorithmES512, 132, "P-521"},
	{cose.AlgorithmEdDSA, "EdDSA", cose.AlgorithmEdDSA, ed25519.SignatureSize, "Ed25519"},
	{-19, "Ed25519", cose.AlgorithmEdDSA, ed25519.SignatureSize, "Ed25519"},
	{cose.AlgorithmPS256, "PS256", cose.AlgorithmPS256, 0, "RSA"},
	{cose.AlgorithmPS384, "PS384", cose.AlgorithmPS384, 0, "RSA"},
	{cose.AlgorithmPS512, "PS512", cose.AlgorithmPS512, 0, "RSA"},
	{MLDSA44, "ML-DSA-44", MLDSA44, mldsa.MLDSA44SignatureSize, "ML-DSA-44"},
}

// Curve returns the curve of an ECDSA algorithm; ok is false for the others.
func (a Algorithm) Curve() (c Curve, ok bool) {
	return FindCurve(func(c Curve) bool { return c.Name() == a.kind })
}

// Algorithms returns every algorithm that statements are signed with.
func Algorithms() []Algorithm {
	return slices.DeleteFunc(slices.Clone(algorithms), func(a Algorithm) bool { return a.ID == MLDSA44 })
}

// Find returns the algorithm with that number.
func Find(id cose.Algorithm) (Algorithm, bool) {
	if i := slices.IndexFunc(algorithms, func(a Algorithm) bool { return a.ID == id }); i >= 0 {
		return algorithms[i], true
	}
	return Algorithm{}, false
}

// For returns the algorithms that a key may be used with, the usual one first.
// It bounds the size of the key, and does no arithmetic. Errors wrap
// ErrAlgorithm.
func For(key crypto.PublicKey) ([]Algorithm, error) {
	kind := ""
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		kind = k.Curve.Params().Name
	case ed25519.PublicKey:
		kind = "Ed25519"
	case *rsa.PublicKey:
		if err := boundRSA(k.N.BitLen(), k.E); err != nil {
			return nil, err
		}
		kind = "RSA"
	case *mldsa.PublicKey:
		if kind = k.Parameters().String(); k.Parameters() != mldsa.MLDSA44() {
			return nil, fmt.Errorf("%w: a key for %s", ErrAlgorithm, kind)
		}
	default:
		return nil, fmt.Errorf("%w: a key of type %T", ErrAlgorithm, key)
	}
	first := slices.IndexFunc(algorithms, func(a Algorithm) bool { return a.kind == kind })
	if first < 0 {
		return nil, fmt.Errorf("%w: curve %s", ErrAlgorithm, kind)
	}
	end := first
	for end < len(algorithms) && algorithms[end].kind == kind {
		end++
	}
	return algorithms[first:end:end], nil
}

// The sizes of RSA keys. RFC 8230 section 6.1: "A key size of 2048 bits or
// larger MUST be used". The upper bounds keep a stranger's key from costing
// more than that of everybody else.
const (
	minRSABits  = 2048
	maxRSABits  = 4096
	maxExponent = 65537
)

func boundRSA(bits, exponent int) error {
	if bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("%w: an RSA key of %d bits; keys of %d to %d bits are taken (RFC 8230 section 6.1)", ErrAlgorithm, bits, minRSABits, maxRSABits)
	}
	if exponent < 3 || exponent%2 == 0 || exponent > maxExponent {
		return fmt.Errorf("%w: an RSA key with the exponent %d; odd ones from 3 to %d are taken", ErrAlgorithm, exponent, maxExponent)
	}
	return nil
}

// Key is a public key, its identifier, and what it is restricted to.
type Key struct {
	ID        []byte // nil when it has none
	Public    crypto.PublicKey
	Algorithm cose.Algorithm // the only one that the key is for; 0: any that fits it
}

// Allows reports whether the key may be used with an algorithm. ESP256 is
// ES256 here, and so on.
//
// RFC 9053 section 2.1: "If the 'alg' field is present, it MUST match the ECDSA
// signature algorithm being used."
func (k Key) Allows(alg cose.Algorithm) bool {
	if k.Algorithm == 0 {
		return true
	}
	a, _ := Find(alg)
	own, _ := Find(k.Algorithm)
	return a.Base != 0 && a.Base == own.Base
}

// Restrict sets Algorithm to the one that fits the key and that is chosen, by
// the member or label alg of its serialisation.
func (k *Key) Restrict(alg any, chosen func(Algorithm) bool) error {
	fits, err := For(k.Public)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(fits, chosen)
	if i < 0 {
		return Malformed("the key is for algorithm %.40s and its parameters are those of %s", fmt.Sprint(alg), fits[0].Name)
	}
	k.Algorithm = fits[i].ID
	return nil
}
