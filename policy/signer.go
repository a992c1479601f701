package policy

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// signer is who a policy found to have signed a statement, before the
// signature is checked.
type signer struct {
	key  crypto.PublicKey
	path *did.Path // nil unless certificates vouch for the key
}

// didKey is the key that a did:jwk or did:key carries.
type didKey struct {
	scitt.Key
	err error
}

// selfCertified returns the key in a did:jwk or did:key, named by its RFC 9679
// thumbprint.
func selfCertified(issuer string) (scitt.Key, error) {
	public, err := did.Key(issuer)
	if err != nil {
		return scitt.Key{}, err
	}
	return scitt.NewKey(public)
}

func (p *Policy) selfCertified(issuer string) (scitt.Key, error) {
	if k, ok := p.dids.get(issuer); ok {
		return k.Key, k.err
	}
	var k didKey
	if k.Key, k.err = selfCertified(issuer); len(issuer) <= maxCachedDID {
		p.dids.put(strings.Clone(issuer), k)
	}
	return k.Key, k.err
}

// grantFor finds the entry of "issuers" that speaks of an issuer: the one that
// names it exactly, else the first whose pattern fits. Without "issuers" every
// issuer that the trust anchors resolve may sign anything.
func (p *Policy) grantFor(issuer string) (*grant, bool) {
	if p.issuers == nil {
		return &anyone, true
	}
	if g, ok := p.exact[issuer]; ok {
		return g, true
	}
	for _, g := range p.patterns {
		if match(g.issuer, issuer) {
			return g, true
		}
	}
	return nil, false
}

var anyone = grant{issuer: "*"}

// signer resolves the key that must have signed the statement, for an issuer
// with this grant. The error is for the issuer to read.
func (p *Policy) signer(s *scitt.Statement, g *grant) (signer, error) {
	switch m := did.Method(s.Issuer); m {
	case did.MethodJWK, did.MethodKey:
		if g.issuer != s.Issuer && !slices.Contains(p.methods, m) {
			return signer{}, fmt.Errorf("the policy does not trust %s issuers (trust_anchors.self_certifying)", m)
		}
		key, err := p.selfCertified(s.Issuer)
		if err != nil {
			return signer{}, err
		}
		if s.KeyID != nil && !bytesEqual(s.KeyID, key.ID) {
			return signer{}, fmt.Errorf("%w: the kid is %s, and the COSE Key Thumbprint (RFC 9679) of the key in the issuer is %s",
				scitt.ErrUnknownKey, showKid(s.KeyID), showKid(key.ID))
		}
		return signer{key: key.Public}, nil
	case "":
		for _, k := range g.keys {
			if k.answersTo(s.KeyID) {
				return signer{key: k.public}, nil
			}
		}
	}
	if s.X5Chain == nil && s.X5T == nil {
		if did.Method(s.Issuer) == did.MethodX509 {
			return signer{}, errors.New("a did:x509 issuer needs x5chain (33) in the protected header")
		}
		return signer{}, fmt.Errorf("%w: the policy has no key with kid %s for this issuer", scitt.ErrUnknownKey, showKid(s.KeyID))
	}
	path, err := p.certified(s, g)
	if err != nil {
		return signer{}, fmt.Errorf("%w: %w", scitt.ErrUnknownKey, err)
	}
	return signer{path.Leaf().PublicKey, path}, nil
}

func showKid(kid []byte) string {
	if len(kid) > 64 {
		return fmt.Sprintf("of %d bytes", len(kid))
	}
	return base64.RawURLEncoding.EncodeToString(kid)
}

// certified finds the certification path that vouches for the statement's key.
//
// Validity is judged at the statement's iat: the issuer signed it and every
// later reader finds it in the log. The wall clock would give a replay another
// answer than the service gave.
func (p *Policy) certified(s *scitt.Statement, g *grant) (*did.Path, error) {
	chain, err := p.chainOf(s)
	if err != nil {
		return nil, err
	}
	if s.IssuedAt == 0 {
		return nil, errors.New("a statement with x5chain or x5t needs the CWT claim iat (6): certificates are judged at that time")
	}
	found := p.paths(chain)
	if found.err != nil {
		return nil, found.err
	}
	var anchored []*did.Path
	for _, path := range found.anchored {
		if path.ValidAt(s.IssuedAt) {
			anchored = append(anchored, path)
		}
	}
	if own := found.own; !own.ValidAt(s.IssuedAt) {
		return nil, fmt.Errorf("x5chain is valid from %s to %s, and iat is %s", showTime(own.From), showTime(own.To), showTime(s.IssuedAt))
	}
	if did.Method(s.Issuer) == did.MethodX509 {
		self, err := did.ParseX509(s.Issuer)
		if err != nil {
			return nil, err
		}
		// The DID pins its own CA. It is enough where the policy names the
		// DID, or trusts the method; else the CA must be below a root.
		if g.issuer == s.Issuer || slices.Contains(p.methods, did.MethodX509) {
			anchored = append(anchored, found.own)
		}
		return firstMatch(anchored, self)
	}
	if g.pins != nil {
		anchored = append(anchored, found.own)
		var last error
		for _, pin := range g.pins {
			var path *did.Path
			if path, last = firstMatch(anchored, pin); last == nil {
				return path, nil
			}
		}
		return nil, fmt.Errorf("the certificates are none of those that the policy has for this issuer: %w", last)
	}
	if len(anchored) == 0 {
		return nil, errNotAnchored
	}
	if !did.IssuedTo(anchored[0].Leaf(), s.Issuer) {
		return nil, fmt.Errorf("the signer's certificate was not issued to this issuer: no Subject Alternative Name says so (a URI equal to iss, the DNS name of an https iss, or an email address)")
	}
	return anchored[0], nil
}

// chainPaths are the certification paths that an x5chain gives under a policy,
// without regard to time.
type chainPaths struct {
	own      *did.Path   // x5chain by itself, its last certificate as the trust anchor
	anchored []*did.Path // x5chain up to a root of the policy
	err      error       // why there is no path at all
}

// paths validates an x5chain. The result depends on nothing but the chain and
// the policy, not on the time: that is for [did.Path.ValidAt].
func (p *Policy) paths(chain [][]byte) *chainPaths {
	h := sha256.New()
	for _, der := range chain {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(der))))
		h.Write(der)
	}
	key := [sha256.Size]byte(h.Sum(nil))
	if c, ok := p.chains.get(key); ok {
		return c
	}
	c := p.buildPaths(chain)
	p.chains.put(key, c)
	return c
}

func (p *Policy) buildPaths(chain [][]byte) *chainPaths {
	certs, err := did.ParseChain(chain)
	if err != nil {
		return &chainPaths{err: err}
	}
	own, err := did.ValidatePath(certs)
	if err != nil {
		return &chainPaths{err: err}
	}
	out := &chainPaths{own: own}
	last := certs[len(certs)-1]
	for _, root := range p.roots {
		if root.Equal(last) {
			out.anchored = append(out.anchored, own)
		} else if path, err := did.ValidatePath(append(slices.Clip(certs), root)); err == nil {
			out.anchored = append(out.anchored, path)
		}
	}
	return out
}

var errNotAnchored = errors.New("x5chain leads to none of the policy's roots (trust_anchors.x509_roots) that is valid at iat")

func firstMatch(paths []*did.Path, pin *did.X509) (*did.Path, error) {
	err := errNotAnchored
	for _, path := range paths {
		if err = pin.Match(path.Certs); err == nil {
			return path, nil
		}
	}
	return nil, err
}

func showTime(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// chainOf is the statement's x5chain, or the chain that the policy knows by
// the statement's x5t.
func (p *Policy) chainOf(s *scitt.Statement) ([][]byte, error) {
	chain := s.X5Chain
	if s.X5T == nil {
		return chain, nil
	}
	if s.X5T.Algorithm != -16 || len(s.X5T.Digest) != sha256.Size { // RFC 9054: SHA-256
		return nil, errors.New("x5t (34) is not [-16, SHA-256]")
	}
	digest := [sha256.Size]byte(s.X5T.Digest)
	if chain == nil {
		if chain = p.known[digest]; chain == nil {
			return nil, errors.New("the policy has no certificate with this x5t (trust_anchors.x509_certificates); send x5chain (33)")
		}
	} else if sha256.Sum256(chain[0]) != digest {
		return nil, errors.New("x5t (34) is not the thumbprint of the first certificate of x5chain (33)")
	}
	return chain, nil
}
