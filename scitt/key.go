package scitt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"

	"github.com/fxamacker/cbor/v2"
)

// COSE_Key labels and values (RFC 9052 section 7, RFC 9053 section 7, RFC 8230 section 4).
const (
	keyKty, keyKid, keyAlg     = int64(1), int64(2), int64(3)
	keyCrv, keyX, keyY         = int64(-1), int64(-2), int64(-3)
	keyN, keyE                 = int64(-1), int64(-2)
	keyD                       = int64(-4)
	ktyOKP, ktyEC2, ktyRSA     = int64(1), int64(2), int64(3)
	crvP256, crvP384, crvEd255 = int64(1), int64(2), int64(6)
)

// keyParams are the parameters of a public key that RFC 9679 hashes: "only
// the required parameters" of its key type.
func keyParams(key crypto.PublicKey) (map[int64]any, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		crv := crvP256
		switch k.Curve {
		case elliptic.P256():
		case elliptic.P384():
			crv = crvP384
		default:
			return nil, fmt.Errorf("%w: curve %s", ErrAlgorithm, k.Curve.Params().Name)
		}
		point, err := k.Bytes()
		if err != nil {
			return nil, malformed("not a point on the curve: %w", err)
		}
		n := len(point) / 2
		return map[int64]any{keyKty: ktyEC2, keyCrv: crv, keyX: point[1 : 1+n], keyY: point[1+n:]}, nil
	case ed25519.PublicKey:
		return map[int64]any{keyKty: ktyOKP, keyCrv: crvEd255, keyX: []byte(k)}, nil
	case *rsa.PublicKey:
		return map[int64]any{keyKty: ktyRSA, keyN: k.N.Bytes(), keyE: big.NewInt(int64(k.E)).Bytes()}, nil
	}
	return nil, fmt.Errorf("%w: a key of type %T", ErrAlgorithm, key)
}

// Thumbprint is the COSE Key Thumbprint of a public key: the SHA-256 of the
// deterministic encoding of its required parameters (RFC 9679 section 3).
func Thumbprint(key crypto.PublicKey) ([]byte, error) {
	params, err := keyParams(key)
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
	params, err := keyParams(k.Public)
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
	kty, _ := m[keyKty].(int64)
	crv, _ := m[keyCrv].(int64)
	x, _ := m[keyX].([]byte)
	switch kty {
	case ktyEC2:
		curve := map[int64]elliptic.Curve{crvP256: elliptic.P256(), crvP384: elliptic.P384()}[crv]
		if curve == nil {
			return nil, fmt.Errorf("%w: COSE elliptic curve %v", ErrAlgorithm, m[keyCrv])
		}
		return pointOf(curve, x, m[keyY])
	case ktyOKP:
		if crv != crvEd255 {
			return nil, fmt.Errorf("%w: COSE elliptic curve %v", ErrAlgorithm, m[keyCrv])
		}
		if len(x) != ed25519.PublicKeySize {
			return nil, malformed("an Ed25519 key has %d bytes, not %d", ed25519.PublicKeySize, len(x))
		}
		return ed25519.PublicKey(x), nil
	case ktyRSA:
		n, _ := m[keyN].([]byte)
		e, _ := m[keyE].([]byte)
		return rsaKeyOf(n, e)
	}
	return nil, fmt.Errorf("%w: COSE key type %v", ErrAlgorithm, m[keyKty])
}

// pointOf reads an EC2 point; y is a byte string, or the sign bit of a
// compressed point (RFC 9053 section 7.1.1).
func pointOf(curve elliptic.Curve, x []byte, y any) (*ecdsa.PublicKey, error) {
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size {
		return nil, malformed("the x coordinate has %d bytes, not %d", len(x), size)
	}
	switch y := y.(type) {
	case []byte:
		point := bytes.Join([][]byte{{4}, x, y}, nil)
		key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			return nil, malformed("not a point on the curve: %w", err)
		}
		return key, nil
	case bool:
		sign := byte(2)
		if y {
			sign = 3
		}
		px, py := elliptic.UnmarshalCompressed(curve, append([]byte{sign}, x...))
		if px == nil {
			return nil, malformed("not a point on the curve")
		}
		return pointOf(curve, x, py.FillBytes(make([]byte, size)))
	}
	return nil, malformed("the y coordinate is neither a byte string nor a sign")
}

func rsaKeyOf(n, e []byte) (*rsa.PublicKey, error) {
	if len(e) == 0 || len(e) > 4 || len(n) == 0 || len(n) > 1024 {
		return nil, malformed("an RSA key wants a modulus of at most 8192 bits and an exponent of at most 32")
	}
	exp := new(big.Int).SetBytes(e).Int64()
	if exp < 3 || exp%2 == 0 || exp >= 1<<31 {
		return nil, malformed("%d is no RSA exponent", exp)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exp)}, nil
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
	return Key{}, fmt.Errorf("%w: kid %s", ErrUnknownKey, base64.RawURLEncoding.EncodeToString(id))
}
