package scitt_test

import (
	"crypto"
	"errors"
	"testing"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// TestUnchecked: a reader's verifier tells what it cannot check from what is wrong.
// Nobody can make a statement that is wrong one that cannot be checked, by naming a
// certificate that the reader does not have.
func TestUnchecked(t *testing.T) {
	key, other := newKey(t, "ES256"), newKey(t, "ES256")
	iss, err := did.NewJWK(key.Public())
	must(t, err)
	const named = "https://i.example"
	kid, otherKid := newKeyID(t, key).ID, newKeyID(t, other).ID
	x5t := []any{-16, make([]byte, 32)}
	given := map[string]scitt.Key{named: {Public: key.Public()}}
	for name, c := range map[string]struct {
		issuer string
		signer crypto.Signer
		header m
		given  map[string]scitt.Key
		err    error // nil when it verifies
	}{
		"a key that is not known":               {named, key, m{4: kid}, nil, scitt.ErrUnchecked},
		"a key that is not known, by anybody":   {named, other, m{4: kid}, nil, scitt.ErrUnchecked},
		"with the key":                          {named, key, m{4: kid}, given, nil},
		"by anybody, with the key":              {named, other, m{4: kid}, given, scitt.ErrSignature},
		"did:jwk":                               {iss, key, m{4: kid}, nil, nil},
		"did:jwk, by anybody":                   {iss, other, m{4: kid}, nil, scitt.ErrSignature},
		"did:jwk, another kid":                  {iss, key, m{4: otherKid}, nil, scitt.ErrUnknownKey},
		"did:jwk, an x5t":                       {iss, key, m{4: kid, 34: x5t}, nil, scitt.ErrUnchecked},
		"did:jwk, an x5t, by anybody":           {iss, other, m{4: kid, 34: x5t}, nil, scitt.ErrSignature},
		"with the key, an x5t, by anybody":      {named, other, m{4: kid, 34: x5t}, given, scitt.ErrSignature},
		"did:x509 without a chain, for nobody":  {"did:x509:0:sha256:WE4P5dd8DnLHSkyHaIjhp4udlkF9LqoKwCvu9gl38jk::subject:CN:x", key, m{4: kid}, nil, scitt.ErrUnknownKey},
		"a certificate whose root is not known": {named, key, m{4: kid, 34: x5t}, nil, scitt.ErrUnchecked},
	} {
		claims := m{15: m{1: c.issuer, 2: "s", 6: during.Unix()}}
		s := signedWith(t, "ES256", c.signer, with(with(goodHeader(), claims), c.header))
		err := scitt.SelfCertifying(nil, nil).Verifier(c.given)(s)
		if !errors.Is(err, c.err) || errors.Is(err, scitt.ErrUnchecked) != (c.err == scitt.ErrUnchecked) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
