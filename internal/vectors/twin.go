package vectors

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io"
	"math/big"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// Twin signs what a statement signs another time: a valid Signed Statement with
// the same entry id and other bytes. Of ECDSA it is the one that a stranger
// can make, from the statement alone. For RSA and Ed25519 it takes the key.
func Twin(key crypto.Signer, statement []byte) ([]byte, error) {
	return twin(rand.Reader, key, statement)
}

func twin(random io.Reader, key crypto.Signer, statement []byte) ([]byte, error) {
	var parts []cbor.RawMessage
	if err := cbor.Unmarshal(statement[1:], &parts); err != nil {
		return nil, fmt.Errorf("twin: %w", err)
	}
	var protected, payload, sig []byte
	for i, into := range map[int]*[]byte{0: &protected, 2: &payload, 3: &sig} {
		if err := cbor.Unmarshal(parts[i], into); err != nil {
			return nil, fmt.Errorf("twin: %w", err)
		}
	}
	signed, err := cbor.Marshal([]any{"Signature1", protected, []byte{}, payload})
	if err != nil {
		return nil, fmt.Errorf("twin: %w", err)
	}
	switch k := key.Public().(type) {
	case *ecdsa.PublicKey:
		half := len(sig) / 2
		s := new(big.Int).SetBytes(sig[half:])
		s.Sub(k.Params().N, s).FillBytes(sig[half:])
	case *rsa.PublicKey:
		var header struct {
			Algorithm int64 `cbor:"1,keyasint"`
		}
		if err := cbor.Unmarshal(protected, &header); err != nil {
			return nil, fmt.Errorf("twin: %w", err)
		}
		hash := map[int64]crypto.Hash{-37: crypto.SHA256, -38: crypto.SHA384, -39: crypto.SHA512}[header.Algorithm] // RFC 8230 section 2
		h := hash.New()
		h.Write(signed)
		sig, err = key.Sign(random, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
	case ed25519.PublicKey:
		sig, err = otherEd25519(key, signed)
	default:
		err = fmt.Errorf("twin: a key of type %T", k)
	}
	if err != nil {
		return nil, fmt.Errorf("twin: %w", err)
	}
	if parts[3], err = cbor.Marshal(sig); err != nil {
		return nil, fmt.Errorf("twin: %w", err)
	}
	out, err := cbor.Marshal(parts)
	if err != nil {
		return nil, fmt.Errorf("twin: %w", err)
	}
	return append([]byte{0xd2}, out...), nil
}

// otherEd25519 signs as RFC 8032 section 5.1.6 says, but for the nonce, which
// is not the hash that it wants: verifiers cannot tell. The nonce is the scalar
// of another key, so that its point is that key's public one.
func otherEd25519(key crypto.Signer, message []byte) ([]byte, error) {
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T", key)
	}
	seed := sha256.Sum256(append([]byte("nonce"), message...))
	nonce := ed25519.NewKeyFromSeed(seed[:])
	point := nonce[ed25519.SeedSize:]
	h := sha512.New()
	h.Write(point)
	h.Write(private[ed25519.SeedSize:])
	h.Write(message)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := new(big.Int).Mul(littleEndian(h.Sum(nil)), ed25519Scalar(private))
	s.Add(s, ed25519Scalar(nonce)).Mod(s, order)
	encoded := s.FillBytes(make([]byte, 32))
	slices.Reverse(encoded)
	return slices.Concat(point, encoded), nil
}

func ed25519Scalar(key ed25519.PrivateKey) *big.Int {
	h := sha512.Sum512(key.Seed())
	h[0] &= 248
	h[31] = h[31]&127 | 64
	return littleEndian(h[:32])
}

func littleEndian(b []byte) *big.Int {
	b = slices.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}
