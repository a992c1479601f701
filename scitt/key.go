package scitt

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"fmt"
	"slices"

	"filippo.io/mldsa"
	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// COSE_Key labels (RFC 9052 section 7) beside those of [pubkey.Params].
const (
	keyKid, keyAlg, keyOps = int64(2), pubkey.Alg, int64(4)
	opVerify               = int64(2) // RFC 9052 section 7.1
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

// Key is a public key with its identifier.
type Key struct {
	ID        []byte           // kid; by default the COSE Key Thumbprint
	Public    crypto.PublicKey // nil for a key that is compromised, with which nothing is verified
	Algorithm cose.Algorithm   // the only one that the key is for; 0: any that fits it
}

// NewKey names a public key by its thumbprint.
func NewKey(public crypto.PublicKey) (Key, error) {
	id, err := Thumbprint(public)
	return Key{ID: id, Public: public}, err
}

// PostQuantum reports whether the key is one of ML-DSA.
func (k Key) PostQuantum() bool {
	_, ok := k.Public.(*mldsa.PublicKey)
	return ok
}

// Allows reports whether the key may be used with an algorithm (RFC 9053
// section 2.1; ESP256 is ES256 here, and so on).
func (k Key) Allows(alg cose.Algorithm) bool { return pubkey.Key(k).Allows(alg) }

// Marshal encodes the key as a COSE_Key with kty, kid and alg.
func (k Key) Marshal() ([]byte, error) {
	params, err := pubkey.Params(k.Public)
	if err != nil {
		return nil, err
	}
	alg := k.Algorithm
	if alg == 0 {
		if alg, err = AlgorithmFor(k.Public); err != nil {
			return nil, err
		}
	}
	params[keyKid], params[keyAlg] = k.ID, int64(alg)
	return encode(params), nil
}

// ParseKey reads a COSE_Key that verifies signatures. Without a kid the
// thumbprint names it. A key that carries its private part is refused.
func ParseKey(data []byte) (Key, error) {
	m, err := parseHeader("COSE_Key", data)
	if err != nil {
		return Key{}, err
	}
	if err := verifies(m); err != nil {
		return Key{}, err
	}
	var key pubkey.Key
	if key.Public, err = publicKeyOf(m); err != nil {
		return Key{}, err
	}
	if alg, ok := m[keyAlg]; ok {
		err = key.Restrict(alg, func(a pubkey.Algorithm) bool { return int64(a.ID) == alg })
	} else {
		err = pubkey.Check(key.Public)
	}
	if err != nil {
		return Key{}, err
	}
	if key.ID, err = byteString(m, keyKid, "kid of the COSE_Key"); err == nil && key.ID == nil {
		key.ID, err = Thumbprint(key.Public)
	}
	return Key(key), err
}

// verifies holds key_ops to verifying.
//
// RFC 9053 section 2.1: "If the 'key_ops' field is present, it MUST include
// 'verify' when verifying an ECDSA signature." Section 2.2 has the same for
// EdDSA, and RSA keys are held to it too. RFC 9052 section 7.1: key_ops (4) is
// "[+ (tstr/int)]", and verify is 2.
func verifies(m map[any]any) error {
	v, ok := m[keyOps]
	if !ok {
		return nil
	}
	if ops, ok := v.([]any); !ok || !slices.Contains(ops, any(opVerify)) {
		return malformed("the key_ops (4) of the COSE_Key do not include verify (2)")
	}
	return nil
}

func publicKeyOf(m map[any]any) (crypto.PublicKey, error) {
	kty, _ := m[pubkey.Kty].(int64)
	private := []int64{-4} // d, of EC2 and OKP
	switch kty {
	case pubkey.KtyRSA:
		private = []int64{-3, -4, -5, -6, -7, -8, -9, -10, -11, -12} // RFC 8230 section 4
	case pubkey.KtyAKP:
		private = []int64{-2} // priv, RFC 9964 section 3
	}
	for _, label := range private {
		if _, ok := m[label]; ok {
			return nil, malformed("the COSE_Key holds a private key")
		}
	}
	crv, _ := m[pubkey.Crv].(int64)
	x, _ := m[pubkey.X].([]byte)
	switch kty {
	case pubkey.KtyEC2:
		curve, ok := pubkey.FindCurve(func(c pubkey.Curve) bool { return c.COSE == crv })
		if !ok {
			return nil, fmt.Errorf("%w: COSE elliptic curve %v", ErrAlgorithm, m[pubkey.Crv])
		}
		return pubkey.Point(curve.Curve, x, m[pubkey.Y])
	case pubkey.KtyOKP:
		if crv != pubkey.CrvEd25519 {
			return nil, fmt.Errorf("%w: COSE elliptic curve %v", ErrAlgorithm, m[pubkey.Crv])
		}
		return pubkey.Ed25519(x)
	case pubkey.KtyRSA:
		n, _ := m[pubkey.N].([]byte)
		e, _ := m[pubkey.E].([]byte)
		return pubkey.RSA(n, e)
	case pubkey.KtyAKP:
		pub, _ := m[pubkey.Pub].([]byte)
		return pubkey.AKP(m[keyAlg], pub)
	}
	return nil, fmt.Errorf("%w: COSE key type %v", ErrAlgorithm, m[pubkey.Kty])
}

// KeySet is a COSE Key Set (RFC 9052 section 7): what a Transparency Service
// publishes at /.well-known/scitt-keys.
type KeySet []Key

// ParseKeySet reads a COSE Key Set. Keys of a kind that this package cannot
// use are left out.
//
// RFC 9052 section 7: "COSE_KeySet = [+COSE_Key]"; "If one element in a COSE Key
// Set is either malformed or uses a key that is not understood by an
// application, that key is ignored and the other keys are processed normally."
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

// Find returns the keys with that identifier, at least one. A kid need not be
// unique: RFC 9052 section 3.1: "Applications MUST NOT assume that 'kid' values
// are unique. There may be more than one key with the same 'kid' value, so all
// of the keys associated with this 'kid' may need to be checked." Errors wrap
// ErrUnknownKey.
func (ks KeySet) Find(id []byte) (KeySet, error) {
	var found KeySet
	for _, k := range ks {
		if bytes.Equal(k.ID, id) {
			found = append(found, k)
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: kid %s", ErrUnknownKey, pubkey.EncodeBase64(id))
	}
	return found, nil
}

// Verify checks that one of the keys that the statement's kid names signed
// it: that the statement is of whoever published the set. Errors wrap
// ErrUnknownKey, ErrSignature or ErrAlgorithm.
func (ks KeySet) Verify(s *Statement) error {
	keys, err := ks.Find(s.KeyID)
	if err != nil {
		return err
	}
	anchors := NewAnchors(nil, nil, nil)
	for _, k := range keys {
		if _, err = anchors.besides(s, k); err == nil {
			err = s.VerifySignature(k.Public)
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// VerifyReceipt is [Receipt.Verify] with the keys that the kid of the Receipt
// names, or every key when it names none. Errors wrap ErrUnknownKey too.
func (ks KeySet) VerifyReceipt(r *Receipt, entry []byte) error {
	keys, err := ks.keysOf(r)
	if err != nil {
		return err
	}
	root, err := r.Root(entry)
	if err == nil {
		err = keys.VerifyRoot(r, root)
	}
	if err != nil {
		return fmt.Errorf("not a receipt for this statement by key %s: %w", pubkey.EncodeBase64(keys[0].ID), err)
	}
	return nil
}

// VerifyRoot is VerifyReceipt where the root is known already.
func (ks KeySet) VerifyRoot(r *Receipt, root []byte) error {
	keys, err := ks.keysOf(r)
	if err != nil {
		return err
	}
	for _, k := range keys {
		err = r.VerifyRoot(k.Public, root)
		if err == nil && !k.Allows(r.Algorithm) {
			err = fmt.Errorf("%w: the key is for %s and the receipt is signed with %s", ErrSignature, AlgorithmName(k.Algorithm), AlgorithmName(r.Algorithm))
		}
		if err == nil {
			return nil
		}
	}
	return err
}

func (ks KeySet) keysOf(r *Receipt) (KeySet, error) {
	keys, err := ks, error(nil)
	if r.KeyID != nil {
		if keys, err = ks.Find(r.KeyID); err != nil {
			return nil, err
		}
	}
	sound := slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return k.Public == nil })
	switch {
	case len(sound) == len(keys) && len(keys) > 0, len(sound) > 0 && r.KeyID == nil:
		return sound, nil
	case len(keys) > 0:
		return nil, fmt.Errorf("%w (kid %s): %w: %w", ErrCompromised, pubkey.EncodeBase64(keys[0].ID), ErrUnchecked, ErrUnknownKey)
	}
	return nil, fmt.Errorf("%w: no key of a log is known", ErrUnknownKey)
}
