package policy

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// TestOneKeyForOneKid: an issuer and a kid name one key, wherever the policy
// has it from; two issuers may use one kid.
func TestOneKeyForOneKid(t *testing.T) {
	key := func(id, name, kid string) string {
		raw, err := scitt.Key{ID: []byte(kid), Public: p256(t, name).Public()}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return `{"id": "` + id + `", "cose_key": "` + b64(raw) + `"}`
	}
	keys := `"trust_anchors": {"keys": [` + key("a", "a", "1") + `, ` + key("b", "b", "1") + `, ` + key("c", "c", "2") + `]}`
	issuer := func(name, keys string) string { return `{"issuer": "` + name + `", "keys": [` + keys + `]}` }
	for name, c := range map[string]struct {
		issuers, admins string
		want            string // "" when the policy is fine
	}{
		"two kids":                  {issuer("https://a.example", `"a", "c"`), "", ""},
		"two issuers":               {issuer("https://a.example", `"a"`) + `, ` + issuer("https://b.example", `"b"`), "", ""},
		"an issuer beside patterns": {issuer("https://a.example", `"a"`) + `, ` + issuer("https://b*", `"b"`), "", ""},
		"an administrator of two":   {issuer("https://a.example", `"a"`), issuer("https://b.example", `"b"`), ""},
		"the same key twice":        {issuer("https://a.example", `"a"`), issuer("https://a.example", `"a"`), ""},
		"one issuer":                {issuer("https://a.example", `"a", "b"`), "", `the keys "a" and "b" have one kid`},
		"one pattern":               {issuer("https://*", `"a", "b"`), "", "have one kid"},
		"one administrator":         {issuer("https://c.example", `"c"`), issuer("https://a.example", `"a", "b"`), "have one kid"},
		"as an administrator":       {issuer("https://a.example", `"a"`), issuer("https://a.example", `"b"`), "have one kid"},
		"as one, by a pattern":      {issuer("https://*", `"a"`), issuer("https://a.example", `"b"`), "have one kid"},
		"an issuer and its pattern": {issuer("https://a.example", `"a"`) + `, ` + issuer("https://*", `"b"`), "", "have one kid"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := `{"version": 1, ` + keys + `, "issuers": [` + c.issuers + `]`
			if c.admins != "" {
				doc += `, "administrators": [` + c.admins + `]`
			}
			_, err := Parse([]byte(doc + "}"))
			if c.want == "" {
				admitted(t, err)
			} else if err == nil {
				t.Error("it is read")
			} else {
				contains(t, err.Error(), c.want)
			}
		})
	}
}

// TestIdentifiersTogether: what stands beside the identifier by which the
// policy knows the key must name the same key.
func TestIdentifiersTogether(t *testing.T) {
	corp, evil := testpki.New(t, "corp"), testpki.New(t, "evil")
	key := corp.Leaf.Key
	self := Default()
	listed := parse(t, `{"version": 1, "trust_anchors": {"keys": [{"id": "a", "jwk": `+jwk(t, key)+`}]}, "issuers": [{"issuer": "urn:a", "keys": ["a"]}]}`)
	certified := rootPolicy(t, corp.Root, "")
	for name, c := range map[string]struct {
		p      *Policy
		issuer string
	}{"did:jwk": {self, didJWK(t, key)}, "key": {listed, "urn:a"}, "root": {certified, "https://corp.example"}} {
		plain := sign(t, key, scitt.SignOptions{Issuer: c.issuer, IssuedAt: at(1_800_000_000)}, "x")
		for what, change := range map[string]func(s *scitt.Statement){
			"":                func(s *scitt.Statement) { s.X5Chain = testpki.Chain(corp.Leaf, corp.Inter) },
			"another's chain": func(s *scitt.Statement) { s.X5Chain = testpki.Chain(evil.Leaf, evil.Inter) },
			"garbage":         func(s *scitt.Statement) { s.X5Chain = [][]byte{[]byte("garbage")} },
			"2,000":           func(s *scitt.Statement) { s.X5Chain = make([][]byte, 2000) },
			"another's x5t": func(s *scitt.Statement) {
				sum := sha256.Sum256(evil.Leaf.Raw)
				s.X5T = &scitt.CertHash{Algorithm: -16, Digest: sum[:]}
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				s := *plain // the signature stays good
				if change(&s); what == "" {
					admitted(t, c.p.Admit(&s, NoFacts{}))
				} else {
					refused(t, c.p.Admit(&s, NoFacts{}), CheckKey)
				}
			})
		}
	}
}

// TestNoClock: a policy judges at the statement's iat, and nothing that it
// judges depends on when it does. crypto/x509 takes the zero time, in the year 1, for now.
func TestNoClock(t *testing.T) {
	old := &testpki.PKI{}
	early := func(c *x509.Certificate) { c.NotBefore = time.Time{} }
	old.Root = testpki.Issue(t, "Old Root", p256(t, "old root"), nil, func(c *x509.Certificate) { testpki.CA(c); early(c) })
	old.Inter = testpki.Issue(t, "Old CA", p256(t, "old inter"), old.Root, func(c *x509.Certificate) { testpki.CA(c); early(c) })
	old.Leaf = testpki.Issue(t, "signer", p256(t, "old leaf"), old.Inter, func(c *x509.Certificate) { testpki.LeafNames(c); early(c) })
	if !old.Root.NotBefore.IsZero() {
		t.Fatal("the certificate does not begin in the year 1")
	}
	issuer := old.DID("::subject:CN:signer")
	policies := map[string]string{
		"self-certifying": `{"version": 1, "trust_anchors": {"self_certifying": ["did:x509"]}}`,
		"root":            `{"version": 1, "trust_anchors": {"x509_roots": [{"id": "root", "pem": ` + pemOf(old.Root) + `}]}}`,
	}
	statements := map[string]*scitt.Statement{}
	for _, iat := range []int64{-1, 1, 1_600_000_000, 1_899_999_999, 1_900_000_001} {
		for _, iss := range []string{issuer, "https://corp.example"} {
			statements[fmt.Sprint(iat, iss)] = sign(t, old.Leaf.Key, scitt.SignOptions{Issuer: iss, IssuedAt: at(iat), X5Chain: testpki.Chain(old.Leaf, old.Inter, old.Root)}, "x")
		}
	}
	judge := func() map[string]string {
		out := map[string]string{}
		for name, doc := range policies {
			p := parse(t, doc)
			for id, s := range statements {
				out[name+" "+id] = fmt.Sprint(p.Admit(s, NoFacts{}))
			}
		}
		return out
	}
	now := judge()
	synctest.Test(t, func(t *testing.T) {
		for _, wait := range []time.Duration{0, 20 * 365 * 24 * time.Hour, 80 * 365 * 24 * time.Hour} { // from the year 2000 on
			time.Sleep(wait)
			for id, then := range judge() {
				if then != now[id] {
					t.Errorf("%s: %q in %d, and %q now", id, then, time.Now().Year(), now[id])
				}
			}
		}
	})
	for id, answer := range now {
		good := !strings.Contains(id, " -1") && !strings.Contains(id, "1900000001") && (strings.Contains(id, "did:x509") || strings.HasPrefix(id, "root"))
		if (answer == "<nil>") != good {
			t.Errorf("%s: %s", id, answer)
		}
	}
}

// hugeRSA is a chain whose keys are RSA keys of 16,384 bits: nobody has the
// private ones, and whoever verifies with the public ones pays for it.
func hugeRSA(t testing.TB, n int) [][]byte {
	t.Helper()
	modulus := new(big.Int).SetBytes(bytes.Repeat([]byte{0xff}, 2048))
	var chain []*testpki.Cert
	for i := range n {
		signer := testpki.Issue(t, fmt.Sprint("above ", i), p256(t, "above"), nil, testpki.CA)
		chain = append(chain, testpki.Issue(t, fmt.Sprint("huge ", i), publicOnly{&rsa.PublicKey{N: modulus, E: 1<<31 - 1}}, signer, testpki.CA))
	}
	return testpki.Chain(chain...)
}

type publicOnly struct{ key *rsa.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.key }

func (publicOnly) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	panic("nobody has the key")
}

// strangers are statements by nobody that the policies know, each as dear to
// refuse as it can be made.
func strangers(t testing.TB) map[string]struct {
	p *Policy
	s *scitt.Statement
} {
	corp, evil := testpki.New(t, "corp"), testpki.New(t, "evil")
	roots := rootPolicy(t, corp.Root, "")
	open := parse(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:x509", "did:jwk"]}}`)
	with := func(s *scitt.Statement, chain [][]byte) *scitt.Statement {
		c := *s
		c.X5Chain = chain
		return &c
	}
	// A whole chain of the slowest keys that a CA may have.
	deep := []*testpki.Cert{testpki.Issue(t, "deep 0", p384(t, "deep 0"), nil, testpki.CA)}
	for i := 1; i < did.MaxChain-1; i++ {
		deep = append([]*testpki.Cert{testpki.Issue(t, fmt.Sprint("deep ", i), p384(t, fmt.Sprint("deep ", i)), deep[0], testpki.CA)}, deep...)
	}
	deep = append([]*testpki.Cert{testpki.Issue(t, "signer", p384(t, "deep"), deep[0], testpki.LeafNames)}, deep...)
	pin := sha256.Sum256(deep[len(deep)-1].Raw)
	forged := testpki.Issue(t, "corp Root", p384(t, "forged"), nil, testpki.CA) // its name, not its key
	below := testpki.Issue(t, "a CA", p384(t, "below"), forged, testpki.CA)
	leaf := testpki.Issue(t, "signer", p384(t, "leaf"), below, testpki.LeafNames)
	// The same with a CA at its top that a root issued, and that the one below it is not of.
	alien := append(slices.Clone(deep[:did.MaxChain-1]), testpki.Issue(t, fmt.Sprint("deep ", 0), p384(t, "alien"), corp.Root, testpki.CA))
	alienPin := sha256.Sum256(alien[did.MaxChain-1].Raw)
	both := parse(t, `{"version": 1, "trust_anchors": {"self_certifying": ["did:x509"], "x509_roots": [{"id": "root", "pem": `+pemOf(corp.Root)+`}]}}`)
	as := func(key crypto.Signer, issuer string, chain ...*testpki.Cert) *scitt.Statement {
		return sign(t, key, scitt.SignOptions{Issuer: issuer, IssuedAt: at(1_800_000_000), X5Chain: testpki.Chain(chain...)}, "x")
	}
	stranger := signBy(t, evil, "https://corp.example")
	return map[string]struct {
		p *Policy
		s *scitt.Statement
	}{
		"huge keys, default policy":   {Default(), with(stranger, hugeRSA(t, did.MaxChain))},
		"huge keys below a root":      {roots, with(stranger, append(testpki.Chain(corp.Leaf), hugeRSA(t, did.MaxChain-1)...))},
		"huge keys, did:jwk":          {open, with(sign(t, p256(t, "a"), scitt.SignOptions{}, "x"), hugeRSA(t, did.MaxChain))},
		"huge keys, did:x509":         {open, with(signBy(t, evil, evil.DID("::subject:CN:signer")), hugeRSA(t, did.MaxChain))},
		"many certificates":           {open, with(signBy(t, evil, evil.DID("::subject:CN:signer")), make([][]byte, 2000))},
		"another root":                {roots, stranger},
		"a root's name":               {roots, as(leaf.Key, "https://corp.example", leaf, below)},
		"a certificate of its own":    {roots, as(corp.Leaf.Key, "https://other.example", corp.Leaf, corp.Inter)},
		"did:x509, a whole chain":     {open, as(deep[0].Key, "did:x509:0:sha256:"+b64(pin[:])+"::subject:CN:signer", deep...)},
		"did:x509, another predicate": {open, as(deep[0].Key, "did:x509:0:sha256:"+b64(pin[:])+"::subject:CN:other", deep...)},
		"did:x509, a broken chain":    {both, as(alien[0].Key, "did:x509:0:sha256:"+b64(alienPin[:])+"::subject:CN:signer", alien...)},
		"did:jwk, P-521":              {open, sign(t, testpki.P521(t, "a"), scitt.SignOptions{}, "x")},
	}
}

// TestStrangersAreCheap: what is not the policy's is refused before anything
// is computed with a stranger's keys. That the reason is one of form shows it:
// a signature was not looked at.
func TestStrangersAreCheap(t *testing.T) {
	all := strangers(t)
	for name, want := range map[string]string{
		"huge keys, default policy":   "nothing is known of the issuer",
		"huge keys below a root":      "an RSA key of 16384 bits",
		"huge keys, did:jwk":          "an RSA key of 16384 bits",
		"huge keys, did:x509":         "an RSA key of 16384 bits",
		"many certificates":           "2000 certificates",
		"another root":                "leads to none of the trusted roots",
		"a root's name":               "must be followed by the one that signed it", // by the root's own key, the first that is used
		"a certificate of its own":    "not issued to this issuer",
		"did:x509, another predicate": "does not fulfil",
		"did:x509, a broken chain":    "x5chain",
	} {
		contains(t, refused(t, all[name].p.Admit(all[name].s, NoFacts{}), CheckKey), want)
	}
	for _, name := range []string{"did:x509, a whole chain", "did:jwk, P-521"} {
		admitted(t, all[name].p.Admit(all[name].s, NoFacts{})) // the dearest that a policy can trust
	}
}

// BenchmarkStranger is what a statement costs that was never seen before.
func BenchmarkStranger(b *testing.B) {
	for name, c := range strangers(b) {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				c.p.anchors = scitt.NewAnchors(c.p.methods, c.p.roots, c.p.known) // without a cache
				_ = c.p.Admit(c.s, NoFacts{})
			}
		})
	}
}
