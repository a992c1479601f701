package scitt

import (
	"cmp"
	"mime"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/veraison/go-cose"
)

// maxIssuer is the longest iss in characters.
const maxIssuer = 8192

// uriForm is a URI with its scheme (RFC 3986 section 3).
var uriForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$`)

// registrableHeader holds the values of header parameters to what
// specifications want of whoever signs. A verifier reads them all the same.
func (s *Statement) registrableHeader() error {
	// RFC 9943 section 6: "The iss Claim value's length MUST be between 1 and 8192
	// characters in length."
	if n := utf8.RuneCountInString(s.Issuer); n > maxIssuer {
		return malformed("the issuer (iss, 1) has %d characters, and %d are allowed", n, maxIssuer)
	}
	// RFC 9943 section 6: "When x5t or x5chain is present in the protected header,
	// the iss Claim value MUST be a string that meets URI requirements defined in
	// [RFC8392]."
	if (s.X5T != nil || s.X5Chain != nil) && !uriForm.MatchString(s.Issuer) {
		return malformed("the issuer %.120q stands beside x5t (34) or x5chain (33) and is not a URI, such as https://vendor.example or mailto:name@vendor.example", s.Issuer)
	}
	// RFC 8392 section 2, of a NumericDate: "The encoding is modified so that the
	// leading tag 1 (epoch-based date/time) MUST be omitted."
	for _, label := range []int64{cose.CWTClaimExpirationTime, cose.CWTClaimNotBefore, cose.CWTClaimIssuedAt} {
		if _, tagged := s.Claims[label].(time.Time); tagged {
			return malformed("CWT claim %s has a tag; a NumericDate is a number without one", dateClaims[label])
		}
	}
	return cmp.Or(
		checkMediaType(s.Header[cose.HeaderLabelContentType], "content type (3)"),
		checkMediaType(s.Header[labelPreimageType], "preimage content type (259)"),
		checkMediaType(s.Header[cose.HeaderLabelType], "typ (16)"))
}

// checkMediaType holds a content type, or typ (RFC 9596 section 2: "The syntax
// of this header parameter value is the same as the content type header
// parameter defined in Section 3.1 of [RFC9052]"), to its syntax.
//
// RFC 9052 section 3.1: "Integers are from the "CoAP Content-Formats" IANA
// registry table", whose numbers have 16 bits (RFC 7252 section 12.3); "Text
// values follow the syntax of "<type-name>/<subtype-name>", where <type-name> and
// <subtype-name> are defined in Section 4.2 of [RFC6838]. Leading and trailing
// whitespace is not permitted." Parameters may follow.
func checkMediaType(v any, what string) error {
	switch v := v.(type) {
	case int64:
		if v > 0xffff {
			return malformed("%s is %d, and CoAP Content-Formats end at 65535", what, v)
		}
	case string:
		name, _, parameters := strings.Cut(v, ";")
		typ, subtype, _ := strings.Cut(name, "/")
		ok := restrictedName(typ) && restrictedName(subtype)
		if ok && parameters {
			_, _, err := mime.ParseMediaType(v)
			ok = err == nil && v == strings.TrimSpace(v)
		}
		if !ok {
			return malformed("%s is %.120q, which is not a media type such as application/json", what, v)
		}
	}
	return nil
}

// restrictedName reports whether s is a restricted-name of RFC 6838 section 4.2.
func restrictedName(s string) bool {
	const first = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	return s != "" && len(s) <= 127 && strings.Contains(first, s[:1]) && strings.Trim(s, first+"!#$&-^_.+") == ""
}
