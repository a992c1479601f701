package scitt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"filippo.io/mldsa"
	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// Algorithms lists the names of the algorithms that statements are signed with.
func Algorithms() (names []string) {
	for _, a := range pubkey.Algorithms() {
		names = append(names, a.Name)
	}
	return names
}

func supported() string { return strings.Join(Algorithms(), ", ") }

// AlgorithmName is the registered name of alg, or its number.
func AlgorithmName(alg cose.Algorithm) string {
	if a, ok := pubkey.Find(alg); ok {
		return a.Name
	}
	return fmt.Sprintf("algorithm %d", int64(alg))
}

func signatureSize(alg cose.Algorithm) (int, bool) {
	a, _ := pubkey.Find(alg)
	return a.Size, a.Size > 0
}

// signingAlgorithm is the algorithm of this name that a key can sign with, or
// the usual one.
func signingAlgorithm(key crypto.PublicKey, name string) (pubkey.Algorithm, error) {
	fits, err := pubkey.For(key)
	if err != nil {
		return pubkey.Algorithm{}, err
	}
	i := 0
	if name != "" {
		i = slices.IndexFunc(fits, func(a pubkey.Algorithm) bool { return a.Name == name })
	}
	if i < 0 {
		return pubkey.Algorithm{}, fmt.Errorf("%w: the key is for %s and cannot sign with %.40q", ErrAlgorithm, fits[0].Name, name)
	}
	return fits[i], nil
}

// AlgorithmFor is the algorithm that a key signs with: the curve of an EC key
// decides, so that ES256 means P-256 and ES384 means P-384 and nothing else.
func AlgorithmFor(key crypto.PublicKey) (cose.Algorithm, error) {
	a, err := signingAlgorithm(key, "")
	return a.ID, err
}

// AlgorithmNames are the names of the algorithms that a key may be used with.
// Errors wrap ErrAlgorithm.
func AlgorithmNames(key Key) (names []string, err error) {
	fits, err := pubkey.For(key.Public)
	for _, a := range fits {
		if key.Allows(a.ID) {
			names = append(names, a.Name)
		}
	}
	return names, err
}

// verify checks a COSE_Sign1 signature. The digest is the SHA-256 of what is signed, or
// nil when it is not known.
func verify(alg cose.Algorithm, key crypto.PublicKey, protected, payload, signature, digest []byte) error {
	fits, err := pubkey.For(key)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(fits, func(a pubkey.Algorithm) bool { return a.ID == alg })
	if i < 0 {
		return fmt.Errorf("%w: the header says %s and the key is one for %s", ErrSignature, AlgorithmName(alg), fits[0].Name)
	}
	if pq, ok := key.(*mldsa.PublicKey); ok {
		// RFC 9964 section 5: "The ctx parameter MUST be the empty string".
		if mldsa.Verify(pq, sigStructure(protected, payload), signature, nil) != nil {
			return ErrSignature
		}
		return nil
	}
	if ec, ok := key.(*ecdsa.PublicKey); ok && digest != nil && fits[i].Base == cose.AlgorithmES256 {
		if !verifyES256(ec, digest, signature) {
			return ErrSignature
		}
		return nil
	}
	v, err := cose.NewVerifier(fits[i].Base, key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	if v.Verify(sigStructure(protected, payload), signature) != nil {
		return ErrSignature
	}
	return nil
}

// verifyES256 verifies r and s, which COSE has side by side (RFC 9053 section 2.1), as crypto/ecdsa takes them: as ASN.1.
// A log has many of these signatures, and little else takes time when all are verified.
func verifyES256(key *ecdsa.PublicKey, digest, signature []byte) bool {
	const size = 32
	if len(signature) != 2*size {
		return false
	}
	der := append(make([]byte, 0, 2*size+8), 0x30, 0) // a SEQUENCE of two INTEGERs
	for _, n := range [...][]byte{signature[:size], signature[size:]} {
		if n = bytes.TrimLeft(n, "\x00"); len(n) == 0 {
			return false
		}
		der = append(der, 0x02, byte(len(n)))
		if n[0]&0x80 != 0 { // else it would be negative
			der[len(der)-1]++
			der = append(der, 0)
		}
		der = append(der, n...)
	}
	der[1] = byte(len(der) - 2)
	return ecdsa.VerifyASN1(key, digest, der)
}

// sign makes a COSE_Sign1 signature, of ECDSA the one with low s.
func sign(key crypto.Signer, alg pubkey.Algorithm, protected, payload []byte) ([]byte, error) {
	if alg.ID == pubkey.MLDSA44 {
		sig, err := key.Sign(rand.Reader, sigStructure(protected, payload), crypto.Hash(0))
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		return sig, nil
	}
	s, err := cose.NewSigner(alg.Base, key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	sig, err := s.Sign(rand.Reader, sigStructure(protected, payload))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return lowS(alg.ID, sig), nil
}
