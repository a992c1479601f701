package keys

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"filippo.io/mldsa"

	"github.com/conmotion/conmotion/scitt"
)

// oidMLDSA44 is id-ml-dsa-44 (RFC 9881 section 2), which crypto/x509 does not know.
var oidMLDSA44 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 17}

type spki struct {
	Algorithm pkix.AlgorithmIdentifier
	Key       asn1.BitString
}

// ParseSPKI reads a SubjectPublicKeyInfo, of ML-DSA-44 too.
func ParseSPKI(der []byte) (crypto.PublicKey, error) {
	var info spki
	if err := exactly(der, &info); err == nil && info.Algorithm.Algorithm.Equal(oidMLDSA44) {
		return mldsa.NewPublicKey(mldsa.MLDSA44(), info.Key.RightAlign())
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: public key: %w", scitt.ErrMalformed, err)
	}
	return public, nil
}

// MarshalSPKI writes what ParseSPKI reads.
func MarshalSPKI(public crypto.PublicKey) ([]byte, error) {
	if key, ok := public.(*mldsa.PublicKey); ok {
		raw := key.Bytes()
		return asn1.Marshal(spki{pkix.AlgorithmIdentifier{Algorithm: oidMLDSA44}, asn1.BitString{Bytes: raw, BitLength: 8 * len(raw)}})
	}
	return x509.MarshalPKIXPublicKey(public)
}
