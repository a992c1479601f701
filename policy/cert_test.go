package policy

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/url"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// ca is a certificate with its key.
type ca struct {
	*x509.Certificate
	key crypto.Signer
}

// deterministic signs without randomness (RFC 6979), so that a certificate is
// the same in every run.
type deterministic struct{ crypto.Signer }

func (d deterministic) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return d.Signer.Sign(nil, digest, o)
}

// issue makes a certificate for the key, by the parent or self-signed.
func issue(t testing.TB, name string, key crypto.Signer, parent *ca, change func(*x509.Certificate)) *ca {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(0x2a), Subject: pkix.Name{CommonName: name, Organization: []string{"Example, Inc."}},
		NotBefore: at(1_700_000_000), NotAfter: at(1_900_000_000), BasicConstraintsValid: true}
	if change != nil {
		change(tmpl)
	}
	signer, issuer := key, tmpl
	if parent != nil {
		signer, issuer = parent.key, parent.Certificate
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, issuer, key.Public(), deterministic{signer})
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &ca{c, key}
}

func isCA(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

// pki is a root, an intermediate below it and a signer below that.
type pki struct{ root, inter, leaf *ca }

func newPKI(t testing.TB, name string) *pki {
	t.Helper()
	p := &pki{}
	p.root = issue(t, name+" Root", p256(t, name+" root"), nil, isCA)
	p.inter = issue(t, name+" CA", p256(t, name+" inter"), p.root, isCA)
	p.leaf = issue(t, "signer", p256(t, name+" leaf"), p.inter, leafNames)
	return p
}

func leafNames(c *x509.Certificate) {
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	c.DNSNames = []string{"corp.example"}
	c.EmailAddresses = []string{"bob@corp.example"}
	u, err := url.Parse("urn:corp:signer")
	if err != nil {
		panic(err)
	}
	c.URIs = []*url.URL{u}
	c.ExtraExtensions = []pkix.Extension{{Id: oidFulcioIssuer, Value: []byte("https://accounts.example.com")}}
}

func chainDER(certs ...*ca) (out [][]byte) {
	for _, c := range certs {
		out = append(out, c.Raw)
	}
	return out
}

func (p *pki) did(predicates string) string {
	sum := sha256.Sum256(p.root.Raw)
	return "did:x509:0:sha256:" + b64(sum[:]) + predicates
}

// sign signs with the leaf and the whole chain.
func (p *pki) sign(t testing.TB, issuer string) *scitt.Statement {
	return sign(t, p.leaf.key, scitt.SignOptions{Issuer: issuer, IssuedAt: at(1_800_000_000), X5Chain: chainDER(p.leaf, p.inter, p.root)}, "x")
}

func pemOf(c *ca) string {
	out, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	if err != nil {
		panic(err)
	}
	return string(out)
}

func rootPolicy(t testing.TB, root *ca, members string) *Policy {
	t.Helper()
	return parse(t, `{"version": 1, "trust_anchors": {"x509_roots": [{"id": "root", "pem": `+pemOf(root)+`}]}`+members+`}`)
}

func TestX509(t *testing.T) {
	corp, evil := newPKI(t, "corp"), newPKI(t, "evil")
	p := rootPolicy(t, corp.root, "")
	o := scitt.SignOptions{Issuer: "https://corp.example/team", IssuedAt: at(1_800_000_000)}
	signed := func(key crypto.Signer, o scitt.SignOptions, chain ...*ca) *scitt.Statement {
		o.X5Chain = chainDER(chain...)
		return sign(t, key, o, "x")
	}
	key := corp.leaf.key
	as := func(iss string) scitt.SignOptions { o := o; o.Issuer = iss; return o }
	when := func(iat int64) scitt.SignOptions { o := o; o.IssuedAt = at(iat); return o }
	noIat := o
	noIat.IssuedAt = scitt.SignOptions{}.IssuedAt
	notSigner := issue(t, "signer", key, corp.inter, func(c *x509.Certificate) { leafNames(c); c.KeyUsage = x509.KeyUsageCertSign })
	notCA := issue(t, "signer", p256(t, "below"), corp.leaf, leafNames)
	var long []*ca
	for range maxChain {
		long = append(long, corp.inter)
	}
	for name, c := range map[string]struct {
		s    *scitt.Statement
		want string
	}{
		"whole chain":           {signed(key, o, corp.leaf, corp.inter, corp.root), ""},
		"without the root":      {signed(key, o, corp.leaf, corp.inter), ""},
		"URI":                   {signed(key, as("urn:corp:signer"), corp.leaf, corp.inter), ""},
		"email":                 {signed(key, as("mailto:bob@corp.example"), corp.leaf, corp.inter), ""},
		"DNS name":              {signed(key, as("corp.example"), corp.leaf, corp.inter), ""},
		"did:x509":              {signed(key, as(corp.did("::subject:CN:signer")), corp.leaf, corp.inter, corp.root), ""},
		"did:x509, root added":  {signed(key, as(corp.did("::subject:CN:signer")), corp.leaf, corp.inter), ""},
		"did:x509, no match":    {signed(key, as(corp.did("::subject:CN:other")), corp.leaf, corp.inter), "does not fulfil"},
		"did:x509, other root":  {evil.sign(t, evil.did("::subject:CN:signer")), "none of the policy's roots"},
		"did:x509, no chain":    {sign(t, key, as(corp.did("::subject:CN:signer")), "x"), "needs x5chain"},
		"another's name":        {signed(key, as("https://other.example"), corp.leaf, corp.inter), "not issued to this issuer"},
		"part of the name":      {signed(key, as("https://corp.example.evil.example"), corp.leaf, corp.inter), "not issued to this issuer"},
		"user info":             {signed(key, as("https://corp.example@evil.example"), corp.leaf, corp.inter), "not issued to this issuer"},
		"http":                  {signed(key, as("http://corp.example"), corp.leaf, corp.inter), "not issued to this issuer"},
		"no iat":                {signed(key, noIat, corp.leaf, corp.inter), "iat"},
		"before":                {signed(key, when(1_699_999_999), corp.leaf, corp.inter), "valid from 2023-11-14T22:13:20Z"},
		"first second":          {signed(key, when(1_700_000_000), corp.leaf, corp.inter), ""},
		"last second":           {signed(key, when(1_900_000_000), corp.leaf, corp.inter), ""},
		"after":                 {signed(key, when(1_900_000_001), corp.leaf, corp.inter), "iat is 2030-03-17T17:46:41Z"},
		"without intermediate":  {signed(key, o, corp.leaf), "none of the policy's roots"},
		"wrong order":           {signed(key, o, corp.leaf, corp.root, corp.inter), "x5chain"},
		"one too many":          {signed(key, o, corp.leaf, corp.inter, corp.root, evil.root), "x5chain"},
		"other root":            {evil.sign(t, "https://corp.example"), "none of the policy's roots"},
		"not for signatures":    {signed(key, o, notSigner, corp.inter), "does not allow digital signatures"},
		"signer is no CA":       {signed(notCA.key, o, notCA, corp.leaf, corp.inter), "x5chain"},
		"long chain":            {signed(key, o, append([]*ca{corp.leaf}, long...)...), "are allowed"},
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
	corp, victim := newPKI(t, "corp"), newPKI(t, "victim")
	s := sign(t, corp.leaf.key, scitt.SignOptions{Issuer: victim.did("::subject:CN:signer"), IssuedAt: at(1_800_000_000),
		X5Chain: chainDER(corp.leaf, corp.inter, corp.root, victim.root)}, "x")
	refused(t, rootPolicy(t, corp.root, "").Admit(s, NoFacts{}), CheckKey)
	open := parse(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:x509"]}}`)
	refused(t, open.Admit(s, NoFacts{}), CheckKey)
	admitted(t, open.Admit(victim.sign(t, victim.did("::subject:CN:signer")), NoFacts{}))
	refused(t, open.Admit(victim.sign(t, "https://corp.example"), NoFacts{}), CheckKey)
}

func TestDIDX509Issuers(t *testing.T) {
	corp, evil := newPKI(t, "corp"), newPKI(t, "evil")
	did := corp.did("::subject:CN:signer:O:Example%2C%20Inc.")
	named := parse(t, `{"version": 1, "issuers": [{"issuer": "`+did+`"}]}`)
	admitted(t, named.Admit(corp.sign(t, did), NoFacts{}))
	refused(t, named.Admit(evil.sign(t, did), NoFacts{}), CheckKey)
	refused(t, named.Admit(corp.sign(t, corp.did("::subject:CN:signer")), NoFacts{}), CheckIssuer)

	pinned := parse(t, `{"version": 1, "issuers": [{"issuer": "https://acme.example", "certificates": ["`+evil.did("::eku:1.2.3")+`", "`+did+`"]}]}`)
	admitted(t, pinned.Admit(corp.sign(t, "https://acme.example"), NoFacts{}))
	contains(t, refused(t, pinned.Admit(evil.sign(t, "https://acme.example"), NoFacts{}), CheckKey), "none of those that the policy has")
}

func TestX5T(t *testing.T) {
	corp, evil := newPKI(t, "corp"), newPKI(t, "evil")
	chain := corp.leaf
	bundle := strings.TrimSuffix(pemOf(chain), `"`) + strings.TrimPrefix(pemOf(corp.inter), `"`)
	p := parse(t, `{"version": 1, "trust_anchors": {"x509_roots": [{"id": "root", "pem": `+pemOf(corp.root)+`}],
		"x509_certificates": [{"id": "signer", "pem": `+bundle+`}]}}`)
	by := func(c *ca) *scitt.Statement {
		s := *corp.sign(t, "https://corp.example")
		sum := sha256.Sum256(c.Raw)
		s.X5Chain, s.X5T = nil, &scitt.CertHash{Algorithm: -16, Digest: sum[:]}
		return &s
	}
	admitted(t, p.Admit(by(corp.leaf), NoFacts{}))
	contains(t, refused(t, p.Admit(by(evil.leaf), NoFacts{}), CheckKey), "no certificate with this x5t")
	both := by(corp.leaf)
	both.X5Chain = chainDER(corp.leaf, corp.inter)
	admitted(t, p.Admit(both, NoFacts{}))
	both.X5Chain = chainDER(evil.leaf, evil.inter)
	contains(t, refused(t, p.Admit(both, NoFacts{}), CheckKey), "not the thumbprint")
	sha1 := by(corp.leaf)
	sha1.X5T.Algorithm = -14
	refused(t, p.Admit(sha1, NoFacts{}), CheckKey)
}

func TestCertificateFacts(t *testing.T) {
	corp := newPKI(t, "corp")
	s := corp.sign(t, "https://corp.example")
	for _, expr := range []string{
		`cert.present`, `cert.subject.CN == ["signer"] && "Example, Inc." in cert.subject.O`, `cert.issuer["CN"] == ["corp CA"]`,
		`cert.dns == ["corp.example"] && cert.email == ["bob@corp.example"] && cert.uri == ["urn:corp:signer"]`,
		`cert.eku == ["1.3.6.1.5.5.7.3.3"]`, `cert.serial == "2a"`, `cert.not_before == 1700000000 && cert.not_after == 1900000000`,
		`cert.thumbprint == "` + hexSHA256(corp.leaf.Raw) + `" && cert.path[0] == cert.thumbprint`,
		`size(cert.path) == 3 && cert.path[2] == "` + hexSHA256(corp.root.Raw) + `"`,
		`cert.subject.map(k, k) == ["CN", "O"] && !has(cert.subject.OU)`, `iat >= cert.not_before`,
	} {
		p := rootPolicy(t, corp.root, ", "+rule1(expr))
		if err := p.Admit(s, NoFacts{}); err != nil {
			t.Errorf("%s: %v", expr, err)
		}
	}
	refused(t, rootPolicy(t, corp.root, ", "+rule1(`cert.subject.OU == ["x"]`)).Admit(s, NoFacts{}), "r")
	refused(t, rootPolicy(t, corp.root, ", "+rule1(`!cert.present`)).Admit(s, NoFacts{}), "r")
}

func TestDIDX509Match(t *testing.T) {
	corp := newPKI(t, "corp")
	path := []*x509.Certificate{corp.leaf.Certificate, corp.inter.Certificate, corp.root.Certificate}
	repeated := issue(t, "signer", corp.leaf.key, corp.inter, func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"a", "b"} })
	critical := issue(t, "signer", corp.leaf.key, corp.inter, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Critical: true, Value: []byte{0x30, 0}}}
	})
	inter := sha256.Sum256(corp.inter.Raw)
	leaf := sha256.Sum256(corp.leaf.Raw)
	pin := func(sum [32]byte) string { return "did:x509:0:sha256:" + b64(sum[:]) + "::subject:CN:signer" }
	wide := func(alg string) string {
		return "did:x509:0:" + alg + ":" + b64(digests[alg](corp.root.Raw)) + "::subject:CN:signer"
	}
	for did, c := range map[string]struct {
		path []*x509.Certificate
		want string
	}{
		corp.did("::subject:CN:signer"):                                  {path, ""},
		corp.did("::subject:O:Example%2C%20Inc.:CN:signer"):              {path, ""},
		corp.did("::subject:CN:signer::eku:1.3.6.1.5.5.7.3.3"):           {path, ""},
		corp.did("::san:dns:corp.example::san:email:bob%40corp.example"): {path, ""},
		corp.did("::san:uri:urn%3acorp%3Asigner"):                        {path, ""},
		corp.did("::fulcio-issuer:accounts.example.com"):                 {path, ""},
		pin(inter):     {path, ""},
		wide("sha384"): {path, ""},
		wide("sha512"): {path, ""},

		pin(leaf):                                                    {path, "fingerprint"},
		corp.did("::subject:C:US"):                                   {path, "does not fulfil subject"},
		corp.did("::subject:CN:Signer"):                              {path, "does not fulfil"},
		corp.did("::subject:2.5.4.3:signer"):                         {path, "does not fulfil"},
		corp.did("::san:dns:corp"):                                   {path, "does not fulfil"},
		corp.did("::san:email:corp.example"):                         {path, "does not fulfil"},
		corp.did("::eku:1.3.6.1.5.5.7.3.1"):                          {path, "does not fulfil"},
		corp.did("::fulcio-issuer:example.com"):                      {path, "does not fulfil"},
		corp.did("::subject:CN:signer::eku:1"):                       {path, "does not fulfil eku"},
		corp.did("::subject:CN:%73igner"):                            {path[:1], "needs a certificate of a CA"},
		corp.did("::subject:OU:a"):                                   {[]*x509.Certificate{repeated.Certificate, path[1], path[2]}, "does not fulfil"},
		corp.did("::subject:CN:signer::subject:O:Example%2C%20Inc."): {[]*x509.Certificate{critical.Certificate, path[1], path[2]}, "critical extension"},
	} {
		d, err := ParseDIDX509(did)
		if err != nil {
			t.Errorf("%s: %v", did, err)
			continue
		}
		err = d.Match(c.path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", did, err)
		case c.want != "" && err == nil:
			t.Errorf("%s: matches", did)
		case c.want != "":
			contains(t, err.Error(), c.want)
		}
	}
}

func newPath(certs []*ca) (out []*x509.Certificate) {
	for _, c := range certs {
		out = append(out, c.Certificate)
	}
	return out
}
