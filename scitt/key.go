package scitt

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// COSE_Key labels (RFC 9052 section 7) beside those of [pubkey.Params].
const (
	keyKid, keyAlg = int64(2), int64(3)
	keyD           = int64(-4)
)

// Thumbprint is the COSE Key Thumbprint of a public key: the SHA-256 of the
// deterministic encoding of its required parameters (RFC 9679 section 3).
func Thumbprint(key crypto.PublicKey) ([]byte, error) {
	params, err := pubkey.Params(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(encode(params))
	return sum[:], nil
}

// Key is a public key that verifies Receipts, with its identifier.
type Key struct {
	ID     []byte // kid; by default the COSE Key Thumbprint
	Public crypto.PublicKey
}

// NewKey names a public key by its thumbprint.
func NewKey(public crypto.PublicKey) (Key, error) {
	id, err := Thumbprint(public)
	return Key{id, public}, err
}

// Marshal encodes the key as a COSE_Key with kty, kid and alg.
func (k Key) Marshal() ([]byte, error) {
	params, err := pubkey.Params(k.Public)
	if err != nil {
		return nil, err
	}
	alg, err := AlgorithmFor(k.Public)
	if err != nil {
		return nil, err
	}
	params[keyKid], params[keyAlg] = k.ID, int64(alg)
	return encode(params), nil
}

// ParseKey reads a COSE_Key. Without a kid the thumbprint names it. A key
// that carries its private part is refused.
func ParseKey(data []byte) (Key, error) {
	m, err := parseHeader("COSE_Key", data)
	if err != nil {
		return Key{}, err
	}
	public, err := publicKeyOf(m)
	if err != nil {
		return Key{}, err
	}
	alg, err := AlgorithmFor(public)
	if err != nil {
		return Key{}, err
	}
	if a, ok := m[keyAlg]; ok && a != int64(alg) {
		return Key{}, malformed("the COSE_Key is for algorithm %v and its parameters are those of %s", a, AlgorithmName(alg))
	}
	id, err := byteString(m, keyKid, "kid of the COSE_Key")
	if err != nil {
		return Key{}, err
	}
	if id == nil {
		return NewKey(public)
	}
	return Key{id, public}, nil
}

func publicKeyOf(m map[any]any) (crypto.PublicKey, error) {
	if _, ok := m[keyD]; ok {
		return nil, malformed("the COSE_Key holds a private key")
	}
	kty, _ := m[pubkey.Kty].(int64)
	crv, _ := m[pubkey.Crv].(int64)
	x, _ := m[pubkey.X].([]byte)
	switch kty {
	case pubkey.KtyEC2:
		curve := map[int64]elliptic.Curve{pubkey.CrvP256: elliptic.P256(), pubkey.CrvP384: elliptic.P384()}[crv]
		if curve == nil {
			return nil, fmt.Errorf("%w: COSE elliptic curve %v", ErrAlgorithm, m[pubkey.Crv])
		}
		return pubkey.Point(curve, x, m[pubkey.Y])
	case pubkey.KtyOKP:
		if crv != pubkey.CrvEd25519 {
			return nil, fmt.Errorf("%w: COSE elliptic curve %v", ErrAlgorithm, m[pubkey.Crv])
		}
		return pubkey.Ed25519(x)
	case pubkey.KtyRSA:
		n, _ := m[pubkey.N].([]byte)
		e, _ := m[pubkey.E].([]byte)
		return pubkey.RSA(n, e)
	}
	return nil, fmt.Errorf("%w: COSE key type %v", ErrAlgorithm, m[pubkey.Kty])
}

// KeySet is a COSE Key Set (RFC 9052 section 7): what a Transparency Service
// publishes at /.well-known/scitt-keys.
type KeySet []Key

// ParseKeySet reads a COSE Key Set. Keys of a kind that this package cannot
// use are left out.
//
// RFC 9052 section 7: "COSE_KeySet = [+COSE_Key]"; "Implementations SHOULD
// ignore COSE_Keys within a COSE Key Set that use key types that are not
// understood".
func ParseKeySet(data []byte) (KeySet, error) {
	var raw []cbor.RawMessage
	if err := decMode.Unmarshal(data, &raw); err != nil {
		return nil, malformed("not a COSE Key Set: %w", err)
	}
	var set KeySet
	var last error
	for _, r := range raw {
		k, err := ParseKey(r)
		if err != nil {
			last = err
			continue
		}
		set = append(set, k)
	}
	if len(set) == 0 {
		if last == nil {
			last = malformed("the COSE Key Set is empty")
		}
		return nil, last
	}
	return set, nil
}

// Marshal encodes the set.
func (ks KeySet) Marshal() ([]byte, error) {
	raw := make([]cbor.RawMessage, 0, len(ks))
	for _, k := range ks {
		b, err := k.Marshal()
		if err != nil {
			return nil, err
		}
		raw = append(raw, b)
	}
	return encode(raw), nil
}

// Find gives the key with that identifier. Errors wrap ErrUnknownKey.
func (ks KeySet) Find(id []byte) (Key, error) {
	for _, k := range ks {
		if bytes.Equal(k.ID, id) {
			return k, nil
		}
	}
	return Key{}, fmt.Errorf("%w: kid %s", ErrUnknownKey, pubkey.EncodeBase64(id))
}
