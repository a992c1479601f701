package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// Types of PEM blocks (RFC 7468 sections 10, 11 and 13).
const pemEncrypted, pemPublic = "ENCRYPTED PRIVATE KEY", "PUBLIC KEY"

// Form is how a key is written.
type Form string

// The forms of keys.
const (
	PEM  Form = "pem"  // PKCS#8 for private keys, SubjectPublicKeyInfo for public ones
	JWK  Form = "jwk"  // JSON Web Key
	COSE Form = "cose" // COSE_Key
)

// Parse reads a private key in any form. The passphrase is asked for only when the
// key is encrypted (PKCS#8 with PBES2). Errors never have a part of the key in them.
func Parse(data []byte, passphrase func() ([]byte, error)) (crypto.Signer, error) {
	if block, _ := pem.Decode(data); block != nil {
		if block.Type != pemEncrypted {
			return scitt.ParsePrivateKey(data)
		}
		secret, err := passphrase()
		if err != nil {
			return nil, err
		}
		der, err := decrypt(block.Bytes, secret)
		if err != nil {
			return nil, err
		}
		return scitt.ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' {
		return parseJWK(trimmed)
	}
	return parseCOSE(data)
}

// Encrypted reports whether a key is in PEM and encrypted.
func Encrypted(data []byte) bool {
	block, _ := pem.Decode(data)
	return block != nil && block.Type == pemEncrypted
}

// Marshal writes a private key. Only PEM can be encrypted; without a passphrase it is not.
func Marshal(key crypto.Signer, form Form, passphrase []byte) ([]byte, error) {
	if form != PEM && passphrase != nil {
		return nil, errors.New("only PEM is encrypted")
	}
	switch form {
	case PEM:
		data, err := scitt.MarshalPrivateKey(key)
		if err != nil || passphrase == nil {
			return data, err
		}
		block, _ := pem.Decode(data)
		if block.Bytes, err = encrypt(block.Bytes, passphrase); err != nil {
			return nil, err
		}
		block.Type = pemEncrypted
		return pem.EncodeToMemory(block), nil
	case JWK:
		return withPrivate(key, func(d []byte) ([]byte, error) {
			public, err := did.MarshalJWK(key.Public())
			if err != nil {
				return nil, err
			}
			// RFC 7518 section 6.2.2.1 and RFC 8037 section 2: "d".
			return fmt.Appendf(public[:len(public)-1], `,"d":%q}`+"\n", base64.RawURLEncoding.EncodeToString(d)), nil
		})
	case COSE:
		return withPrivate(key, func(d []byte) ([]byte, error) {
			members, err := coseMembers(key.Public())
			if err != nil {
				return nil, err
			}
			members[coseD] = d
			return canonical.Marshal(members)
		})
	}
	return nil, unknownForm(form)
}

// MarshalPublic writes a public key.
func MarshalPublic(public crypto.PublicKey, form Form) ([]byte, error) {
	switch form {
	case PEM:
		der, err := MarshalSPKI(public)
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}), nil
	case JWK:
		data, err := did.MarshalJWK(public)
		return append(data, '\n'), err
	case COSE:
		key, err := scitt.NewKey(public)
		if err != nil {
			return nil, err
		}
		return key.Marshal()
	}
	return nil, unknownForm(form)
}

// ParseSPKI reads a SubjectPublicKeyInfo, of ML-DSA-44 too.
func ParseSPKI(der []byte) (crypto.PublicKey, error) { return scitt.ParseSPKI(der) }

// MarshalSPKI writes what ParseSPKI reads.
func MarshalSPKI(public crypto.PublicKey) ([]byte, error) { return scitt.MarshalSPKI(public) }

func unknownForm(form Form) error {
	return fmt.Errorf("the form of a key is %s, %s or %s, not %q", PEM, JWK, COSE, form)
}

// coseD is the label of the private part, of EC2 and OKP keys (RFC 9053 sections
// 7.1.1 and 7.2).
const coseD = int64(-4)

var canonical = func() cbor.EncMode {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return mode
}()

func coseMembers(public crypto.PublicKey) (members map[int64]any, err error) {
	data, err := MarshalPublic(public, COSE)
	if err == nil {
		err = cbor.Unmarshal(data, &members)
	}
	return members, err
}

func withPrivate(key crypto.Signer, write func(d []byte) ([]byte, error)) ([]byte, error) {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		d, err := key.Bytes() // as long as the order of the curve
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		return write(d)
	case ed25519.PrivateKey:
		return write(key.Seed())
	}
	return nil, fmt.Errorf("%w: a private key of type %T is written as PEM", scitt.ErrAlgorithm, key)
}

func parseJWK(data []byte) (crypto.Signer, error) {
	var members map[string]json.RawMessage
	var text string
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("%w: the JSON Web Key is not a JSON object", scitt.ErrMalformed)
	}
	if json.Unmarshal(members["d"], &text) != nil {
		return nil, fmt.Errorf("%w: the JSON Web Key has no private part", scitt.ErrMalformed)
	}
	d, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the private part of the JSON Web Key is not unpadded base64url", scitt.ErrMalformed)
	}
	// What is left is judged as a public key; it signs and does not verify.
	delete(members, "d")
	delete(members, "key_ops")
	rest, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	public, err := did.ParseJWK(rest)
	if err != nil {
		return nil, err
	}
	return private(public.Public, d)
}

func parseCOSE(data []byte) (crypto.Signer, error) {
	var members map[int64]any
	mode, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF}.DecMode()
	if err != nil {
		return nil, err
	}
	if err := mode.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("%w: neither PEM (PKCS#8), a JSON Web Key nor a COSE_Key", scitt.ErrMalformed)
	}
	d, ok := members[coseD].([]byte)
	if !ok {
		return nil, fmt.Errorf("%w: the COSE_Key has no private part", scitt.ErrMalformed)
	}
	delete(members, coseD)
	delete(members, 4) // key_ops
	rest, err := canonical.Marshal(members)
	if err != nil {
		return nil, err
	}
	public, err := scitt.ParseKey(rest)
	if err != nil {
		return nil, err
	}
	return private(public.Public, d)
}

// private is the private key with these bytes, if it belongs to the public one.
func private(public crypto.PublicKey, d []byte) (key crypto.Signer, err error) {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		key, err = ecdsa.ParseRawPrivateKey(p.Curve, d)
	case ed25519.PublicKey:
		if len(d) != ed25519.SeedSize {
			return nil, fmt.Errorf("%w: the private part of an Ed25519 key has %d bytes, not %d", scitt.ErrMalformed, len(d), ed25519.SeedSize)
		}
		key = ed25519.NewKeyFromSeed(d)
	default:
		return nil, fmt.Errorf("%w: a private key of type %T is read from PEM", scitt.ErrAlgorithm, public)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the private part does not fit the curve", scitt.ErrMalformed)
	}
	if !public.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
		return nil, fmt.Errorf("%w: the private part is not of this public key", scitt.ErrMalformed)
	}
	return key, nil
}
