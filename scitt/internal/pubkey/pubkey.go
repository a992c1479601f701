// Package pubkey holds what COSE_Keys, JSON Web Keys and DIDs have in common:
// the checks of raw public keys, and their required parameters. It is apart
// from scitt so that scitt and scitt/did can both import it.
package pubkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
	"slices"
	"strings"

	"filippo.io/edwards25519"
	"filippo.io/mldsa"
)

// Why bytes are refused. Package scitt exports both.
var (
	ErrMalformed = errors.New("malformed")
	ErrAlgorithm = errors.New("signing algorithm not supported")
)

// Malformed returns an error with this text that wraps ErrMalformed.
func Malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

// COSE_Key labels and values (RFC 9052 section 7, RFC 9053 section 7, RFC 8230 section 4,
// RFC 9964 section 3).
const (
	Kty, Alg, Crv, X, Y            = int64(1), int64(3), int64(-1), int64(-2), int64(-3)
	N, E                           = int64(-1), int64(-2)
	Pub                            = int64(-1)
	KtyOKP, KtyEC2, KtyRSA, KtyAKP = int64(1), int64(2), int64(3), int64(7)
	CrvEd25519                     = int64(6)
)

// Curve is an elliptic curve of ECDSA keys.
type Curve struct {
	elliptic.Curve
	COSE       int64   // RFC 9053 section 7.1
	Multicodec [2]byte // of did:key: the unsigned varint of its code
}

// Name is that of the curve in JSON Web Keys.
func (c Curve) Name() string { return c.Params().Name }

var curves = []Curve{
	{elliptic.P256(), 1, [2]byte{0x80, 0x24}},
	{elliptic.P384(), 2, [2]byte{0x81, 0x24}},
	{elliptic.P521(), 3, [2]byte{0x82, 0x24}},
}

// FindCurve returns the curve for which is reports true.
func FindCurve(is func(Curve) bool) (Curve, bool) {
	if i := slices.IndexFunc(curves, is); i >= 0 {
		return curves[i], true
	}
	return Curve{}, false
}

// Params returns the parameters of a public key that RFC 9679 hashes: "only
// the required parameters" of its key type, by their COSE_Key labels. Coordinates,
// modulus and exponent are []byte. Errors wrap ErrAlgorithm or ErrMalformed.
func Params(key crypto.PublicKey) (map[int64]any, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		crv := slices.IndexFunc(curves, func(c Curve) bool { return c.Curve == k.Curve })
		if crv < 0 {
			return nil, fmt.Errorf("%w: curve %s", ErrAlgorithm, k.Curve.Params().Name)
		}
		point, err := k.Bytes()
		if err != nil {
			return nil, Malformed("not a point on the curve: %w", err)
		}
		n := len(point) / 2
		return map[int64]any{Kty: KtyEC2, Crv: curves[crv].COSE, X: point[1 : 1+n], Y: point[1+n:]}, nil
	case ed25519.PublicKey:
		return map[int64]any{Kty: KtyOKP, Crv: CrvEd25519, X: []byte(k)}, nil
	case *rsa.PublicKey:
		return map[int64]any{Kty: KtyRSA, N: k.N.Bytes(), E: big.NewInt(int64(k.E)).Bytes()}, nil
	case *mldsa.PublicKey:
		// RFC 9964 section 6: "the required parameters for algorithm key pairs are"
		// kty, alg and pub.
		fits, err := For(k)
		if err != nil {
			return nil, err
		}
		return map[int64]any{Kty: KtyAKP, Alg: int64(fits[0].ID), Pub: k.Bytes()}, nil
	}
	return nil, fmt.Errorf("%w: a key of type %T", ErrAlgorithm, key)
}

// Ed25519 reads an Ed25519 public key of 32 bytes. Refused is an encoding that
// is none of a point, or not its only one, and a point of small order: every
// message would have a signature that verifies with such a key.
func Ed25519(x []byte) (ed25519.PublicKey, error) {
	if len(x) != ed25519.PublicKeySize {
		return nil, Malformed("an Ed25519 key has %d bytes, not %d", ed25519.PublicKeySize, len(x))
	}
	p, err := new(edwards25519.Point).SetBytes(x)
	if err != nil || !bytes.Equal(p.Bytes(), x) {
		return nil, Malformed("an Ed25519 key that is not the encoding of a point (RFC 8032 section 5.1.3)")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, Malformed("an Ed25519 key of small order")
	}
	return ed25519.PublicKey(x), nil
}

// Check holds a key that came in a certificate or a SubjectPublicKeyInfo to
// what the other forms are held to. Errors wrap ErrAlgorithm or ErrMalformed.
func Check(key crypto.PublicKey) error {
	if k, ok := key.(ed25519.PublicKey); ok {
		_, err := Ed25519(k)
		return err
	}
	_, err := For(key)
	return err
}

// Equal reports whether two public keys are the same.
func Equal(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// Point reads a point on the curve. y is a byte string, or the sign bit of a
// compressed point (RFC 9053 section 7.1.1).
func Point(curve elliptic.Curve, x []byte, y any) (*ecdsa.PublicKey, error) {
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size {
		return nil, Malformed("the x coordinate has %d bytes, not %d", len(x), size)
	}
	switch y := y.(type) {
	case []byte:
		point := bytes.Join([][]byte{{4}, x, y}, nil)
		key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			return nil, Malformed("not a point on the curve: %w", err)
		}
		return key, nil
	case bool:
		sign := byte(2)
		if y {
			sign = 3
		}
		px, py := elliptic.UnmarshalCompressed(curve, append([]byte{sign}, x...))
		if px == nil {
			return nil, Malformed("not a point on the curve")
		}
		return Point(curve, x, py.FillBytes(make([]byte, size)))
	}
	return nil, Malformed("the y coordinate is neither a byte string nor a sign")
}

// RSA reads an RSA public key from its big-endian modulus and exponent.
//
// RFC 7518 section 2 (Base64urlUInt), and RFC 8230 section 4 likewise: "The octet sequence MUST
// utilize the minimum number of octets needed to represent the value."
func RSA(n, e []byte) (*rsa.PublicKey, error) {
	if len(n) == 0 || len(e) == 0 || n[0] == 0 || e[0] == 0 {
		return nil, Malformed("an RSA key wants a modulus and an exponent, each without leading zeros")
	}
	exp := maxExponent + 1
	if len(e) <= 4 {
		exp = int(new(big.Int).SetBytes(e).Int64())
	}
	if err := boundRSA(8*(len(n)-1)+bits.Len8(n[0]), exp); err != nil {
		return nil, err
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exp}, nil
}

// AKP reads the public key of an Algorithm Key Pair.
//
// RFC 9964 section 3: "The alg JSON Web Key (JWK) parameter or COSE Key Common parameter
// is REQUIRED for all AKP keys."
func AKP(alg any, pub []byte) (*mldsa.PublicKey, error) {
	if alg != int64(MLDSA44) {
		return nil, fmt.Errorf("%w: an AKP key for the algorithm %v", ErrAlgorithm, alg)
	}
	key, err := mldsa.NewPublicKey(mldsa.MLDSA44(), pub)
	if err != nil {
		return nil, Malformed("an ML-DSA-44 key: %w", err)
	}
	return key, nil
}

// EncodeBase64 writes unpadded base64url.
func EncodeBase64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// DecodeBase64 reads unpadded base64url. The decoder of the standard library
// skips line breaks, even when it is strict.
func DecodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, Malformed("a line break in base64url")
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}
