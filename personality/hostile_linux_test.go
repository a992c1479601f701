package personality

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/internal/testcpu"
	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
)

// mostCost is what a request may cost of a core before its issuer is known, in bare verifications of ES256 signatures: 5 ms,
// where one takes 71 us.
const mostCost = 70

// rsaOf is a key of so many bits, whose private one nobody has.
func rsaOf(bits int) *rsa.PublicKey {
	n := make([]byte, bits/8)
	_, _ = rand.Read(n) // it never fails
	n[0] |= 0x80
	n[len(n)-1] |= 1
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
}

// crafted is a COSE_Sign1 with this protected header and a garbage signature.
func crafted(t testing.TB, protected, unprotected map[any]any, payload []byte) []byte {
	t.Helper()
	h := testlog.Must(cbor.Marshal(protected))(t)
	signature := make([]byte, map[any]int{-7: 64, -36: 132, -37: 512, -39: 512}[protected[1]])
	if unprotected == nil {
		unprotected = map[any]any{}
	}
	if payload == nil {
		payload = []byte{}
	}
	_, _ = rand.Read(signature) // it never fails
	return testlog.Must(cbor.Marshal(cbor.Tag{Number: 18, Content: []any{h, unprotected, payload, signature}}))(t)
}

// didJWK is an issuer with any members of a key.
func didJWK(t testing.TB, members map[string]string) string {
	t.Helper()
	return "did:jwk:" + base64.RawURLEncoding.EncodeToString(testlog.Must(json.Marshal(members))(t))
}

// by is the protected header of a statement by an issuer.
func by(issuer string, alg int, more map[any]any) map[any]any {
	h := map[any]any{1: alg, 15: map[any]any{1: issuer, 2: "asset", 6: testpki.NotBefore.Unix() + 1}}
	maps.Copy(h, more)
	if h[33] == nil && h[4] == nil {
		h[4] = []byte("kid")
	}
	return h
}

// hostile are requests that nobody has to answer for, each different every time.
func hostile(t testing.TB, pki *testpki.PKI) map[string]func() []byte {
	t.Helper()
	// chain is n certificates, each signed by the next, with keys that are made anew.
	chain := func(n int, root *testpki.Cert, key func(i int) crypto.Signer) []byte {
		certs := []*testpki.Cert{root}
		for i := range n {
			change := testpki.CA
			if i == n-1 {
				change = testpki.LeafNames
			}
			certs = append(certs, testpki.Issue(t, fmt.Sprint("subject ", i), key(i), certs[i], change))
		}
		slices.Reverse(certs)
		return crafted(t, by("https://corp.example", -7, map[any]any{33: testpki.Chain(certs...)}), nil, nil)
	}
	p384 := func(int) crypto.Signer { return testlog.Key(t, "ES384") }
	// raw is a chain whose certificates only look signed.
	raw := func(n, bits int) []byte {
		var der [][]byte
		for i := range n {
			tmpl := &x509.Certificate{SerialNumber: big.NewInt(int64(i)), NotBefore: testpki.NotBefore, NotAfter: testpki.NotAfter, BasicConstraintsValid: true, IsCA: true}
			tmpl.Subject.CommonName = fmt.Sprint("rsa ", i)
			parent := *tmpl
			parent.Subject.CommonName = fmt.Sprint("rsa ", i+1)
			der = append(der, testlog.Must(x509.CreateCertificate(rand.Reader, tmpl, &parent, rsaOf(bits), testlog.Key(t, "ES256")))(t))
		}
		return crafted(t, by("https://corp.example", -37, map[any]any{33: der}), nil, nil)
	}
	jwkRSA := func(bits int) []byte {
		key := rsaOf(bits)
		kid, _ := scitt.NewKey(key) // none for a key of another size
		return crafted(t, by(didJWK(t, map[string]string{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": "AQAB"}), -39, map[any]any{4: kid.ID}), nil, nil)
	}
	point := base64.RawURLEncoding.EncodeToString(make([]byte, 66))
	return map[string]func() []byte{
		"x5chain: 8 of RSA-16384": func() []byte { return raw(8, 16384) },
		"x5chain: 4 of RSA-16384": func() []byte { return raw(4, 16384) },
		"x5chain: 4 of RSA-4096":  func() []byte { return raw(4, 4096) },
		"x5chain: 4 of P-384": func() []byte {
			return chain(3, testpki.Issue(t, "own root", testlog.Key(t, "ES384"), nil, testpki.CA), p384)
		},
		"x5chain: 3 below a root": func() []byte { return chain(3, pki.Root, p384) },
		"did:jwk: RSA-16384":      func() []byte { return jwkRSA(16384) },
		"did:jwk: RSA-4096":       func() []byte { return jwkRSA(4096) },
		"did:jwk: ES512":          func() []byte { return testlog.Garbage(testlog.Statement(t, testlog.Key(t, "ES512"), "a", nil)) },
		"did:jwk: ES384":          func() []byte { return testlog.Garbage(testlog.Statement(t, testlog.Key(t, "ES384"), "a", nil)) },
		"did:jwk: EdDSA":          func() []byte { return testlog.Garbage(testlog.Statement(t, testlog.Key(t, "EdDSA"), "a", nil)) },
		"did:jwk: a point off P-521": func() []byte {
			return crafted(t, by(didJWK(t, map[string]string{"kty": "EC", "crv": "P-521", "x": point, "y": point}), -36, nil), nil, nil)
		},
		"did:x509: as many predicates": func() []byte {
			return crafted(t, by(pki.DID(strings.Repeat("::san:dns:corp.example", 300)), -7, map[any]any{33: testpki.Chain(pki.Leaf, pki.Inter, pki.Root)}), nil, nil)
		},
		"a long issuer": func() []byte { return crafted(t, by("did:key:z"+strings.Repeat("z", 30_000), -7, nil), nil, nil) },
		"a large payload": func() []byte {
			return testlog.Garbage(testlog.Statement(t, testlog.Key(t, "ES256"), "a", make([]byte, 64_000)))
		},
		"a large unprotected header": func() []byte {
			return crafted(t, by("did:key:zz", -7, nil), map[any]any{394: [][]byte{make([]byte, maxBody-2000)}}, nil)
		},
		"many parameters, unprotected": func() []byte { return crafted(t, by("did:key:zz", -7, nil), many(80_000), nil) },
		"many parameters, protected":   func() []byte { return crafted(t, by("did:key:zz", -7, many(9_000)), nil, nil) },
		"deep arrays":                  func() []byte { return append(bytes.Repeat([]byte{0x81}, maxBody-1), 0x00) },
		"deep tags":                    func() []byte { return append(bytes.Repeat([]byte{0xd2}, maxBody-1), 0x00) },
		"a policy with a heavy rule": func() []byte {
			return testlog.Must(scitt.SignStatement(testlog.Key(t, "ES256"), scitt.SignOptions{Type: scitt.TypePolicy, Subject: "p", ContentType: mediaPolicy}, heavyPolicy()))(t)
		},
		"a sequence of 4 million items": func() []byte { return bytes.Repeat([]byte{0x01}, scitt.MaxSequenceBytes) },
	}
}

func many(n int) map[any]any {
	all := map[any]any{}
	for i := range n {
		all[1000+i] = i
	}
	return all
}

// heavyPolicy has as many rules as an entry has room for.
func heavyPolicy() []byte {
	rule := `{"id":"r%d","message":"m","expr":"payload.a.all(x, payload.b.all(y, payload.c.exists(z, x == y && y == z)))"},`
	var rules strings.Builder
	for i := range 400 {
		fmt.Fprintf(&rules, rule, i)
	}
	return []byte(`{"version":1,"trust_anchors":{"self_certifying":["did:jwk"]},"rules":[` + strings.TrimSuffix(rules.String(), ",") + `]}`)
}

// postHostile sends a request, and says what it took of a core.
func postHostile(t testing.TB, h http.Handler, body []byte, media string) (*scitt.Problem, time.Duration) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/entries", bytes.NewReader(body))
	r.Header.Set("Content-Type", media)
	w := httptest.NewRecorder()
	took := testcpu.Of(t, func() { h.ServeHTTP(w, r) })
	return testlog.Must(scitt.ParseProblem(w.Code, w.Body.Bytes()))(t), took
}

// TestHostile: whatever a stranger sends is refused for little, under the default
// policy and under one with roots. Of several tries the cheapest counts, since
// collecting garbage is everybody's.
func TestHostile(t *testing.T) {
	pki := testpki.New(t, "corp")
	for name, document := range map[string]string{
		"default": string(policy.Default().Canonical()),
		"roots": fmt.Sprintf(`{"version":1,"trust_anchors":{"self_certifying":["did:jwk","did:key","did:x509"],"x509_roots":[{"id":"root","pem":%q}]},"issuers":[{"issuer":"*"}]}`,
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pki.Root.Raw})),
	} {
		p := testlog.Must(policy.Parse([]byte(document)))(t)
		s := newTested(t, func(c *Config) { c.Policy.Policy = guarded{judge{p}} })
		for form, next := range hostile(t, pki) {
			media := mediaCOSE
			if strings.HasPrefix(form, "a sequence") {
				media = mediaCBORSeq
			}
			least := time.Hour
			var refusal *scitt.Problem
			most := mostCost * testcpu.ES256(t, 20) / 20
			for try := 0; try < 5 || try < 50 && least > most; try++ { // a busy machine has cold caches
				var took time.Duration
				if refusal, took = postHostile(t, s.h, next(), media); refusal.Status < 400 || refusal.Status >= 500 {
					t.Errorf("%s: %s: %v", name, form, refusal)
				}
				least = min(least, took)
			}
			t.Logf("%s: %s: %v: %.100s", name, form, least, refusal)
			if least > most && !testlog.Race {
				t.Errorf("%s: %s: %v, more than %v", name, form, least, most)
			}
		}
	}
}

// guarded is replaced by administrators only.
type guarded struct{ judge }

func (g guarded) Replace(s *scitt.Statement, entry scitt.EntryID) (Policy, error) {
	p, err := g.AdmitPolicy(s, policy.InForce{Entry: entry})
	return guarded{judge{p}}, err
}
