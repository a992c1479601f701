//go:build pkcs11 && cgo

package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strconv"
	"strings"

	p11 "github.com/miekg/pkcs11"

	"github.com/conmotion/conmotion/keys"
)

// PKCS #11 3.0 sections 2.3.4 and 2.3.14, which the module for Go does not have.
const (
	ckkECEdwards = 0x40
	ckmEdDSA     = 0x1057
)

type session struct {
	lib     *p11.Ctx
	handle  p11.SessionHandle
	private p11.ObjectHandle
	public  crypto.PublicKey
	key     *key
	refused error // the PIN was wrong: a token that is asked with it again and again locks itself
}

// Open logs in to the token and finds the key. The session is held until the context
// ends; when the token takes it away, the key is opened again.
func Open(ctx context.Context, uri string) (keys.Remote, error) {
	k, err := parse(uri)
	if err != nil {
		return nil, err
	}
	path, err := k.library()
	if err != nil {
		return nil, err
	}
	lib := p11.New(path)
	if lib == nil {
		return nil, fmt.Errorf("%s: %s is not a PKCS #11 library", uri, path)
	}
	if err := lib.Initialize(); err != nil && !errors.Is(err, p11.Error(p11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		lib.Destroy()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &session{lib: lib, key: k}, nil
}

// Public implements [keys.Remote].
func (s *session) Public(ctx context.Context) (crypto.PublicKey, error) {
	if s.public != nil {
		return s.public, nil
	}
	err := s.login(ctx)
	return s.public, err
}

// Sign implements [keys.Remote]. The C library knows no deadline: whoever waits for
// the program that calls this ends the program.
func (s *session) Sign(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	if s.public == nil {
		if err := s.login(ctx); err != nil {
			return nil, err
		}
	}
	mechanism := uint(p11.CKM_ECDSA)
	if _, edwards := s.public.(ed25519.PublicKey); edwards {
		mechanism = ckmEdDSA
	}
	if (mechanism == ckmEdDSA) != (hash == 0) {
		return nil, fmt.Errorf("the key does not sign with %v; %w", hash, keys.ErrFinal)
	}
	err := s.lib.SignInit(s.handle, []*p11.Mechanism{p11.NewMechanism(mechanism, nil)}, s.private)
	var signature []byte
	if err == nil {
		signature, err = s.lib.Sign(s.handle, digest)
	}
	if err != nil {
		s.public = nil // a session that was lost is opened again
		_ = s.lib.CloseSession(s.handle)
		return nil, err
	}
	if mechanism == ckmEdDSA {
		return signature, nil
	}
	// PKCS #11 section 2.3.1: an ECDSA signature is r and s, of the same length.
	half := len(signature) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])})
}

func (s *session) login(ctx context.Context) (err error) {
	if s.refused != nil {
		return s.refused
	}
	slot, err := s.slot()
	if err != nil {
		return err
	}
	pin, err := s.key.pin(ctx)
	if err != nil {
		return err
	}
	if s.handle, err = s.lib.OpenSession(slot, p11.CKF_SERIAL_SESSION); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.lib.CloseSession(s.handle)
		}
	}()
	if err := s.lib.Login(s.handle, p11.CKU_USER, pin); err != nil && !errors.Is(err, p11.Error(p11.CKR_USER_ALREADY_LOGGED_IN)) {
		if errors.Is(err, p11.Error(p11.CKR_PIN_INCORRECT)) || errors.Is(err, p11.Error(p11.CKR_PIN_LOCKED)) {
			s.refused = fmt.Errorf("the token refuses the PIN: %w; %w", err, keys.ErrFinal)
			return s.refused
		}
		return fmt.Errorf("log in to the token: %w", err)
	}
	if s.private, err = s.object(p11.CKO_PRIVATE_KEY); err != nil {
		return err
	}
	public, err := s.object(p11.CKO_PUBLIC_KEY)
	if err != nil {
		return err
	}
	attributes, err := s.lib.GetAttributeValue(s.handle, public, []*p11.Attribute{
		p11.NewAttribute(p11.CKA_KEY_TYPE, nil), p11.NewAttribute(p11.CKA_EC_PARAMS, nil), p11.NewAttribute(p11.CKA_EC_POINT, nil)})
	if err != nil {
		return fmt.Errorf("the public key: %w", err)
	}
	s.public, err = publicKey(attributes[0].Value, attributes[1].Value, attributes[2].Value)
	return err
}

// slot is the one with the token that the URI describes.
func (s *session) slot() (uint, error) {
	slots, err := s.lib.GetSlotList(true)
	if err != nil {
		return 0, err
	}
	var found []uint
	for _, slot := range slots {
		info, err := s.lib.GetTokenInfo(slot)
		if err != nil {
			continue
		}
		fits := s.key.slot == "" || s.key.slot == strconv.FormatUint(uint64(slot), 10)
		for want, is := range map[*string]string{&s.key.token: info.Label, &s.key.serial: info.SerialNumber, &s.key.manufacturer: info.ManufacturerID} {
			fits = fits && (*want == "" || *want == strings.TrimRight(is, " \x00"))
		}
		if fits {
			found = append(found, slot)
		}
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("%s: %d tokens fit it, of %d", s.key.uri, len(found), len(slots))
	}
	return found[0], nil
}

func (s *session) object(class uint) (p11.ObjectHandle, error) {
	template := []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, class)}
	if s.key.object != "" {
		template = append(template, p11.NewAttribute(p11.CKA_LABEL, s.key.object))
	}
	if s.key.id != "" {
		template = append(template, p11.NewAttribute(p11.CKA_ID, []byte(s.key.id)))
	}
	if err := s.lib.FindObjectsInit(s.handle, template); err != nil {
		return 0, err
	}
	found, _, err := s.lib.FindObjects(s.handle, 2)
	if err = errors.Join(err, s.lib.FindObjectsFinal(s.handle)); err != nil {
		return 0, err
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("%s: %d objects of the class %d fit it, and both halves of the key must be there once", s.key.uri, len(found), class)
	}
	return found[0], nil
}

// publicKey reads CKA_EC_POINT. PKCS #11 section 2.3.3: "DER-encoding of ANSI X9.62
// ECPoint value Q"; some tokens give the bytes of an Edwards key as they are.
func publicKey(kind, parameters, point []byte) (crypto.PublicKey, error) {
	var raw []byte
	if rest, err := asn1.Unmarshal(point, &raw); err != nil || len(rest) > 0 {
		raw = point
	}
	if isUint(kind, ckkECEdwards) {
		if len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("an Edwards key of %d bytes, and Ed25519 has %d; %w", len(raw), ed25519.PublicKeySize, keys.ErrFinal)
		}
		return ed25519.PublicKey(raw), nil
	}
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(parameters, &oid); err != nil || !isUint(kind, p11.CKK_EC) {
		return nil, fmt.Errorf("the key is neither ECDSA on a named curve nor Ed25519; %w", keys.ErrFinal)
	}
	curve, ok := map[string]elliptic.Curve{"1.2.840.10045.3.1.7": elliptic.P256(), "1.3.132.0.34": elliptic.P384(), "1.3.132.0.35": elliptic.P521()}[oid.String()]
	if !ok {
		return nil, fmt.Errorf("a key on the curve %v; there are P-256, P-384 and P-521; %w", oid, keys.ErrFinal)
	}
	return ecdsa.ParseUncompressedPublicKey(curve, raw)
}

// isUint compares a CK_ULONG, which has the machine's order and length.
func isUint(value []byte, n uint) bool {
	return string(value) == string(p11.NewAttribute(0, n).Value)
}

// library is the path of the token's C library.
func (k *key) library() (string, error) {
	for _, path := range []string{k.module, os.Getenv(moduleVariable)} {
		if path != "" {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: the library of the token is in module-path=PATH of the URI, or in %s", k.uri, moduleVariable)
}
