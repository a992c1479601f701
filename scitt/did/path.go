package did

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// MaxChain is how many certificates an x5chain may hold: each costs a
// signature verification, of P-384 about a millisecond. The root, where it is
// trusted, may be left out.
const MaxChain = 4

// Path is a certification path, the signer's certificate first and its trust
// anchor last. Nothing but Validate does arithmetic with its keys.
type Path struct {
	Certs    []*x509.Certificate
	From, To int64 // when all of them are valid, in seconds since 1970; not before 1970
	validate func() error
}

// Leaf is the signer's certificate.
func (p *Path) Leaf() *x509.Certificate { return p.Certs[0] }

// ValidAt reports whether all certificates are valid at this time, in seconds
// since 1970.
func (p *Path) ValidAt(iat int64) bool { return p.From <= iat && iat <= p.To }

// ParseChain reads the DER certificates of an x5chain. It bounds what
// validation can cost: at most MaxChain certificates, keys of bounded size, and
// no two with one subject, between which a path could branch.
func ParseChain(chain [][]byte) ([]*x509.Certificate, error) {
	if len(chain) > MaxChain {
		return nil, pubkey.Malformed("x5chain has %d certificates and %d are allowed", len(chain), MaxChain)
	}
	var certs []*x509.Certificate
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		switch {
		case err != nil:
			return nil, pubkey.Malformed("certificate %d of x5chain: %w", i+1, err)
		case slices.ContainsFunc(certs, func(other *x509.Certificate) bool { return string(other.RawSubject) == string(c.RawSubject) }):
			return nil, pubkey.Malformed("certificate %d of x5chain has the subject of another one", i+1)
		default:
			err = CheckKey(c)
		}
		if err != nil {
			return nil, fmt.Errorf("certificate %d of x5chain: %w", i+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, pubkey.Malformed("x5chain is empty")
	}
	if u := certs[0].KeyUsage; u != 0 && u&x509.KeyUsageDigitalSignature == 0 {
		return nil, pubkey.Malformed("x5chain: the key usage of the signer's certificate does not allow digital signatures")
	}
	return certs, nil
}

// CheckKey holds the key of a certificate to what a path may use. P-521 is left
// out: a verification with it costs twenty times one with P-256.
func CheckKey(c *x509.Certificate) error {
	if k, ok := c.PublicKey.(*ecdsa.PublicKey); ok && k.Curve == elliptic.P521() {
		return fmt.Errorf("%w: a certificate's key on curve P-521", pubkey.ErrAlgorithm)
	}
	return pubkey.Check(c.PublicKey)
}

// NewPath returns the path of exactly these certificates, its signatures not
// verified. trusted says that the last one is trusted by itself, and not only
// through what the others say of it.
func NewPath(certs []*x509.Certificate, trusted bool) *Path {
	// From is never the zero time, in the year 1, which crypto/x509 takes for
	// now: what is valid must not depend on the clock.
	p := &Path{Certs: certs, From: 1, To: certs[0].NotAfter.Unix()}
	for _, c := range certs {
		p.From, p.To = max(p.From, c.NotBefore.Unix()), min(p.To, c.NotAfter.Unix())
	}
	p.validate = sync.OnceValue(func() error { return validate(certs, p.From, p.To, trusted) })
	return p
}

// Validate does RFC 5280 section 6 path validation of exactly this path, its
// last certificate as the trust anchor, at a time when all are valid. It is
// done once. Errors say what does not fit and wrap nothing.
//
// RFC 9360 section 2: x5chain is ordered, "starting with the certificate
// containing the end-entity key followed by the certificate that signed it,
// and so on".
func (p *Path) Validate() error { return p.validate() }

func validate(certs []*x509.Certificate, from, to int64, trusted bool) error {
	if from > to {
		return errors.New("there is no time at which all certificates of x5chain are valid")
	}
	last := len(certs) - 1
	if trusted && last > 0 {
		// The anchor's own key first: most strangers' chains end here.
		if err := certs[last-1].CheckSignatureFrom(certs[last]); err != nil {
			return fmt.Errorf("x5chain: each certificate must be followed by the one that signed it (RFC 9360): %w", err)
		}
	}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(certs[last])
	for _, c := range certs[min(1, last):last] {
		middle.AddCert(c)
	}
	found, err := certs[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: middle,
		CurrentTime:   time.Unix(from, 0),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("x5chain: %w", err)
	}
	same := func(chain []*x509.Certificate) bool {
		return slices.EqualFunc(chain, certs, func(a, b *x509.Certificate) bool { return a.Equal(b) })
	}
	if !slices.ContainsFunc(found, same) {
		return errors.New("x5chain: each certificate must be followed by the one that signed it (RFC 9360)")
	}
	return nil
}
