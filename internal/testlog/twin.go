package testlog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"math/big"
	"slices"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// Twin is the Entry with the other valid signature of an ES256 or ES384 one:
// (r, n-s) in place of (r, s). It needs no key, so anybody can make it.
func Twin(t testing.TB, entry []byte) []byte {
	t.Helper()
	s := Must(scitt.DecodeStatement(entry))(t)
	curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384()}[scitt.AlgorithmName(s.Algorithm)]
	if curve == nil {
		t.Fatalf("%s has no twin", scitt.AlgorithmName(s.Algorithm))
	}
	size := curve.Params().BitSize / 8
	twin := slices.Clone(entry)
	half := twin[len(twin)-size:]
	new(big.Int).Sub(curve.Params().N, new(big.Int).SetBytes(half)).FillBytes(half)
	return twin
}

// Garbage is the Entry with a signature that is not valid, as an operator can put
// it into a log.
func Garbage(entry []byte) []byte {
	out := slices.Clone(entry)
	out[len(out)-1] ^= 1
	return out
}

// FixedKey is an ES256 key that is the same for a name each time. So are ids of
// what it signs, while the signatures differ.
func FixedKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	d := sha256.Sum256([]byte(name))
	d[0] = 0 // below n
	return Must(ecdsa.ParseRawPrivateKey(elliptic.P256(), d[:]))(t)
}
