package scitt

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt/did"
)

// chain is an x5chain and the certification paths that it may be, of which
// none has been validated.
type chain struct {
	certs    []*x509.Certificate
	own      *did.Path   // x5chain by itself, its last certificate as the trust anchor
	anchored []*did.Path // x5chain up to a root
	err      error       // why there is none
}

// chainOf returns the statement's x5chain, or the chain that is known by the
// statement's x5t; nil when x5t names no certificate that is known.
func (a *Anchors) chainOf(s *Statement) (*chain, error) {
	der := s.X5Chain
	if s.X5T != nil {
		if s.X5T.Name != "" || s.X5T.Algorithm != hashSHA256 || len(s.X5T.Digest) != sha256.Size {
			alg := fmt.Sprint(s.X5T.Algorithm)
			if s.X5T.Name != "" {
				alg = fmt.Sprintf("%.40q", s.X5T.Name)
			}
			return &chain{}, fmt.Errorf("%w: x5t (34) uses hash algorithm %s; use SHA-256 (-16)", ErrAlgorithm, alg)
		}
		digest := [sha256.Size]byte(s.X5T.Digest)
		if der == nil {
			if der = a.certificates[digest]; der == nil {
				return nil, errors.New("no certificate with this x5t is known (trust_anchors.x509_certificates of a policy); send x5chain (33)")
			}
		} else if sha256.Sum256(der[0]) != digest {
			return &chain{}, errors.New("x5t (34) is not the thumbprint of the first certificate of x5chain (33)")
		}
	}
	c := a.chain(der)
	return c, c.err
}

// chain reads an x5chain. The result depends on nothing but the chain and the
// anchors, not on the time: that is for [did.Path.ValidAt].
func (a *Anchors) chain(der [][]byte) *chain {
	if len(der) > did.MaxChain {
		_, err := did.ParseChain(der)
		return &chain{err: err}
	}
	h := sha256.New()
	for _, d := range der {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(d))))
		h.Write(d)
	}
	key := [sha256.Size]byte(h.Sum(nil))
	if c, ok := a.chains.get(key); ok {
		return c
	}
	c := &chain{}
	if c.certs, c.err = did.ParseChain(der); c.err == nil {
		c.own = did.NewPath(c.certs, false)
		last := c.certs[len(c.certs)-1]
		for _, root := range a.roots {
			switch {
			case root.Equal(last):
				c.anchored = append(c.anchored, did.NewPath(c.certs, true))
			case bytes.Equal(root.RawSubject, last.RawIssuer):
				c.anchored = append(c.anchored, did.NewPath(append(slices.Clip(c.certs), root), true))
			}
		}
	}
	a.chains.put(key, c)
	return c
}

var errNotAnchored = errors.New("x5chain leads to none of the trusted roots (trust_anchors.x509_roots of a policy) that is valid at iat")

// certified finds the certification path that vouches for the statement's
// key: to a root, or with its last certificate as its own anchor. What costs
// arithmetic comes last, and only for a path that speaks for the issuer.
//
// Validity is judged at the statement's iat: the issuer signed it and every
// later reader finds it in the log. The wall clock would give a replay another
// answer than the service gave.
func (a *Anchors) certified(s *Statement, own bool, speaks func(*did.Path) error) (*did.Path, error) {
	// Times before 1970 are refused: see did.NewPath.
	if s.IssuedAt <= 0 {
		return nil, malformed("a statement with x5chain or x5t needs the CWT claim iat (6): certificates are judged at that time")
	}
	c, err := a.chainOf(s)
	if err != nil {
		return nil, err
	}
	if !c.own.ValidAt(s.IssuedAt) {
		return nil, fmt.Errorf("x5chain is valid from %s to %s, and iat is %s", showTime(c.own.From), showTime(c.own.To), showTime(s.IssuedAt))
	}
	paths := slices.Clip(c.anchored)
	if own {
		paths = append([]*did.Path{c.own}, paths...)
	}
	err = errNotAnchored
	for _, path := range paths {
		if !path.ValidAt(s.IssuedAt) {
			continue
		}
		if err = speaks(path); err != nil {
			continue
		}
		if err = path.Validate(); err == nil {
			return path, nil
		}
		if path == c.own {
			break // x5chain is wrong in itself, whatever root is above it
		}
	}
	return nil, err
}

// Path returns the certification path from the statement's x5chain to one of
// the roots, validated at iat, whoever the issuer is.
func (a *Anchors) Path(s *Statement) (*did.Path, error) {
	path, err := a.certified(s, false, func(*did.Path) error { return nil })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	return path, nil
}

// speaksFor reports whether a path is that of a pin, or, where there is none,
// whether the certificate was issued to the issuer: else below one root
// everybody could sign as everybody.
func speaksFor(path *did.Path, issuer string, pins []*did.X509) (err error) {
	for _, pin := range pins {
		if err = pin.Match(path.Certs); err == nil {
			return nil
		}
	}
	if len(pins) > 0 {
		return fmt.Errorf("the certificates are none of those that the issuer may sign with: %w", err)
	}
	if !did.IssuedTo(path.Leaf(), issuer) {
		return errors.New("the signer's certificate was not issued to this issuer: no Subject Alternative Name says so (a URI equal to iss, the DNS name of an https iss, or an email address)")
	}
	return nil
}
