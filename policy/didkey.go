package policy

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"fmt"
	"math/big"
	"strings"

	"github.com/conmotion/conmotion/scitt"
)

// The self-certifying DID methods: an issuer of one of these carries, or pins,
// its own key.
const (
	MethodJWK  = "did:jwk"
	MethodKey  = "did:key"
	MethodX509 = "did:x509"
)

// methodOf is the self-certifying method of an issuer, "" if it has none.
func methodOf(issuer string) string {
	for _, m := range []string{MethodJWK, MethodKey, MethodX509} {
		if strings.HasPrefix(issuer, m+":") {
			return m
		}
	}
	return ""
}

// maxDIDKey is the longest did:key that is read: a P-384 key needs 76
// characters, and the cost of base 58 grows with the square of the length.
const maxDIDKey = 128

// multicodec names the key types of did:key that sign with a supported
// algorithm, by the unsigned varint of their multicodec code.
var multicodec = []struct {
	prefix [2]byte
	size   int
	curve  elliptic.Curve // nil: Ed25519
}{
	{[2]byte{0xed, 0x01}, ed25519.PublicKeySize, nil},
	{[2]byte{0x80, 0x24}, 33, elliptic.P256()},
	{[2]byte{0x81, 0x24}, 49, elliptic.P384()},
}

// ParseDIDKey reads the public key in a did:key of type P-256, P-384 or
// Ed25519: "did:key:" and the multibase (base58btc, "z") of the multicodec
// prefix and the key, EC points compressed. Errors wrap scitt.ErrMalformed, or
// scitt.ErrAlgorithm for another type of key.
func ParseDIDKey(did string) (crypto.PublicKey, error) {
	enc, ok := strings.CutPrefix(did, MethodKey+":z")
	if !ok {
		return nil, fmt.Errorf("%w: %s is not a did:key in base58btc (did:key:z...)", scitt.ErrMalformed, quote(did))
	}
	if len(did) > maxDIDKey {
		return nil, fmt.Errorf("%w: a did:key of %d characters", scitt.ErrMalformed, len(did))
	}
	raw, err := base58(enc)
	if err != nil {
		return nil, err
	}
	for _, c := range multicodec {
		key, ok := bytes.CutPrefix(raw, c.prefix[:])
		if !ok {
			continue
		}
		if len(key) != c.size {
			return nil, fmt.Errorf("%w: the key of the did:key has %d bytes, not %d", scitt.ErrMalformed, len(key), c.size)
		}
		if c.curve == nil {
			return ed25519.PublicKey(key), nil
		}
		x, y := elliptic.UnmarshalCompressed(c.curve, key)
		if x == nil {
			return nil, fmt.Errorf("%w: the key of the did:key is not a point on %s", scitt.ErrMalformed, c.curve.Params().Name)
		}
		return uncompressed(c.curve, x, y)
	}
	return nil, fmt.Errorf("%w: the did:key is for no key of type P-256, P-384 or Ed25519", scitt.ErrAlgorithm)
}

func uncompressed(curve elliptic.Curve, x, y *big.Int) (crypto.PublicKey, error) {
	n := (curve.Params().BitSize + 7) / 8
	point := make([]byte, 1+2*n)
	point[0] = 4
	x.FillBytes(point[1 : 1+n])
	y.FillBytes(point[1+n:])
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}

// DIDKey is the did:key of a public key. Errors wrap scitt.ErrAlgorithm.
func DIDKey(key crypto.PublicKey) (string, error) {
	raw := []byte(nil)
	switch k := key.(type) {
	case ed25519.PublicKey:
		raw = append(multicodec[0].prefix[:], k...)
	case *ecdsa.PublicKey:
		for _, c := range multicodec[1:] {
			if k.Curve == c.curve {
				point, err := k.Bytes()
				if err != nil {
					return "", fmt.Errorf("%w: %w", scitt.ErrMalformed, err)
				}
				sign := 2 + point[len(point)-1]&1
				raw = append(append(c.prefix[:], sign), point[1:c.size]...)
			}
		}
	}
	if raw == nil {
		return "", fmt.Errorf("%w: no did:key for a key of type %T", scitt.ErrAlgorithm, key)
	}
	return MethodKey + ":z" + toBase58(raw), nil
}

const base58Digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

func base58(s string) ([]byte, error) {
	n, radix := new(big.Int), big.NewInt(58)
	for i := range len(s) {
		d := strings.IndexByte(base58Digits, s[i])
		if d < 0 {
			return nil, fmt.Errorf("%w: %q is no digit of base 58", scitt.ErrMalformed, s[i])
		}
		n.Add(n.Mul(n, radix), big.NewInt(int64(d)))
	}
	zeros := len(s) - len(strings.TrimLeft(s, "1"))
	return append(make([]byte, zeros), n.Bytes()...), nil
}

func toBase58(raw []byte) string {
	n, radix, mod := new(big.Int).SetBytes(raw), big.NewInt(58), new(big.Int)
	var digits []byte
	for n.Sign() > 0 {
		n.DivMod(n, radix, mod)
		digits = append(digits, base58Digits[mod.Int64()])
	}
	for range len(raw) - len(bytes.TrimLeft(raw, "\x00")) {
		digits = append(digits, '1')
	}
	for i, j := 0, len(digits)-1; i < j; i, j = i+1, j-1 {
		digits[i], digits[j] = digits[j], digits[i]
	}
	return string(digits)
}
