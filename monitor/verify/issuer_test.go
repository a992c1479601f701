package verify_test

import (
	"crypto"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/witness"
)

// TestIssuer: nobody speaks for an issuer who is not theirs, whatever
// certificate or key is given.
func TestIssuer(t *testing.T) {
	corp := testpki.New(t, "corp")
	a, b := testpki.P256(t, "a"), testpki.P256(t, "b")
	signed := func(key crypto.Signer, issuer string, chain ...*testpki.Cert) []byte {
		o := scitt.SignOptions{Issuer: issuer, Subject: "s", IssuedAt: time.Unix(1_800_000_000, 0), X5Chain: testpki.Chain(chain...)}
		return testlog.Must(scitt.SignStatement(key, o, []byte("x")))(t)
	}
	certified := func(issuer string) []byte { return signed(corp.Leaf.Key, issuer, corp.Leaf, corp.Inter) }
	// What a kid stands beside must name the same key.
	withKid := func(kid string) []byte {
		return testpki.SignAgain(t, corp.Leaf.Key, certified("https://corp.example"), func(h cose.ProtectedHeader) { h[cose.HeaderLabelKeyID] = []byte(kid) })
	}
	thumbprint := string(testlog.Must(scitt.Thumbprint(corp.Leaf.Key.Public()))(t))
	ofA := testlog.Must(did.NewJWK(a.Public()))(t)
	key := func(k crypto.Signer) *scitt.Key { return new(testlog.Must(scitt.NewKey(k.Public()))(t)) }
	for name, c := range map[string]struct {
		data   []byte
		given  *scitt.Key // the issuer's, as the Relying Party knows it
		result string     // of the check of the signature
	}{
		"the certificate's issuer":  {certified("https://corp.example"), nil, witness.OK},
		"another issuer":            {certified("https://ceo.corp.example"), nil, witness.Failed},
		"a did:x509":                {certified(corp.DID("::subject:CN:signer")), nil, witness.OK},
		"another's did:x509":        {certified(corp.DID("::subject:CN:somebody")), nil, witness.Failed},
		"no did:x509":               {certified("did:x509:1:nonsense"), nil, witness.Failed},
		"a given key":               {signed(b, "https://b.example"), key(b), witness.OK},
		"not the given key":         {signed(a, "https://b.example"), key(b), witness.Failed},
		"its did:jwk, given":        {signed(b, testlog.Must(did.NewJWK(b.Public()))(t)), key(b), witness.OK},
		"another's did:jwk":         {signed(b, ofA), key(b), witness.Failed},
		"another's did:key":         {signed(b, testpki.DIDKey(t, a.Public())), key(b), witness.Failed},
		"a given key, and x5chain":  {certified("https://corp.example"), key(b), witness.Failed}, // which is for another key
		"x5chain and its kid":       {withKid(thumbprint), nil, witness.OK},
		"x5chain and another kid":   {withKid("another"), nil, witness.Failed},
		"its key, and its kid":      {withKid(thumbprint), key(corp.Leaf.Key), witness.OK},
		"its key, and another kid":  {withKid("another"), key(corp.Leaf.Key), witness.Failed},
		"nobody that anybody knows": {signed(a, "https://nobody.example"), nil, witness.NotChecked},
	} {
		v := verify.Verifier{Roots: true, Statements: scitt.Verifier{IssuerKey: c.given, Anchors: scitt.SelfCertifying([]*x509.Certificate{corp.Root.Certificate}, nil)}}
		r := verified(t, &v, c.data)
		if r.Verdict == nil {
			t.Errorf("%s: verified without a receipt", name)
		}
		if got := r.Checks[0]; got.Check != "signature" || got.Result != c.result {
			t.Errorf("%s: %+v, want %s", name, got, c.result)
		}
		for _, check := range r.Checks {
			if check.Check == "issuer" && (check.Result != witness.OK || c.result != witness.OK) {
				t.Errorf("%s: %+v", name, check)
			}
		}
	}
}

// TestDIDKey: a did:key brings its own key, as a did:jwk does.
func TestDIDKey(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		key, other := testlog.Key(t, alg), testlog.Key(t, alg)
		iss := testpki.DIDKey(t, key.Public())
		for name, c := range map[string]struct {
			data []byte
			good bool
		}{
			"its key":     {testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Issuer: iss, Subject: "s"}, nil))(t), true},
			"another key": {testlog.Must(scitt.SignStatement(other, scitt.SignOptions{Issuer: iss, Subject: "s"}, nil))(t), false},
			"no did:key":  {testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Issuer: "did:key:z1111", Subject: "s"}, nil))(t), false},
		} {
			if got := verified(t, &verify.Verifier{}, c.data).Checks[0]; got.Check != "signature" || (got.Result == witness.OK) != c.good || (c.good && !strings.Contains(got.Detail, "did:key")) {
				t.Errorf("%s, %s: %+v", alg, name, got)
			}
		}
	}
}

func verified(t *testing.T, v *verify.Verifier, statements ...[]byte) *verify.Result {
	t.Helper()
	var all []verify.Statement
	for _, data := range statements {
		all = append(all, verify.Statement{Data: data})
	}
	return testlog.Must(v.Verify(t.Context(), all...))(t)
}
