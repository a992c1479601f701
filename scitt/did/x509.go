package did

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// X509 is a did:x509 of method version 0 (microsoft/did-x509,
// specification.md; draft-birkholz-did-x509): the fingerprint of a CA and
// predicates about the signer's certificate.
//
//	did-x509 = "did:x509:0:" alg ":" fingerprint 1*("::" name ":" value)
//	alg      = "sha256" / "sha384" / "sha512"
//	name     = "subject" / "san" / "eku" / "fulcio-issuer"
type X509 struct {
	text        string
	algorithm   string
	fingerprint []byte
	predicates  []predicate
}

type predicate struct {
	name   string
	fields []string // percent-decoded: key, value, ...; type, value; OID; issuer
}

// maxX509 is the longest did:x509 that is read.
const maxX509 = 2048

var digests = map[string]func([]byte) []byte{
	"sha256": func(b []byte) []byte { s := sha256.Sum256(b); return s[:] },
	"sha384": func(b []byte) []byte { s := sha512.Sum384(b); return s[:] },
	"sha512": func(b []byte) []byte { s := sha512.Sum512(b); return s[:] },
}

func badDID(format string, args ...any) error {
	return pubkey.Malformed("did:x509: %w", fmt.Errorf(format, args...))
}

// ParseX509 reads a did:x509. A path, query or fragment is refused: an
// issuer is a DID and no DID URL.
func ParseX509(did string) (*X509, error) {
	rest, ok := strings.CutPrefix(did, MethodX509+":0:")
	if !ok {
		return nil, badDID("%.120q does not begin with did:x509:0:", did)
	}
	if len(did) > maxX509 {
		return nil, badDID("%d characters, and %d are allowed", len(did), maxX509)
	}
	parts := strings.Split(rest, "::")
	d := &X509{text: did}
	var enc string
	if d.algorithm, enc, ok = strings.Cut(parts[0], ":"); !ok || digests[d.algorithm] == nil {
		return nil, badDID("expected sha256, sha384 or sha512 and the fingerprint of a CA")
	}
	var err error
	d.fingerprint, err = pubkey.DecodeBase64(enc)
	if err != nil || len(d.fingerprint) != len(digests[d.algorithm](nil)) {
		return nil, badDID("%.120q is no %s fingerprint in unpadded base64url", enc, d.algorithm)
	}
	if len(parts) == 1 {
		return nil, badDID("at least one predicate is needed, such as ::subject:O:Example")
	}
	for _, part := range parts[1:] {
		p, err := parsePredicate(part)
		if err != nil {
			return nil, err
		}
		d.predicates = append(d.predicates, p)
	}
	return d, nil
}

func parsePredicate(s string) (predicate, error) {
	name, value, ok := strings.Cut(s, ":")
	if !ok {
		return predicate{}, badDID("the predicate %.120q has no value", s)
	}
	p := predicate{name: name}
	for field := range strings.SplitSeq(value, ":") {
		text, err := percentDecode(field)
		if err != nil {
			return predicate{}, err
		}
		p.fields = append(p.fields, text)
	}
	n := len(p.fields)
	switch name {
	case "subject":
		if n%2 != 0 {
			return p, badDID("a subject predicate consists of keys and values in turn")
		}
		for i := 0; i < n; i += 2 {
			for j := 0; j < i; j += 2 {
				if p.fields[i] == p.fields[j] { // "Key repetitions are not allowed."
					return p, badDID("the subject key %.120q is there twice", p.fields[i])
				}
			}
			if k := p.fields[i]; !slices.Contains(subjectLabels, k) && !isOID(k) {
				return p, badDID("%.120q is neither one of %s nor an OID", k, strings.Join(subjectLabels, ", "))
			}
		}
	case "san":
		if n != 2 || !slices.Contains([]string{"email", "dns", "uri"}, p.fields[0]) {
			return p, badDID("a san predicate is email, dns or uri and one percent-encoded value")
		}
	case "eku":
		if n != 1 || !isOID(p.fields[0]) {
			return p, badDID("an eku predicate is one OID")
		}
	case "fulcio-issuer":
		if n != 1 {
			return p, badDID("a fulcio-issuer predicate is one percent-encoded value")
		}
	default:
		return p, badDID("unknown predicate %.120q", name)
	}
	return p, nil
}

func isOID(s string) bool {
	for arc := range strings.SplitSeq(s, ".") {
		if arc == "" || strings.Trim(arc, "0123456789") != "" {
			return false
		}
	}
	return s != ""
}

// percentDecode decodes 1*idchar.
func percentDecode(s string) (string, error) {
	if s == "" {
		return "", badDID("a predicate has an empty value")
	}
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z', c == '.', c == '-', c == '_', c == '%':
		default:
			return "", badDID("the character %q must be percent-encoded", c)
		}
	}
	text, err := url.PathUnescape(s)
	if err != nil {
		return "", badDID("%w", err)
	}
	return text, nil
}

// String is the DID.
func (d *X509) String() string { return d.text }

// Match reports whether a certification path, the signer's certificate first and
// already validated, is one of the DID's: the error names what does not fit.
func (d *X509) Match(path []*x509.Certificate) error {
	if len(path) < 2 {
		return errors.New("did:x509 needs a certificate of a CA behind the signer's")
	}
	for _, c := range path {
		if err := criticalExtensions(c); err != nil {
			return err
		}
	}
	isPinned := func(c *x509.Certificate) bool {
		return bytes.Equal(digests[d.algorithm](c.Raw), d.fingerprint)
	}
	if !slices.ContainsFunc(path[1:], isPinned) {
		return errors.New("no CA of the certification path has the fingerprint in the did:x509")
	}
	for _, p := range d.predicates {
		ok, err := p.match(path[0])
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("the signer's certificate does not fulfil %s:%s of the did:x509", p.name, strings.Join(p.fields, ":"))
		}
	}
	return nil
}

func (p *predicate) match(c *x509.Certificate) (bool, error) {
	switch p.name {
	case "subject":
		subject, err := Attributes(c.Subject)
		if err != nil {
			return false, err
		}
		for i := 0; i < len(p.fields); i += 2 {
			if v := subject[p.fields[i]]; len(v) != 1 || v[0] != p.fields[i+1] {
				// "Repeated attributes are not supported."
				return false, nil
			}
		}
		return true, nil
	case "san":
		san, err := NamesOf(c)
		values := map[string][]string{"email": san.Email, "dns": san.DNS, "uri": san.URI}[p.fields[0]]
		return slices.Contains(values, p.fields[1]), err
	case "eku":
		return slices.Contains(EKUs(c), p.fields[0]), nil
	case "fulcio-issuer":
		for _, ext := range c.Extensions {
			if ext.Id.Equal(oidFulcioIssuer) && !ext.Critical {
				return string(ext.Value) == "https://"+p.fields[0], nil
			}
		}
	}
	return false, nil
}

// oidFulcioIssuer is Fulcio's first issuer extension, whose value is the bare
// text of the issuer's URL.
var oidFulcioIssuer = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}

var subjectLabels = []string{"CN", "L", "ST", "O", "OU", "C", "STREET"}

// Attributes maps the attributes of a name by their RFC 4514 label, or their
// dotted OID, to their values.
func Attributes(n pkix.Name) (map[string][]string, error) {
	out := make(map[string][]string, len(n.Names))
	for _, a := range n.Names {
		v, ok := a.Value.(string)
		if !ok {
			return nil, fmt.Errorf("the attribute %s of a certificate's name is not text", a.Type)
		}
		key := a.Type.String()
		if i := slices.Index([]string{"2.5.4.3", "2.5.4.7", "2.5.4.8", "2.5.4.10", "2.5.4.11", "2.5.4.6", "2.5.4.9"}, key); i >= 0 {
			key = subjectLabels[i]
		}
		out[key] = append(out[key], v)
	}
	return out, nil
}

// criticalExtensions refuses what the draft does: "fail if any certificate in
// the chain contains a critical extension that is neither ... eku, san, nor
// ... basicConstraints, keyUsage, nameConstraints, policyConstraints,
// policyMappings, certificatePolicies, inhibitAnyPolicy".
func criticalExtensions(c *x509.Certificate) error {
	for _, ext := range c.Extensions {
		id := ext.Id.String()
		if arc, ok := strings.CutPrefix(id, "2.5.29."); ext.Critical &&
			!(ok && slices.Contains([]string{"37", "17", "19", "15", "30", "36", "33", "32", "54"}, arc)) {
			return fmt.Errorf("a certificate has the critical extension %s, which did:x509 does not allow", id)
		}
	}
	return nil
}
