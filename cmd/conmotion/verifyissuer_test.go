package main

import (
	"crypto"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
	"github.com/conmotion/conmotion/witness"
)

// issuerCases are statements by issuers of every kind, and whether they are
// what they say, with --roots of the PKI and the given key. dir holds both.
func issuerCases(t *testing.T) (dir string, cases map[string]issuerCase) {
	corp := testpki.New(t, "corp")
	a, b := testpki.P256(t, "a"), testpki.P256(t, "b")
	dir = t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("roots.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: corp.Root.Raw}))
	public := func(key crypto.PublicKey) []byte {
		return testlog.Must(testlog.Must(scitt.NewKey(key))(t).Marshal())(t)
	}
	write("b.cose", public(b.Public()))
	write("corp.cose", public(corp.Leaf.Key.Public()))
	write("corp.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: corp.Leaf.Raw}))
	signed := func(key crypto.Signer, issuer string, chain ...*testpki.Cert) []byte {
		o := scitt.SignOptions{Issuer: issuer, Subject: "s", IssuedAt: time.Unix(1_800_000_000, 0), X5Chain: testpki.Chain(chain...)}
		return testlog.Must(scitt.SignStatement(key, o, []byte("x")))(t)
	}
	certified := func(issuer string) []byte { return signed(corp.Leaf.Key, issuer, corp.Leaf, corp.Inter) }
	// What a kid stands beside must name the same key.
	withKid := func(kid string) []byte {
		return signAgain(t, corp.Leaf.Key, certified("https://corp.example"), func(h cose.ProtectedHeader) { h[cose.HeaderLabelKeyID] = []byte(kid) })
	}
	thumbprint := string(testlog.Must(scitt.Thumbprint(corp.Leaf.Key.Public()))(t))
	ofA := testlog.Must(did.NewJWK(a.Public()))(t)
	return dir, map[string]issuerCase{
		"the certificate's issuer":  {certified("https://corp.example"), "", witness.OK},
		"another issuer":            {certified("https://ceo.corp.example"), "", witness.Failed},
		"a did:x509":                {certified(corp.DID("::subject:CN:signer")), "", witness.OK},
		"another's did:x509":        {certified(corp.DID("::subject:CN:somebody")), "", witness.Failed},
		"no did:x509":               {certified("did:x509:1:nonsense"), "", witness.Failed},
		"a given key":               {signed(b, "https://b.example"), "b.cose", witness.OK},
		"not the given key":         {signed(a, "https://b.example"), "b.cose", witness.Failed},
		"its did:jwk, given":        {signed(b, testlog.Must(did.NewJWK(b.Public()))(t)), "b.cose", witness.OK},
		"another's did:jwk":         {signed(b, ofA), "b.cose", witness.Failed},
		"another's did:key":         {signed(b, testpki.DIDKey(t, a.Public())), "b.cose", witness.Failed},
		"a given key, and x5chain":  {certified("https://corp.example"), "b.cose", witness.Failed}, // which is for another key
		"x5chain and its kid":       {withKid(thumbprint), "", witness.OK},
		"x5chain and another kid":   {withKid("another"), "", witness.Failed},
		"its key, and its kid":      {withKid(thumbprint), "corp.cose", witness.OK},
		"its key, and another kid":  {withKid("another"), "corp.cose", witness.Failed},
		"nobody that anybody knows": {signed(a, "https://nobody.example"), "", witness.NotChecked},
	}
}

// signAgain changes the protected header of a statement and signs it with ES256.
func signAgain(t *testing.T, key crypto.Signer, statement []byte, change func(cose.ProtectedHeader)) []byte {
	t.Helper()
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(statement); err != nil {
		t.Fatal(err)
	}
	m.Signature, m.Headers.RawProtected = nil, nil
	change(m.Headers.Protected)
	if err := m.Sign(rand.Reader, nil, testlog.Must(cose.NewSigner(cose.AlgorithmES256, key))(t)); err != nil {
		t.Fatal(err)
	}
	return testlog.Must(m.MarshalCBOR())(t)
}

// TestTaggedDate: the statements of other services may have an iat with a tag.
// verify and inspect read it, and inspect says that a log would refuse it.
// Receipts that somebody signed into a statement prove nothing of it.
func TestTaggedDate(t *testing.T) {
	key := testpki.P256(t, "a")
	path := filepath.Join(t.TempDir(), "s.cose")
	data := signAgain(t, key, testlog.Statement(t, key, "s", nil), func(h cose.ProtectedHeader) {
		h[cose.HeaderLabelCWTClaims] = map[any]any{int64(1): testlog.DIDJWK(t, key), int64(2): "s", int64(6): cbor.Tag{Number: 1, Content: 1_700_000_000}}
		h[int64(394)] = []any{[]byte("a receipt")}
	})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string][]string{
		"verify":  {"ok           signature ", "signed    2023-11-14T22:13:20Z", "not checked  signed receipts  1 receipt is in the protected header"},
		"inspect": {"2023-11-14T22:13:20Z", "a log would refuse it", "CWT claim iat has a tag"},
	} {
		got := runTool(t, command, path)
		for _, piece := range want {
			if !strings.Contains(got.stdout, piece) {
				t.Errorf("%s does not say %q: %s%s", command, piece, got.stdout, got.stderr)
			}
		}
	}
}

type issuerCase struct {
	data   []byte
	given  string // the file of --issuer-key
	result string // of the check of the signature
}

// TestVerifyIssuer: nobody speaks for an issuer who is not theirs, whatever
// certificate or key is given.
func TestVerifyIssuer(t *testing.T) {
	dir, cases := issuerCases(t)
	for name, c := range cases {
		v := &verification{app: &app{}, verifyFlags: verifyFlags{rootCAs: filepath.Join(dir, "roots.pem")}}
		if c.given != "" {
			v.issuerKey = filepath.Join(dir, c.given)
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
			if check.Check == "issuer" && (check.Result != witness.OK || c.result != witness.OK) {
				t.Errorf("%s: %+v", name, check)
			}
		}
	}
}

// TestCertificateBesideRoots: the certificate in --issuer-key is trusted as it
// is, so that --roots would say nothing about it.
func TestCertificateBesideRoots(t *testing.T) {
	dir, cases := issuerCases(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("s.cose"), cases["x5chain and its kid"].data, 0o600); err != nil {
		t.Fatal(err)
	}
	for target, key := range map[string]string{at("s.cose"): at("corp.pem"), dir: "https://corp.example=" + at("corp.pem")} {
		got := runTool(t, "verify", "--issuer-key", key, "--roots", at("roots.pem"), target)
		if got.code != cli.ExitUsage || !strings.Contains(got.stderr, "is a certificate, whose key would be taken without asking --roots") {
			t.Errorf("%s: exit code %d, %s", target, got.code, got.stderr)
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
			if got := v.report.Checks[0]; got.Check != "signature" || (got.Result == witness.OK) != c.good || (c.good && !strings.Contains(got.Detail, "did:key")) {
				t.Errorf("%s, %s: %+v", alg, name, got)
			}
		}
	}
}
