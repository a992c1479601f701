package scitt

import (
	"crypto"
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
	v, err := cose.NewVerifier(fits[i].Base, key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	if d, ok := v.(cose.DigestVerifier); ok && digest != nil && fits[i].Base == cose.AlgorithmES256 {
		err = d.VerifyDigest(digest, signature)
	} else {
		err = v.Verify(sigStructure(protected, payload), signature)
	}
	if err != nil {
		return ErrSignature
	}
	return nil
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
