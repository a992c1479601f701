// Package did reads the identifiers of issuers that carry or pin their own
// key, and what certificates say about an issuer:
//
//   - did:jwk and the JSON Web Key in it (RFC 7517, RFC 7518, RFC 8037),
//   - did:key of P-256, P-384, P-521 and Ed25519 keys,
//   - did:x509 of method version 0 (microsoft/did-x509; draft-birkholz-did-x509),
//   - certification paths of x5chain (RFC 9360, RFC 5280), and their names.
//
// It reads no clock, no file and no network. Errors wrap scitt.ErrMalformed or
// scitt.ErrAlgorithm unless their function says otherwise.
package did

import (
	"strings"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// The self-certifying DID methods: an issuer of one of these carries, or pins,
// its own key.
const (
	MethodJWK  = "did:jwk"
	MethodKey  = "did:key"
	MethodX509 = "did:x509"
)

// Method returns the self-certifying method of an issuer, "" if it has none.
func Method(issuer string) string {
	for _, m := range []string{MethodJWK, MethodKey, MethodX509} {
		if strings.HasPrefix(issuer, m+":") {
			return m
		}
	}
	return ""
}

// PublicKey is a public key, with the identifier and the algorithm that a JSON
// Web Key may give it.
type PublicKey = pubkey.Key

// Key returns the public key that a did:jwk or did:key carries.
func Key(did string) (PublicKey, error) {
	switch Method(did) {
	case MethodJWK:
		return parseJWK(did)
	case MethodKey:
		public, err := parseKey(did)
		return PublicKey{Public: public}, err
	}
	return PublicKey{}, pubkey.Malformed("%.120q is neither a did:jwk nor a did:key", did)
}
