package did

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"fmt"
	"strings"

	"github.com/mr-tron/base58"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// maxKey is the longest did:key that is read: a P-521 key needs about
// 104 characters, and the cost of base 58 grows with the square of the length.
const maxKey = 128

// parseKey reads the public key in a did:key of type P-256, P-384, P-521 or
// Ed25519: "did:key:" and the multibase (base58btc, "z") of the multicodec
// prefix and the key, EC points compressed.
func parseKey(did string) (crypto.PublicKey, error) {
	enc, ok := strings.CutPrefix(did, MethodKey+":z")
	if !ok {
		return nil, pubkey.Malformed("%.120q is not a did:key in base58btc (did:key:z...)", did)
	}
	if len(did) > maxKey {
		return nil, pubkey.Malformed("a did:key of %d characters", len(did))
	}
	raw, err := base58.Decode(enc)
	if err != nil {
		return nil, pubkey.Malformed("the did:key is not base58btc: %w", err)
	}
	if key, ok := bytes.CutPrefix(raw, []byte{0xed, 0x01}); ok {
		return pubkey.Ed25519(key)
	}
	curve, ok := pubkey.FindCurve(func(c pubkey.Curve) bool { return bytes.HasPrefix(raw, c.Multicodec[:]) })
	if !ok {
		return nil, fmt.Errorf("%w: the did:key is for no key of type P-256, P-384, P-521 or Ed25519", pubkey.ErrAlgorithm)
	}
	point := raw[len(curve.Multicodec):]
	if len(point) == 0 || point[0] != 2 && point[0] != 3 {
		return nil, pubkey.Malformed("the point of the did:key is not compressed")
	}
	return pubkey.Point(curve.Curve, point[1:], point[0] == 3)
}

// NewKey returns the did:key of a public key, which is P-256, P-384, P-521 or Ed25519.
func NewKey(key crypto.PublicKey) (string, error) {
	var raw []byte
	switch k := key.(type) {
	case ed25519.PublicKey:
		raw = append([]byte{0xed, 0x01}, k...)
	case *ecdsa.PublicKey:
		curve, ok := pubkey.FindCurve(func(c pubkey.Curve) bool { return c.Curve == k.Curve })
		if !ok {
			return "", fmt.Errorf("%w: curve %s", pubkey.ErrAlgorithm, k.Curve.Params().Name)
		}
		point, err := k.Bytes()
		if err != nil {
			return "", pubkey.Malformed("not a point on the curve: %w", err)
		}
		size := len(point) / 2
		raw = append(append(curve.Multicodec[:], 2+point[len(point)-1]&1), point[1:1+size]...)
	default:
		return "", fmt.Errorf("%w: there is no did:key here for a key of type %T", pubkey.ErrAlgorithm, key)
	}
	return MethodKey + ":z" + base58.Encode(raw), nil
}
