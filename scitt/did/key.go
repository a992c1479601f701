package did

import (
	"bytes"
	"crypto"
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
