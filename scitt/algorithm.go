package scitt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/veraison/go-cose"
)

// algorithms are the signing algorithms that statements and receipts may use,
// with the fixed size of a signature in bytes; 0 when it follows the key.
var algorithms = map[cose.Algorithm]int{
	cose.AlgorithmES256: 64,
	cose.AlgorithmES384: 96,
	cose.AlgorithmEdDSA: ed25519.SignatureSize,
	cose.AlgorithmPS256: 0,
}

// Algorithms lists the names of the supported signing algorithms.
func Algorithms() []string { return []string{"ES256", "ES384", "EdDSA", "PS256"} }

func supported() string { return "ES256, ES384, EdDSA and PS256" }

// AlgorithmName is the registered name of alg, or its number.
func AlgorithmName(alg cose.Algorithm) string {
	if _, ok := algorithms[alg]; ok {
		return alg.String()
	}
	return fmt.Sprintf("algorithm %d", int64(alg))
}

func signatureSize(alg cose.Algorithm) (int, bool) {
	n := algorithms[alg]
	return n, n > 0
}

// AlgorithmFor is the algorithm that a key signs with: the curve of an EC key
// decides, so that ES256 means P-256 and ES384 means P-384 and nothing else.
func AlgorithmFor(key crypto.PublicKey) (cose.Algorithm, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return cose.AlgorithmES256, nil
		case elliptic.P384():
			return cose.AlgorithmES384, nil
		}
		return 0, fmt.Errorf("%w: curve %s", ErrAlgorithm, k.Curve.Params().Name)
	case ed25519.PublicKey:
		return cose.AlgorithmEdDSA, nil
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return 0, fmt.Errorf("%w: an RSA key of %d bits; at least 2048 are needed (RFC 8230 section 6.1)", ErrAlgorithm, k.N.BitLen())
		}
		return cose.AlgorithmPS256, nil
	}
	return 0, fmt.Errorf("%w: a key of type %T", ErrAlgorithm, key)
}

// verify checks a COSE_Sign1 signature.
func verify(alg cose.Algorithm, key crypto.PublicKey, protected, payload, signature []byte) error {
	want, err := AlgorithmFor(key)
	if err != nil {
		return err
	}
	if alg != want {
		return fmt.Errorf("%w: the header says %s and the key is one for %s", ErrSignature, AlgorithmName(alg), AlgorithmName(want))
	}
	v, err := cose.NewVerifier(alg, key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	if err := v.Verify(sigStructure(protected, payload), signature); err != nil {
		return ErrSignature
	}
	return nil
}

// sign makes a COSE_Sign1 signature.
func sign(key crypto.Signer, protected, payload []byte) ([]byte, error) {
	alg, err := AlgorithmFor(key.Public())
	if err != nil {
		return nil, err
	}
	s, err := cose.NewSigner(alg, key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	sig, err := s.Sign(rand.Reader, sigStructure(protected, payload))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}
