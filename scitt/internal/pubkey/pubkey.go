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
	"strings"
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

// COSE_Key labels and values (RFC 9052 section 7, RFC 9053 section 7, RFC 8230 section 4).
const (
	Kty, Crv, X, Y               = int64(1), int64(-1), int64(-2), int64(-3)
	N, E                         = int64(-1), int64(-2)
	KtyOKP, KtyEC2, KtyRSA       = int64(1), int64(2), int64(3)
	CrvP256, CrvP384, CrvEd25519 = int64(1), int64(2), int64(6)
)

// Params returns the parameters of a public key that RFC 9679 hashes: "only
// the required parameters" of its key type, by their COSE_Key labels. Coordinates,
// modulus and exponent are []byte. Errors wrap ErrAlgorithm or ErrMalformed.
func Params(key crypto.PublicKey) (map[int64]any, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		crv := CrvP256
		switch k.Curve {
		case elliptic.P256():
		case elliptic.P384():
			crv = CrvP384
		default:
			return nil, fmt.Errorf("%w: curve %s", ErrAlgorithm, k.Curve.Params().Name)
		}
		point, err := k.Bytes()
		if err != nil {
			return nil, Malformed("not a point on the curve: %w", err)
		}
		n := len(point) / 2
		return map[int64]any{Kty: KtyEC2, Crv: crv, X: point[1 : 1+n], Y: point[1+n:]}, nil
	case ed25519.PublicKey:
		return map[int64]any{Kty: KtyOKP, Crv: CrvEd25519, X: []byte(k)}, nil
	case *rsa.PublicKey:
		return map[int64]any{Kty: KtyRSA, N: k.N.Bytes(), E: big.NewInt(int64(k.E)).Bytes()}, nil
	}
	return nil, fmt.Errorf("%w: a key of type %T", ErrAlgorithm, key)
}

// Ed25519 reads an Ed25519 public key of 32 bytes.
func Ed25519(x []byte) (ed25519.PublicKey, error) {
	if len(x) != ed25519.PublicKeySize {
		return nil, Malformed("an Ed25519 key has %d bytes, not %d", ed25519.PublicKeySize, len(x))
	}
	return ed25519.PublicKey(x), nil
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
func RSA(n, e []byte) (*rsa.PublicKey, error) {
	if len(e) == 0 || len(e) > 4 || len(n) == 0 || len(n) > 1024 {
		return nil, Malformed("an RSA key wants a modulus of at most 8192 bits and an exponent of at most 32")
	}
	exp := new(big.Int).SetBytes(e).Int64()
	if exp < 3 || exp%2 == 0 || exp >= 1<<31 {
		return nil, Malformed("%d is no RSA exponent", exp)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exp)}, nil
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
