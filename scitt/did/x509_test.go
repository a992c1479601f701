package did_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

func TestParseX509(t *testing.T) {
	sum := sha256.Sum256(nil)
	fp := b64(sum[:])
	good := "did:x509:0:sha256:" + fp + "::subject:C:US:ST:California:O:Example%20Org::san:email:bob%40example.com::eku:1.3.6.1::fulcio-issuer:a.example%2Fx::subject:2.5.4.5:1"
	d, err := did.ParseX509(good)
	if err != nil || d.String() != good {
		t.Fatalf("%+v, %v", d, err)
	}
	for name, text := range map[string]string{
		"empty":               "",
		"other method":        "did:web:x",
		"version":             "did:x509:1:sha256:" + fp + "::eku:1",
		"no predicate":        "did:x509:0:sha256:" + fp,
		"empty predicate":     "did:x509:0:sha256:" + fp + "::",
		"unknown predicate":   "did:x509:0:sha256:" + fp + "::serial:1",
		"no value":            "did:x509:0:sha256:" + fp + "::eku",
		"empty value":         "did:x509:0:sha256:" + fp + "::eku:",
		"hash":                "did:x509:0:sha1:" + fp + "::eku:1",
		"digest length":       "did:x509:0:sha384:" + fp + "::eku:1",
		"padding":             "did:x509:0:sha256:" + fp + "=::eku:1",
		"newline":             "did:x509:0:sha256:" + fp[:10] + "\n" + fp[10:] + "::eku:1",
		"trailing bits":       "did:x509:0:sha256:" + fp[:42] + "V::eku:1",
		"EKU":                 "did:x509:0:sha256:" + fp + "::eku:codeSigning",
		"EKU dots":            "did:x509:0:sha256:" + fp + "::eku:1..2",
		"two EKUs":            "did:x509:0:sha256:" + fp + "::eku:1:2",
		"subject odd":         "did:x509:0:sha256:" + fp + "::subject:CN",
		"subject twice":       "did:x509:0:sha256:" + fp + "::subject:CN:a:CN:b",
		"subject key":         "did:x509:0:sha256:" + fp + "::subject:cn:a",
		"san type":            "did:x509:0:sha256:" + fp + "::san:ip:1",
		"san alone":           "did:x509:0:sha256:" + fp + "::san:dns",
		"san of three":        "did:x509:0:sha256:" + fp + "::san:dns:a:b",
		"percent":             "did:x509:0:sha256:" + fp + "::san:dns:a%4",
		"percent no hex":      "did:x509:0:sha256:" + fp + "::san:dns:a%zz",
		"plain space":         "did:x509:0:sha256:" + fp + "::san:dns:a b",
		"plus":                "did:x509:0:sha256:" + fp + "::san:dns:a+b",
		"tilde":               "did:x509:0:sha256:" + fp + "::san:dns:a~b",
		"path":                "did:x509:0:sha256:" + fp + "::eku:1/x",
		"query":               "did:x509:0:sha256:" + fp + "::eku:1?x",
		"fragment":            "did:x509:0:sha256:" + fp + "::eku:1#0",
		"trailing predicate":  "did:x509:0:sha256:" + fp + "::eku:1::",
		"three colons":        "did:x509:0:sha256:" + fp + ":::eku:1",
		"more in the first":   "did:x509:0:sha256:" + fp + ":x::eku:1",
		"fulcio with a colon": "did:x509:0:sha256:" + fp + "::fulcio-issuer:https:x",
		"too long":            "did:x509:0:sha256:" + fp + "::san:dns:" + strings.Repeat("a", 2048),
	} {
		if _, err := did.ParseX509(text); !errors.Is(err, scitt.ErrMalformed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestX509Match(t *testing.T) {
	corp := testpki.New(t, "corp")
	path := []*x509.Certificate{corp.Leaf.Certificate, corp.Inter.Certificate, corp.Root.Certificate}
	repeated := testpki.Issue(t, "signer", corp.Leaf.Key, corp.Inter, func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"a", "b"} })
	critical := testpki.Issue(t, "signer", corp.Leaf.Key, corp.Inter, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Critical: true, Value: []byte{0x30, 0}}}
	})
	inter := sha256.Sum256(corp.Inter.Raw)
	leaf := sha256.Sum256(corp.Leaf.Raw)
	pin := func(sum [32]byte) string { return "did:x509:0:sha256:" + b64(sum[:]) + "::subject:CN:signer" }
	wide := func(alg string, sum []byte) string {
		return "did:x509:0:" + alg + ":" + b64(sum) + "::subject:CN:signer"
	}
	sha384, sha512 := sha512.Sum384(corp.Root.Raw), sha512.Sum512(corp.Root.Raw)
	for text, c := range map[string]struct {
		path []*x509.Certificate
		want string
	}{
		corp.DID("::subject:CN:signer"):                                  {path, ""},
		corp.DID("::subject:O:Example%2C%20Inc.:CN:signer"):              {path, ""},
		corp.DID("::subject:CN:signer::eku:1.3.6.1.5.5.7.3.3"):           {path, ""},
		corp.DID("::san:dns:corp.example::san:email:bob%40corp.example"): {path, ""},
		corp.DID("::san:uri:urn%3acorp%3Asigner"):                        {path, ""},
		corp.DID("::fulcio-issuer:accounts.example.com"):                 {path, ""},
		pin(inter):                {path, ""},
		wide("sha384", sha384[:]): {path, ""},
		wide("sha512", sha512[:]): {path, ""},

		pin(leaf):                                                    {path, "fingerprint"},
		corp.DID("::subject:C:US"):                                   {path, "does not fulfil subject"},
		corp.DID("::subject:CN:Signer"):                              {path, "does not fulfil"},
		corp.DID("::subject:2.5.4.3:signer"):                         {path, "does not fulfil"},
		corp.DID("::san:dns:corp"):                                   {path, "does not fulfil"},
		corp.DID("::san:email:corp.example"):                         {path, "does not fulfil"},
		corp.DID("::eku:1.3.6.1.5.5.7.3.1"):                          {path, "does not fulfil"},
		corp.DID("::fulcio-issuer:example.com"):                      {path, "does not fulfil"},
		corp.DID("::subject:CN:signer::eku:1"):                       {path, "does not fulfil eku"},
		corp.DID("::subject:CN:%73igner"):                            {path[:1], "needs a certificate of a CA"},
		corp.DID("::subject:OU:a"):                                   {[]*x509.Certificate{repeated.Certificate, path[1], path[2]}, "does not fulfil"},
		corp.DID("::subject:CN:signer::subject:O:Example%2C%20Inc."): {[]*x509.Certificate{critical.Certificate, path[1], path[2]}, "critical extension"},
	} {
		d, err := did.ParseX509(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		err = d.Match(c.path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case c.want != "" && err == nil:
			t.Errorf("%s: matches", text)
		case c.want != "" && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %s", text, err, c.want)
		}
	}
}

func FuzzX509(f *testing.F) {
	corp := testpki.New(f, "corp")
	f.Add(corp.DID("::subject:CN:signer::san:dns:corp.example::eku:1.3.6.1.5.5.7.3.3::fulcio-issuer:a.example"), 0)
	f.Add(corp.DID("::subject:CN:sign%65r"), 3)
	f.Add("did:x509:0:sha512:"+strings.Repeat("A", 86)+"::san:uri:a%3Ab", 2)
	certs := []*testpki.Cert{corp.Leaf, corp.Inter, corp.Root}
	f.Fuzz(func(t *testing.T, text string, n int) {
		d, err := did.ParseX509(text)
		if err != nil {
			if !errors.Is(err, scitt.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if d.String() != text || strings.ContainsAny(text, " /?#+~\n") {
			t.Fatalf("%q is read as %q", text, d)
		}
		if n < 0 || n > 3 {
			return
		}
		found := testpki.Certs(certs[:n]...)
		if err := d.Match(found); err == nil && n < 2 {
			t.Fatalf("%q matches %d certificates", text, n)
		}
	})
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
