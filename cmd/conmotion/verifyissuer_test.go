package main

import (
	"crypto"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// issuerCases are statements by issuers of every kind, and whether they are
// what they say, with --roots of the PKI and the given key.
func issuerCases(t *testing.T) (roots, issuerKey string, cases map[string]issuerCase) {
	corp := testpki.New(t, "corp")
	a, b := testpki.P256(t, "a"), testpki.P256(t, "b")
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	roots = write("roots.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: corp.Root.Raw}))
	issuerKey = write("b.cose", testlog.Must(testlog.Must(scitt.NewKey(b.Public()))(t).Marshal())(t))
	signed := func(key crypto.Signer, issuer string, chain ...*testpki.Cert) []byte {
		o := scitt.SignOptions{Issuer: issuer, Subject: "s", IssuedAt: time.Unix(1_800_000_000, 0), X5Chain: testpki.Chain(chain...)}
		return testlog.Must(scitt.SignStatement(key, o, []byte("x")))(t)
	}
	certified := func(issuer string) []byte { return signed(corp.Leaf.Key, issuer, corp.Leaf, corp.Inter) }
	ofA := testlog.Must(did.NewJWK(a.Public()))(t)
	return roots, issuerKey, map[string]issuerCase{
		"the certificate's issuer":  {certified("https://corp.example"), "", resultOK},
		"another issuer":            {certified("https://ceo.corp.example"), "", resultBad},
		"a did:x509":                {certified(corp.DID("::subject:CN:signer")), "", resultOK},
		"another's did:x509":        {certified(corp.DID("::subject:CN:somebody")), "", resultBad},
		"no did:x509":               {certified("did:x509:1:nonsense"), "", resultBad},
		"a given key":               {signed(b, "https://b.example"), "https://b.example", resultOK},
		"not the given key":         {signed(a, "https://b.example"), "https://b.example", resultBad},
		"its did:jwk, given":        {signed(b, testlog.Must(did.NewJWK(b.Public()))(t)), testlog.Must(did.NewJWK(b.Public()))(t), resultOK},
		"another's did:jwk":         {signed(b, ofA), ofA, resultBad},
		"another's did:key":         {signed(b, testpki.DIDKey(t, a.Public())), testpki.DIDKey(t, a.Public()), resultBad},
		"a given key, and x5chain":  {certified("https://corp.example"), "https://corp.example", resultBad}, // which is for another key
		"nobody that anybody knows": {signed(a, "https://nobody.example"), "", resultNotChecked},
	}
}

type issuerCase struct {
	data   []byte
	given  string // the issuer whose key --issuer-key is
	result string // of the check of the signature
}

// TestVerifyIssuer: nobody speaks for an issuer who is not theirs, whatever
// certificate or key is given.
func TestVerifyIssuer(t *testing.T) {
	roots, issuerKey, cases := issuerCases(t)
	for name, c := range cases {
		v := &verification{app: &app{}, verifyFlags: verifyFlags{rootCAs: roots}}
		if c.given != "" {
			v.issuerKey = issuerKey
		}
		verdict, err := v.run(t.Context(), c.data)
		if err != nil {
			t.Fatal(err)
		}
		if verdict == nil {
			t.Errorf("%s: verified without a receipt", name)
		}
		if got := v.report.Checks[0]; got.Check != "signature" || got.Result != c.result {
			t.Errorf("%s: %+v, want %s", name, got, c.result)
		}
		for _, check := range v.report.Checks {
			if check.Check == "issuer" && (check.Result != resultOK || c.result != resultOK) {
				t.Errorf("%s: %+v", name, check)
			}
		}
	}
}

// TestVerifyDIDKey: a did:key brings its own key, as a did:jwk does.
func TestVerifyDIDKey(t *testing.T) {
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
			v := &verification{app: &app{}}
			if _, err := v.run(t.Context(), c.data); err != nil {
				t.Fatal(err)
			}
			if got := v.report.Checks[0]; got.Check != "signature" || (got.Result == resultOK) != c.good || (c.good && !strings.Contains(got.Detail, "did:key")) {
				t.Errorf("%s, %s: %+v", alg, name, got)
			}
		}
	}
}
