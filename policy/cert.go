package policy

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxChain is how many certificates an x5chain may hold: each costs a
// signature verification.
const maxChain = 8

// certPath is a validated certification path, the signer's certificate first.
// It is what certificate facts and did:x509 speak of, so that nothing in
// x5chain that was not verified can be taken for verified.
type certPath struct {
	certs    []*x509.Certificate
	from, to int64 // when all of them are valid, in seconds since 1970
}

func (p *certPath) leaf() *x509.Certificate { return p.certs[0] }

func (p *certPath) validAt(iat int64) bool { return p.from <= iat && iat <= p.to }

// chainPaths are the certification paths that an x5chain gives under a policy,
// without regard to time.
type chainPaths struct {
	own      *certPath   // x5chain by itself, its last certificate as the trust anchor
	anchored []*certPath // x5chain up to a root of the policy
	err      error       // why there is no path at all
}

// paths validates an x5chain. The result depends on nothing but the chain and
// the policy, not on the time: that is for certPath.validAt.
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
	if len(chain) > maxChain {
		return &chainPaths{err: fmt.Errorf("x5chain has %d certificates and %d are allowed", len(chain), maxChain)}
	}
	var certs []*x509.Certificate
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return &chainPaths{err: fmt.Errorf("certificate %d of x5chain: %w", i+1, err)}
		}
		certs = append(certs, c)
	}
	own, err := validate(certs)
	if err != nil {
		return &chainPaths{err: err}
	}
	out := &chainPaths{own: own}
	last := certs[len(certs)-1]
	for _, root := range p.roots {
		if root.Equal(last) {
			out.anchored = append(out.anchored, own)
		} else if path, err := validate(append(slices.Clip(certs), root)); err == nil {
			out.anchored = append(out.anchored, path)
		}
	}
	return out
}

// validate does RFC 5280 section 6 path validation of exactly this path, its
// last certificate as the trust anchor, at a time when all are valid.
//
// RFC 9360 section 2: x5chain is ordered, "starting with the certificate
// containing the end-entity key followed by the certificate that signed it,
// and so on".
func validate(certs []*x509.Certificate) (*certPath, error) {
	path := &certPath{certs: certs, from: certs[0].NotBefore.Unix(), to: certs[0].NotAfter.Unix()}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	for i, c := range certs {
		path.from, path.to = max(path.from, c.NotBefore.Unix()), min(path.to, c.NotAfter.Unix())
		if i == len(certs)-1 {
			roots.AddCert(c)
		} else if i > 0 {
			middle.AddCert(c)
		}
	}
	if path.from > path.to {
		return nil, errors.New("there is no time at which all certificates of x5chain are valid")
	}
	found, err := certs[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: middle,
		CurrentTime:   time.Unix(path.from, 0),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("x5chain: %w", err)
	}
	same := func(chain []*x509.Certificate) bool {
		return slices.EqualFunc(chain, certs, func(a, b *x509.Certificate) bool { return a.Equal(b) })
	}
	if !slices.ContainsFunc(found, same) {
		return nil, errors.New("x5chain: each certificate must be followed by the one that signed it (RFC 9360)")
	}
	if u := certs[0].KeyUsage; u != 0 && u&x509.KeyUsageDigitalSignature == 0 {
		return nil, errors.New("x5chain: the key usage of the signer's certificate does not allow digital signatures")
	}
	return path, nil
}

// IssuedTo says whether a certificate was issued to this issuer: the issuer is
// one of its URI, DNS or email SANs, or an https URL at one of its DNS SANs.
func IssuedTo(c *x509.Certificate, issuer string) bool {
	san, err := sansOf(c)
	if err != nil {
		return false
	}
	if slices.Contains(san.uri, issuer) || slices.Contains(san.email, strings.TrimPrefix(issuer, "mailto:")) {
		return true
	}
	host := issuer
	if u, err := url.Parse(issuer); err == nil && u.Scheme == "https" {
		host = u.Hostname()
	}
	return slices.ContainsFunc(san.dns, func(dns string) bool { return strings.EqualFold(dns, host) })
}

// sans are the Subject Alternative Names of a certificate, as they were
// certified. crypto/x509 would normalise URIs.
type sans struct{ email, dns, uri []string }

var oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}

// sansOf reads the names of RFC 5280 section 4.2.1.6 that rules can use:
// rfc822Name [1], dNSName [2] and uniformResourceIdentifier [6].
func sansOf(c *x509.Certificate) (sans, error) {
	var out sans
	for _, ext := range c.Extensions {
		if !ext.Id.Equal(oidSAN) {
			continue
		}
		var seq asn1.RawValue
		if _, err := asn1.Unmarshal(ext.Value, &seq); err != nil {
			return sans{}, fmt.Errorf("subject alternative name: %w", err)
		}
		for rest := seq.Bytes; len(rest) > 0; {
			var v asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &v); err != nil {
				return sans{}, fmt.Errorf("subject alternative name: %w", err)
			}
			if v.Class != asn1.ClassContextSpecific {
				continue
			}
			switch v.Tag {
			case 1:
				out.email = append(out.email, string(v.Bytes))
			case 2:
				out.dns = append(out.dns, string(v.Bytes))
			case 6:
				out.uri = append(out.uri, string(v.Bytes))
			}
		}
	}
	return out, nil
}

// ekusOf are the Extended Key Usages of a certificate as dotted OIDs.
func ekusOf(c *x509.Certificate) []string {
	var out []string
	for _, ext := range c.Extensions {
		var oids []asn1.ObjectIdentifier
		if !ext.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37}) {
			continue
		}
		if _, err := asn1.Unmarshal(ext.Value, &oids); err != nil {
			return nil // crypto/x509 has refused such a certificate already
		}
		for _, oid := range oids {
			out = append(out, oid.String())
		}
	}
	return out
}
