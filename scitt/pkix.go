package scitt

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"

	"filippo.io/mldsa"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// oidMLDSA44 is id-ml-dsa-44 (RFC 9881 section 2), which crypto/x509 does not know.
var oidMLDSA44 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 17}

// mldsa44 is the AlgorithmIdentifier: its parameters are absent (RFC 9881 section 2).
var mldsa44 = pkix.AlgorithmIdentifier{Algorithm: oidMLDSA44}

type spki struct {
	Algorithm pkix.AlgorithmIdentifier
	Key       asn1.BitString
}

// ParseSPKI reads a SubjectPublicKeyInfo, of ML-DSA-44 too. Errors wrap ErrMalformed
// or ErrAlgorithm.
func ParseSPKI(der []byte) (crypto.PublicKey, error) {
	var info spki
	if rest, err := asn1.Unmarshal(der, &info); err == nil && len(rest) == 0 && info.Algorithm.Algorithm.Equal(oidMLDSA44) {
		return pubkey.AKP(int64(pubkey.MLDSA44), info.Key.RightAlign())
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, malformed("public key: %w", err)
	}
	return public, nil
}

// MarshalSPKI writes what ParseSPKI reads.
func MarshalSPKI(public crypto.PublicKey) ([]byte, error) {
	if key, ok := public.(*mldsa.PublicKey); ok {
		raw := key.Bytes()
		return asn1.Marshal(spki{mldsa44, asn1.BitString{Bytes: raw, BitLength: 8 * len(raw)}})
	}
	return x509.MarshalPKIXPublicKey(public)
}

type pkcs8 struct {
	Version   int
	Algorithm pkix.AlgorithmIdentifier
	Key       []byte
}

// seedTag begins the private key in PKCS#8, before the 32 bytes of the seed.
//
// RFC 9881 section 6: "ML-DSA-44-PrivateKey ::= CHOICE { seed [0] OCTET STRING (SIZE
// (32)), ..."; "the seed format is RECOMMENDED".
var seedTag = []byte{0x80, mldsa.PrivateKeySize}

// parsePKCS8 reads a private key, of ML-DSA-44 too.
func parsePKCS8(der []byte) (any, error) {
	var info pkcs8
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 || !info.Algorithm.Algorithm.Equal(oidMLDSA44) {
		return x509.ParsePKCS8PrivateKey(der)
	}
	seed, ok := bytes.CutPrefix(info.Key, seedTag)
	if !ok || len(seed) != mldsa.PrivateKeySize {
		return nil, malformed("an ML-DSA-44 key in PKCS#8 that is not the seed alone (RFC 9881 section 6)")
	}
	return mldsa.NewPrivateKey(mldsa.MLDSA44(), seed)
}

// marshalPKCS8 writes what parsePKCS8 reads.
func marshalPKCS8(key crypto.Signer) ([]byte, error) {
	if key, ok := key.(*mldsa.PrivateKey); ok && key.PublicKey().Parameters() == mldsa.MLDSA44() {
		return asn1.Marshal(pkcs8{Algorithm: mldsa44, Key: append(bytes.Clone(seedTag), key.Bytes()...)})
	}
	return x509.MarshalPKCS8PrivateKey(key)
}
