package policy

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// signBy signs with the leaf and the whole chain.
func signBy(t testing.TB, p *testpki.PKI, issuer string) *scitt.Statement {
	return sign(t, p.Leaf.Key, scitt.SignOptions{Issuer: issuer, IssuedAt: at(1_800_000_000), X5Chain: testpki.Chain(p.Leaf, p.Inter, p.Root)}, "x")
}

func pemOf(c *testpki.Cert) string {
	out, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	if err != nil {
		panic(err)
	}
	return string(out)
}

func rootPolicy(t testing.TB, root *testpki.Cert, members string) *Policy {
	t.Helper()
	return parse(t, `{"version": 1, "trust_anchors": {"x509_roots": [{"id": "root", "pem": `+pemOf(root)+`}]}`+members+`}`)
}

func TestX509(t *testing.T) {
	corp, evil := testpki.New(t, "corp"), testpki.New(t, "evil")
	p := rootPolicy(t, corp.Root, "")
	o := scitt.SignOptions{Issuer: "https://corp.example/team", IssuedAt: at(1_800_000_000)}
	signed := func(key crypto.Signer, o scitt.SignOptions, chain ...*testpki.Cert) *scitt.Statement {
		o.X5Chain = testpki.Chain(chain...)
		return sign(t, key, o, "x")
	}
	key := corp.Leaf.Key
	as := func(iss string) scitt.SignOptions { o := o; o.Issuer = iss; return o }
	when := func(iat int64) scitt.SignOptions { o := o; o.IssuedAt = at(iat); return o }
	noIat := o
	noIat.IssuedAt = scitt.SignOptions{}.IssuedAt
	notSigner := testpki.Issue(t, "signer", key, corp.Inter, func(c *x509.Certificate) { testpki.LeafNames(c); c.KeyUsage = x509.KeyUsageCertSign })
	notCA := testpki.Issue(t, "signer", p256(t, "below"), corp.Leaf, testpki.LeafNames)
	var long []*testpki.Cert
	for range did.MaxChain {
		long = append(long, corp.Inter)
	}
	for name, c := range map[string]struct {
		s    *scitt.Statement
		want string
	}{
		"whole chain":           {signed(key, o, corp.Leaf, corp.Inter, corp.Root), ""},
		"without the root":      {signed(key, o, corp.Leaf, corp.Inter), ""},
		"URI":                   {signed(key, as("urn:corp:signer"), corp.Leaf, corp.Inter), ""},
		"email":                 {signed(key, as("mailto:bob@corp.example"), corp.Leaf, corp.Inter), ""},
		"did:x509":              {signed(key, as(corp.DID("::subject:CN:signer")), corp.Leaf, corp.Inter, corp.Root), ""},
		"did:x509, root added":  {signed(key, as(corp.DID("::subject:CN:signer")), corp.Leaf, corp.Inter), ""},
		"did:x509, no match":    {signed(key, as(corp.DID("::subject:CN:other")), corp.Leaf, corp.Inter), "does not fulfil"},
		"did:x509, other root":  {signBy(t, evil, evil.DID("::subject:CN:signer")), "none of the trusted roots"},
		"did:x509, no chain":    {sign(t, key, as(corp.DID("::subject:CN:signer")), "x"), "needs x5chain"},
		"another's name":        {signed(key, as("https://other.example"), corp.Leaf, corp.Inter), "not issued to this issuer"},
		"part of the name":      {signed(key, as("https://corp.example.evil.example"), corp.Leaf, corp.Inter), "not issued to this issuer"},
		"user info":             {signed(key, as("https://corp.example@evil.example"), corp.Leaf, corp.Inter), "not issued to this issuer"},
		"http":                  {signed(key, as("http://corp.example"), corp.Leaf, corp.Inter), "not issued to this issuer"},
		"no iat":                {signed(key, noIat, corp.Leaf, corp.Inter), "iat"},
		"before":                {signed(key, when(1_699_999_999), corp.Leaf, corp.Inter), "valid from 2023-11-14T22:13:20Z"},
		"first second":          {signed(key, when(1_700_000_000), corp.Leaf, corp.Inter), ""},
		"last second":           {signed(key, when(1_900_000_000), corp.Leaf, corp.Inter), ""},
		"after":                 {signed(key, when(1_900_000_001), corp.Leaf, corp.Inter), "iat is 2030-03-17T17:46:41Z"},
		"without intermediate":  {signed(key, o, corp.Leaf), "none of the trusted roots"},
		"wrong order":           {signed(key, o, corp.Leaf, corp.Root, corp.Inter), "x5chain"},
		"one too many":          {signed(key, o, corp.Leaf, corp.Inter, corp.Root, evil.Root), "x5chain"},
		"other root":            {signBy(t, evil, "https://corp.example"), "none of the trusted roots"},
		"not for signatures":    {signed(key, o, notSigner, corp.Inter), "does not allow digital signatures"},
		"signer is no CA":       {signed(notCA.Key, o, notCA, corp.Leaf, corp.Inter), "x5chain"},
		"long chain":            {signed(key, o, append([]*testpki.Cert{corp.Leaf}, long...)...), "are allowed"},
		"kid in place of chain": {sign(t, key, o, "x"), "no key with kid"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time from the cache
				if err := p.Admit(c.s, NoFacts{}); c.want == "" {
					admitted(t, err)
				} else {
					contains(t, refused(t, err, CheckKey), c.want)
				}
			}
		})
	}
}

// TestForeignCAInChain: a CA that only stands in x5chain vouches for nothing.
func TestForeignCAInChain(t *testing.T) {
	corp, victim := testpki.New(t, "corp"), testpki.New(t, "victim")
	s := sign(t, corp.Leaf.Key, scitt.SignOptions{Issuer: victim.DID("::subject:CN:signer"), IssuedAt: at(1_800_000_000),
		X5Chain: testpki.Chain(corp.Leaf, corp.Inter, corp.Root, victim.Root)}, "x")
	refused(t, rootPolicy(t, corp.Root, "").Admit(s, NoFacts{}), CheckKey)
	open := parse(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:x509"]}}`)
	refused(t, open.Admit(s, NoFacts{}), CheckKey)
	admitted(t, open.Admit(signBy(t, victim, victim.DID("::subject:CN:signer")), NoFacts{}))
	refused(t, open.Admit(signBy(t, victim, "https://corp.example"), NoFacts{}), CheckKey)
}

func TestDIDX509Issuers(t *testing.T) {
	corp, evil := testpki.New(t, "corp"), testpki.New(t, "evil")
	did := corp.DID("::subject:CN:signer:O:Example%2C%20Inc.")
	named := parse(t, `{"version": 1, "issuers": [{"issuer": "`+did+`"}]}`)
	admitted(t, named.Admit(signBy(t, corp, did), NoFacts{}))
	refused(t, named.Admit(signBy(t, evil, did), NoFacts{}), CheckKey)
	refused(t, named.Admit(signBy(t, corp, corp.DID("::subject:CN:signer")), NoFacts{}), CheckIssuer)

	pinned := parse(t, `{"version": 1, "issuers": [{"issuer": "https://acme.example", "certificates": ["`+evil.DID("::eku:1.2.3")+`", "`+did+`"]}]}`)
	admitted(t, pinned.Admit(signBy(t, corp, "https://acme.example"), NoFacts{}))
	contains(t, refused(t, pinned.Admit(signBy(t, evil, "https://acme.example"), NoFacts{}), CheckKey), "none of those that the issuer may sign with")
}

func TestX5T(t *testing.T) {
	corp, evil := testpki.New(t, "corp"), testpki.New(t, "evil")
	chain := corp.Leaf
	bundle := strings.TrimSuffix(pemOf(chain), `"`) + strings.TrimPrefix(pemOf(corp.Inter), `"`)
	p := parse(t, `{"version": 1, "trust_anchors": {"x509_roots": [{"id": "root", "pem": `+pemOf(corp.Root)+`}],
		"x509_certificates": [{"id": "signer", "pem": `+bundle+`}]}}`)
	by := func(c *testpki.Cert) *scitt.Statement {
		s := *signBy(t, corp, "https://corp.example")
		sum := sha256.Sum256(c.Raw)
		s.X5Chain, s.X5T = nil, &scitt.CertHash{Algorithm: -16, Digest: sum[:]}
		return &s
	}
	admitted(t, p.Admit(by(corp.Leaf), NoFacts{}))
	contains(t, refused(t, p.Admit(by(evil.Leaf), NoFacts{}), CheckKey), "no certificate with this x5t")
	both := by(corp.Leaf)
	both.X5Chain = testpki.Chain(corp.Leaf, corp.Inter)
	admitted(t, p.Admit(both, NoFacts{}))
	both.X5Chain = testpki.Chain(evil.Leaf, evil.Inter)
	contains(t, refused(t, p.Admit(both, NoFacts{}), CheckKey), "not the thumbprint")
	sha1 := by(corp.Leaf)
	sha1.X5T.Algorithm = -14
	refused(t, p.Admit(sha1, NoFacts{}), CheckKey)
}

func TestCertificateFacts(t *testing.T) {
	corp := testpki.New(t, "corp")
	s := signBy(t, corp, "https://corp.example")
	for _, expr := range []string{
		`cert.present`, `cert.subject.CN == ["signer"] && "Example, Inc." in cert.subject.O`, `cert.issuer["CN"] == ["corp CA"]`,
		`cert.dns == ["corp.example"] && cert.email == ["bob@corp.example"] && cert.uri == ["urn:corp:signer"]`,
		`cert.eku == ["1.3.6.1.5.5.7.3.3"]`, `cert.serial == "2a"`, `cert.not_before == 1700000000 && cert.not_after == 1900000000`,
		`cert.thumbprint == "` + hexSHA256(corp.Leaf.Raw) + `" && cert.path[0] == cert.thumbprint`,
		`size(cert.path) == 3 && cert.path[2] == "` + hexSHA256(corp.Root.Raw) + `"`,
		`cert.subject.map(k, k) == ["CN", "O"] && !has(cert.subject.OU)`, `iat >= cert.not_before`,
	} {
		p := rootPolicy(t, corp.Root, ", "+rule1(expr))
		if err := p.Admit(s, NoFacts{}); err != nil {
			t.Errorf("%s: %v", expr, err)
		}
	}
	refused(t, rootPolicy(t, corp.Root, ", "+rule1(`cert.subject.OU == ["x"]`)).Admit(s, NoFacts{}), "r")
	refused(t, rootPolicy(t, corp.Root, ", "+rule1(`!cert.present`)).Admit(s, NoFacts{}), "r")
}
