package did

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"fmt"
	"strings"

	"github.com/mr-tron/base58"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// maxKey is the longest did:key that is read: a P-384 key needs 76
// characters, and the cost of base 58 grows with the square of the length.
const maxKey = 128

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

// parseKey reads the public key in a did:key of type P-256, P-384 or
// Ed25519: "did:key:" and the multibase (base58btc, "z") of the multicodec
// prefix and the key, EC points compressed. Errors wrap pubkey.ErrMalformed, or
// scitt.ErrAlgorithm for another type of key.
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
	for _, c := range multicodec {
		key, ok := bytes.CutPrefix(raw, c.prefix[:])
		if !ok {
			continue
		}
		if len(key) != c.size {
			return nil, pubkey.Malformed("the key of the did:key has %d bytes, not %d", len(key), c.size)
		}
		if c.curve == nil {
			return pubkey.Ed25519(key)
		}
		if key[0] != 2 && key[0] != 3 {
			return nil, pubkey.Malformed("the point of the did:key is not compressed")
		}
		return pubkey.Point(c.curve, key[1:], key[0] == 3)
	}
	return nil, fmt.Errorf("%w: the did:key is for no key of type P-256, P-384 or Ed25519", pubkey.ErrAlgorithm)
}
