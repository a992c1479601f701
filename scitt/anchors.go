package scitt

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// Anchors are what somebody trusts to name the keys of issuers: a Registration
// Policy, or a Relying Party by its flags. They answer for all of them who may
// have signed a statement, read no clock, and are safe for concurrent use.
type Anchors struct {
	methods      []string
	roots        []*x509.Certificate
	certificates map[[sha256.Size]byte][][]byte

	// Both caches hold pure functions of their key and the fields above.
	dids   cache[string, didKey]
	chains cache[[sha256.Size]byte, *chain]
}

// The caches' generations: at most twice as many entries are kept.
const (
	cachedDIDs   = 1024 // of at most maxCachedDID bytes each
	cachedChains = 128  // of at most did.MaxChain certificates each
	maxCachedDID = 1024
)

// NewAnchors returns the anchors of somebody who trusts issuers of these
// self-certifying DID methods, such as did.MethodJWK, and the CAs below these
// roots. certificates are x5chains by the SHA-256 of their first certificate,
// for statements with x5t alone.
func NewAnchors(methods []string, roots []*x509.Certificate, certificates map[[sha256.Size]byte][][]byte) *Anchors {
	a := &Anchors{methods: methods, roots: roots, certificates: certificates}
	a.dids.size, a.chains.size = cachedDIDs, cachedChains
	return a
}

// SelfCertifying are the anchors of a Relying Party, who trusts every did:jwk
// and did:key to be what it says, and the CAs below these roots.
func SelfCertifying(roots []*x509.Certificate, certificates map[[sha256.Size]byte][][]byte) *Anchors {
	return NewAnchors([]string{did.MethodJWK, did.MethodKey}, roots, certificates)
}

// Known is what is known about one issuer beside its name.
type Known struct {
	// Keys may sign as the issuer. One without an ID is the issuer's whatever
	// the kid; that of an issuer with a DID must be the DID's.
	Keys []Key
	// Pins are the certificates that the issuer may sign with.
	Pins []*did.X509
	// Named says that this very DID is trusted, whatever its method.
	Named bool
}

// The sources of a signer's key beside the DID methods.
const (
	SourceGiven   = "given"
	SourceX5Chain = "x5chain"
)

// Signer is who must have signed a statement.
type Signer struct {
	Public crypto.PublicKey
	Path   *did.Path // nil unless certificates vouch for the key
	// Source is where the key is from: "given", "did:jwk", "did:key" or
	// "x5chain"; with an error what contradicts the statement, and "" when
	// there is nothing to hold it to.
	Source string
}

// Signer returns who must have signed the statement. The error says why
// nobody can have, for the issuer to read.
//
// Each identifier of the protected header must name the key: RFC 9943 section
// 5.1.1.1: "If the protected header includes multiple identifiers, all those
// that are registered by the Transparency Service MUST be checked." One that
// cannot be checked here is not admitted beside one that can.
func (a *Anchors) Signer(s *Statement, known Known) (Signer, error) {
	key, out, err := a.resolve(s, known)
	if err != nil {
		return out, err
	}
	out.Public = key.Public
	if out.Path != nil {
		return out, kidNames(s, out.Path.Leaf())
	}
	checked, err := a.besides(s, key)
	if !checked {
		out.Source = ""
	}
	return out, err
}

// besides holds what stands beside kid, or beside an issuer whose key is known,
// to the key: x5t, x5chain and the algorithm. A kid by which the key is not
// known must name the certificate. checked is false when there is nothing to
// hold x5t to.
func (a *Anchors) besides(s *Statement, key Key) (checked bool, err error) {
	if !key.Allows(s.Algorithm) {
		return true, fmt.Errorf("%w: the key is for %s and the statement is signed with %s", ErrUnknownKey, AlgorithmName(key.Algorithm), AlgorithmName(s.Algorithm))
	}
	if s.X5Chain == nil && s.X5T == nil {
		return true, nil
	}
	c, err := a.chainOf(s)
	if err == nil && !pubkey.Equal(c.certs[0].PublicKey, key.Public) {
		err = errors.New("the certificate in x5chain (33), or of x5t (34), is for another key than the kid or the issuer")
	}
	if err == nil && key.ID == nil {
		return true, kidNames(s, c.certs[0])
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	return c != nil, err
}

// kidNames holds a kid that stands beside x5chain or x5t to the certificate's
// key.
func kidNames(s *Statement, leaf *x509.Certificate) error {
	if s.KeyID == nil || bytes.Equal(s.KeyID, leaf.SubjectKeyId) {
		return nil
	}
	thumbprint, err := Thumbprint(leaf.PublicKey)
	if err == nil && !bytes.Equal(s.KeyID, thumbprint) {
		err = fmt.Errorf("%w: the kid %s is neither the COSE Key Thumbprint (RFC 9679) of the key in the signer's certificate, %s, nor its subject key identifier",
			ErrUnknownKey, showKid(s.KeyID), showKid(thumbprint))
	}
	return err
}

// Verify is Signer, and the statement's signature. A signature that the issuer's
// key did not make is wrong, whatever else there is nothing to hold to.
func (a *Anchors) Verify(s *Statement, known Known) (Signer, error) {
	by, err := a.Signer(s, known)
	if err == nil || by.Source == "" && by.Public != nil {
		if wrong := s.VerifySignature(by.Public); wrong != nil {
			by.Source, err = cmp.Or(by.Source, did.Method(s.Issuer), SourceGiven), wrong
		}
	}
	return by, err
}

// Verifier returns a function that verifies statements, with the keys of some
// issuers given beside the anchors. Its error wraps ErrUnchecked where there is
// nothing to hold a statement to. It is safe for concurrent use.
func (a *Anchors) Verifier(given map[string]Key) func(*Statement) error {
	return func(s *Statement) error {
		var known Known
		if k, ok := given[s.Issuer]; ok {
			known = Given(k)
		}
		by, err := a.Verify(s, known)
		if err != nil && by.Source == "" {
			return fmt.Errorf("%w: %w", ErrUnchecked, err)
		}
		return err
	}
}

// Given is what somebody knows who was given an issuer's key: whatever the kid,
// no other key is the issuer's.
func Given(k Key) Known {
	return Known{Keys: []Key{{Public: k.Public, Algorithm: k.Algorithm}}}
}

func (a *Anchors) resolve(s *Statement, known Known) (Key, Signer, error) {
	method := did.Method(s.Issuer)
	if method == did.MethodJWK || method == did.MethodKey {
		key, err := a.selfCertified(s, method, known)
		return key, Signer{Source: method}, err
	}
	if method == "" {
		for _, k := range known.Keys {
			if k.ID == nil || bytes.Equal(k.ID, s.KeyID) && s.KeyID != nil {
				return k, Signer{Source: SourceGiven}, nil
			}
		}
	}
	out := Signer{Source: SourceX5Chain}
	if s.X5Chain == nil && s.X5T == nil {
		if method == did.MethodX509 {
			return Key{}, out, fmt.Errorf("%w: a did:x509 issuer needs x5chain (33) in the protected header", ErrUnknownKey)
		}
		out.Source = ""
		return Key{}, out, fmt.Errorf("%w: the issuer %.120q is not a did:jwk or did:key, and no key with kid %s is known for it; give its key, or trusted roots for its x5chain", ErrUnknownKey, s.Issuer, showKid(s.KeyID))
	}
	own := a.ownAnchor(method, known)
	if len(a.roots) == 0 && !own {
		out.Source = ""
		return Key{}, out, fmt.Errorf("%w: nothing is known of the issuer %.120q; give its key, or trusted roots for its x5chain", ErrUnknownKey, s.Issuer)
	}
	pins := known.Pins
	if method == did.MethodX509 {
		self, err := did.ParseX509(s.Issuer)
		if err != nil {
			return Key{}, out, err
		}
		pins = []*did.X509{self}
	}
	path, err := a.certified(s, own, func(path *did.Path) error { return speaksFor(path, s.Issuer, pins) })
	if err != nil {
		return Key{}, out, fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	key := Key{Public: path.Leaf().PublicKey}
	if method == did.MethodX509 && len(known.Keys) > 0 && !isOneOf(known.Keys, key.Public) {
		return Key{}, out, fmt.Errorf("%w: the issuer is a did:x509, and the given key is not that of the signer's certificate", ErrUnknownKey)
	}
	out.Path = path
	return key, out, nil
}

func isOneOf(keys []Key, public crypto.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k Key) bool { return pubkey.Equal(k.Public, public) })
}

// didKey is the key that a did:jwk or did:key carries, named by its RFC 9679
// thumbprint.
type didKey struct {
	Key
	err error
}

// KeyOf returns the key in a did:jwk or did:key, named by its RFC 9679
// thumbprint.
func KeyOf(issuer string) (Key, error) {
	k, err := did.Key(issuer)
	if err != nil {
		return Key{}, err
	}
	k.ID, err = Thumbprint(k.Public)
	return Key(k), err
}

func (a *Anchors) selfCertified(s *Statement, method string, known Known) (Key, error) {
	if !known.Named && len(known.Keys) == 0 && !slices.Contains(a.methods, method) {
		return Key{}, fmt.Errorf("%w: %s issuers are not trusted (trust_anchors.self_certifying of a policy)", ErrUnknownKey, method)
	}
	k, ok := a.dids.get(s.Issuer)
	if !ok {
		if k.Key, k.err = KeyOf(s.Issuer); len(s.Issuer) <= maxCachedDID {
			a.dids.put(strings.Clone(s.Issuer), k)
		}
	}
	if k.err != nil {
		return Key{}, k.err
	}
	if len(known.Keys) > 0 && !isOneOf(known.Keys, k.Public) {
		return Key{}, fmt.Errorf("%w: the issuer is a %s of another key than the given one", ErrUnknownKey, method)
	}
	if s.KeyID != nil && !bytes.Equal(s.KeyID, k.ID) {
		return Key{}, fmt.Errorf("%w: the kid is %s, and the COSE Key Thumbprint (RFC 9679) of the %s's key is %s",
			ErrUnknownKey, showKid(s.KeyID), method, showKid(k.ID))
	}
	return k.Key, nil
}

func showKid(kid []byte) string {
	if len(kid) > 64 {
		return fmt.Sprintf("of %d bytes", len(kid))
	}
	return pubkey.EncodeBase64(kid)
}

// ownAnchor reports whether the last certificate of the issuer's x5chain is
// trusted as it stands: the DID pins its own CA. That is enough where the DID
// is named, or its method trusted; else the CA must be below a root.
func (a *Anchors) ownAnchor(method string, known Known) bool {
	if method == did.MethodX509 {
		return known.Named || len(known.Keys) > 0 || slices.Contains(a.methods, method)
	}
	return known.Pins != nil
}
