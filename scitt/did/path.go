package did

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// MaxChain is how many certificates an x5chain may hold: each costs a
// signature verification.
const MaxChain = 8

// Path is a validated certification path, the signer's certificate first. It
// is what certificate facts and did:x509 speak of, so that nothing in x5chain
// that was not verified can be taken for verified.
type Path struct {
	Certs    []*x509.Certificate
	From, To int64 // when all of them are valid, in seconds since 1970
}

// Leaf is the signer's certificate.
func (p *Path) Leaf() *x509.Certificate { return p.Certs[0] }

// ValidAt reports whether all certificates are valid at this time, in seconds
// since 1970.
func (p *Path) ValidAt(iat int64) bool { return p.From <= iat && iat <= p.To }

// ParseChain reads the DER certificates of an x5chain, at most MaxChain.
func ParseChain(chain [][]byte) ([]*x509.Certificate, error) {
	if len(chain) > MaxChain {
		return nil, pubkey.Malformed("x5chain has %d certificates and %d are allowed", len(chain), MaxChain)
	}
	var certs []*x509.Certificate
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, pubkey.Malformed("certificate %d of x5chain: %w", i+1, err)
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// ValidatePath does RFC 5280 section 6 path validation of exactly this path, its
// last certificate as the trust anchor, at a time when all are valid. Errors say
// what does not fit and wrap nothing.
//
// RFC 9360 section 2: x5chain is ordered, "starting with the certificate
// containing the end-entity key followed by the certificate that signed it,
// and so on".
func ValidatePath(certs []*x509.Certificate) (*Path, error) {
	path := &Path{Certs: certs, From: certs[0].NotBefore.Unix(), To: certs[0].NotAfter.Unix()}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	for i, c := range certs {
		path.From, path.To = max(path.From, c.NotBefore.Unix()), min(path.To, c.NotAfter.Unix())
		if i == len(certs)-1 {
			roots.AddCert(c)
		} else if i > 0 {
			middle.AddCert(c)
		}
	}
	if path.From > path.To {
		return nil, errors.New("there is no time at which all certificates of x5chain are valid")
	}
	found, err := certs[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: middle,
		CurrentTime:   time.Unix(path.From, 0),
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
