package did

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// IssuedTo reports whether a certificate was issued to this issuer: the issuer is
// one of its URI, DNS or email SANs, or an https URL at one of its DNS SANs.
func IssuedTo(c *x509.Certificate, issuer string) bool {
	san, err := NamesOf(c)
	if err != nil {
		return false
	}
	if slices.Contains(san.URI, issuer) || slices.Contains(san.Email, strings.TrimPrefix(issuer, "mailto:")) {
		return true
	}
	host := issuer
	if u, err := url.Parse(issuer); err == nil && u.Scheme == "https" {
		host = u.Hostname()
	}
	return slices.ContainsFunc(san.DNS, func(dns string) bool { return strings.EqualFold(dns, host) })
}

// Names are the Subject Alternative Names of a certificate, as they were
// certified. crypto/x509 would normalise URIs.
type Names struct{ Email, DNS, URI []string }

var oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}

// NamesOf reads the names of RFC 5280 section 4.2.1.6 that rules can use:
// rfc822Name [1], dNSName [2] and uniformResourceIdentifier [6].
func NamesOf(c *x509.Certificate) (Names, error) {
	var out Names
	for _, ext := range c.Extensions {
		if !ext.Id.Equal(oidSAN) {
			continue
		}
		var seq asn1.RawValue
		if _, err := asn1.Unmarshal(ext.Value, &seq); err != nil {
			return Names{}, fmt.Errorf("subject alternative name: %w", err)
		}
		for rest := seq.Bytes; len(rest) > 0; {
			var v asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &v); err != nil {
				return Names{}, fmt.Errorf("subject alternative name: %w", err)
			}
			if v.Class != asn1.ClassContextSpecific {
				continue
			}
			switch v.Tag {
			case 1:
				out.Email = append(out.Email, string(v.Bytes))
			case 2:
				out.DNS = append(out.DNS, string(v.Bytes))
			case 6:
				out.URI = append(out.URI, string(v.Bytes))
			}
		}
	}
	return out, nil
}

// EKUs are the Extended Key Usages of a certificate as dotted OIDs.
func EKUs(c *x509.Certificate) []string {
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
