package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
)

func TestDefault(t *testing.T) {
	p, key := Default(), p256(t, "issuer")
	for name, k := range map[string]*scitt.Statement{
		"ES256": sign(t, key, scitt.SignOptions{}, "x"),
		"ES384": sign(t, p384(t, "issuer"), scitt.SignOptions{}, "x"),
		"EdDSA": sign(t, ed("issuer"), scitt.SignOptions{}, "x"),
		"hash":  sign(t, key, scitt.SignOptions{Hash: true}, "x"),
	} {
		t.Run(name, func(t *testing.T) { admitted(t, p.Admit(k, NoFacts{})) })
	}
	did := testpki.DIDKey(t, key.Public())
	for name, c := range map[string]struct {
		issuer string
		key    string // signs
		check  string
		cause  error
	}{
		"a name":               {"https://example.com", "issuer", CheckKey, scitt.ErrUnknownKey},
		"did:key":              {did, "issuer", CheckKey, nil},
		"did:x509":             {"did:x509:0:sha256:x::eku:1", "issuer", CheckKey, nil},
		"another's did:jwk":    {didJWK(t, key), "stranger", CheckKey, scitt.ErrUnknownKey},
		"did:jwk that is none": {"did:jwk:e30", "issuer", CheckKey, scitt.ErrAlgorithm},
	} {
		t.Run(name, func(t *testing.T) {
			err := p.Admit(sign(t, p256(t, c.key), scitt.SignOptions{Issuer: c.issuer}, "x"), NoFacts{})
			refused(t, err, c.check)
			if c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("%v does not wrap %v", err, c.cause)
			}
		})
	}
}

func TestSignature(t *testing.T) {
	data, err := scitt.SignStatement(p256(t, "issuer"), scitt.SignOptions{Subject: "test"}, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	s, err := scitt.ParseStatement(data)
	if err != nil {
		t.Fatal(err)
	}
	err = Default().Admit(s, NoFacts{})
	refused(t, err, CheckSignature)
	if !errors.Is(err, scitt.ErrSignature) {
		t.Errorf("%v does not wrap ErrSignature", err)
	}
	// What costs more is not looked at before the signature verifies.
	rep, err := with(t, `"chain": "required", `+rule1("false")).Explain(s, failingFacts{})
	if err != nil || rep.Signed || rep.Admitted() {
		t.Errorf("report %+v, error %v", rep, err)
	}
}

func TestProblem(t *testing.T) {
	key := p384(t, "issuer")
	p := with(t, `"limits": {"algorithms": ["ES256"], "max_entry_bytes": 100}`)
	err := p.Admit(sign(t, key, scitt.SignOptions{}, strings.Repeat("x", 100)), NoFacts{})
	detail := refused(t, err, CheckSize, CheckAlgorithm)
	contains(t, detail, "ES384", "only ES256", "allows 100", "hash envelope")
	problem := scitt.ProblemOf(err)
	if problem == nil || problem.Status != 400 || problem.Title != "Bad Signature Algorithm" || problem.Detail != detail {
		t.Errorf("problem %+v", problem)
	}
	problem = scitt.ProblemOf(with(t, rule1("false")).Admit(sign(t, key, scitt.SignOptions{}, "x"), NoFacts{}))
	if problem == nil || problem.Status != 400 || problem.Title != "Rejected" {
		t.Errorf("problem %+v", problem)
	}
	contains(t, problem.Detail, "r: the message", "to pass: make this true: false")
}

func TestAllFailuresAreNamed(t *testing.T) {
	key := p256(t, "issuer")
	p := parse(t, `{"version": 1, "chain": "required", "artifact": "required", "limits": {"max_entry_bytes": 10},
		"issuers": [{"issuer": "`+didJWK(t, key)+`", "subjects": ["a/*", "b"], "content_types": ["text/*"]}],
		"ocsf": {"mode": "enforce"},
		"rules": [{"id": "one", "expr": "iat > 0", "message": "needs iat"}, {"id": "two", "expr": "true", "message": "never"},
			{"id": "three", "expr": "payload.x == 1", "message": "needs x"}]}`)
	err := p.Admit(sign(t, key, scitt.SignOptions{Hash: true, ContentType: "application/json"}, "{}"), NoFacts{})
	detail := refused(t, err, CheckSize, CheckSubject, CheckContentType, CheckChain, CheckArtifact, CheckOCSF, "one", "three")
	contains(t, detail, `subject "test"`, `"a/*", "b"`, `type "application/json"`, "needs iat", "needs x", "payload is a hash")
}

func TestExplain(t *testing.T) {
	key := p256(t, "issuer")
	p := with(t, `"limits": {"algorithms": ["ES256"]}, `+rule1(`sub == "test"`))
	rep, err := p.Explain(sign(t, key, scitt.SignOptions{}, "x"), NoFacts{})
	if err != nil {
		t.Fatal(err)
	}
	var checks []string
	for _, f := range rep.Findings {
		checks = append(checks, f.String())
	}
	want := "issuer: passed|size: passed|algorithm: passed|key: passed|signature: passed|r: passed"
	if got := strings.Join(checks, "|"); got != want || !rep.Admitted() || !rep.Signed || rep.Cost == 0 {
		t.Errorf("got %s, admitted %v, signed %v, cost %d", got, rep.Admitted(), rep.Signed, rep.Cost)
	}
	rep, err = p.Explain(sign(t, key, scitt.SignOptions{Subject: "other"}, "x"), NoFacts{})
	if err != nil || rep.Admitted() || rep.Findings[5].Outcome != Failed {
		t.Errorf("report %+v, error %v", rep, err)
	}
}

func TestReservedTypes(t *testing.T) {
	for _, typ := range []string{scitt.TypePolicy, scitt.TypeKeys} {
		refused(t, Default().Admit(sign(t, p256(t, "issuer"), scitt.SignOptions{Type: typ}, "{}"), NoFacts{}), CheckType)
	}
	admitted(t, Default().Admit(sign(t, p256(t, "issuer"), scitt.SignOptions{Type: scitt.TypeRecord}, "{}"), NoFacts{}))
}

func TestIssuers(t *testing.T) {
	a, b := p256(t, "a"), ed("b")
	p := parse(t, `{"version": 1, "trust_anchors": {
			"self_certifying": ["did:key"],
			"keys": [{"id": "a", "jwk": `+jwk(t, a)+`}, {"id": "b", "jwk": `+jwk(t, b)+`}]},
		"issuers": [
			{"issuer": "https://a.example", "keys": ["a"], "subjects": ["inventory/*"], "content_types": ["Application/JSON"]},
			{"issuer": "https://*.b.example", "keys": ["b"]},
			{"issuer": "https://*", "keys": ["a"]},
			{"issuer": "`+didJWK(t, a)+`"},
			{"issuer": "did:key:*", "subjects": ["public"]}]}`)
	bKey := testpki.DIDKey(t, b.Public())
	for name, c := range map[string]struct {
		key    *scitt.Statement
		checks []string
	}{
		"exact":                      {sign(t, a, scitt.SignOptions{Issuer: "https://a.example", Subject: "inventory/1", ContentType: "application/json; charset=utf-8"}, "{}"), nil},
		"another's key":              {sign(t, b, scitt.SignOptions{Issuer: "https://a.example", Subject: "inventory/1", ContentType: "application/json"}, "{}"), []string{CheckKey}},
		"subject":                    {sign(t, a, scitt.SignOptions{Issuer: "https://a.example", Subject: "config/1", ContentType: "application/json"}, "{}"), []string{CheckSubject}},
		"content type":               {sign(t, a, scitt.SignOptions{Issuer: "https://a.example", Subject: "inventory/1"}, "{}"), []string{CheckContentType}},
		"pattern":                    {sign(t, b, scitt.SignOptions{Issuer: "https://x.b.example"}, "{}"), nil},
		"the first pattern counts":   {sign(t, a, scitt.SignOptions{Issuer: "https://x.b.example"}, "{}"), []string{CheckKey}},
		"second pattern":             {sign(t, a, scitt.SignOptions{Issuer: "https://c.example"}, "{}"), nil},
		"named did:jwk":              {sign(t, a, scitt.SignOptions{}, "{}"), nil},
		"another did:jwk":            {sign(t, b, scitt.SignOptions{}, "{}"), []string{CheckIssuer}},
		"did:key":                    {sign(t, b, scitt.SignOptions{Issuer: bKey, Subject: "public"}, "{}"), nil},
		"did:key of another":         {sign(t, a, scitt.SignOptions{Issuer: bKey, Subject: "public"}, "{}"), []string{CheckKey}},
		"did:key on another subject": {sign(t, b, scitt.SignOptions{Issuer: bKey}, "{}"), []string{CheckSubject}},
		"stranger":                   {sign(t, a, scitt.SignOptions{Issuer: "urn:x"}, "{}"), []string{CheckIssuer}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := p.Admit(c.key, NoFacts{}); c.checks == nil {
				admitted(t, err)
			} else {
				refused(t, err, c.checks...)
			}
		})
	}
}

func TestCOSEKeyAndKid(t *testing.T) {
	key := p256(t, "a")
	raw, err := scitt.Key{ID: []byte("kid-1"), Public: key.Public()}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, `{"version": 1, "trust_anchors": {"keys": [{"id": "a", "cose_key": "`+b64(raw)+`"}]}, "issuers": [{"issuer": "urn:a", "keys": ["a"]}]}`)
	admitted(t, p.Admit(sign(t, key, scitt.SignOptions{Issuer: "urn:a"}, "x"), NoFacts{})) // by its thumbprint
	for kid, want := range map[string]string{"kid-1": "", "kid-2": CheckKey, "": CheckKey} {
		s := *sign(t, key, scitt.SignOptions{Issuer: "urn:a"}, "x")
		if s.KeyID = []byte(kid); want == "" {
			admitted(t, p.Admit(&s, NoFacts{}))
		} else {
			refused(t, p.Admit(&s, NoFacts{}), want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"*", "a/b", true},
		{"a*", "a", true}, {"a*", "abc", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"a*b", "ab", true}, {"a*b", "axxb", true}, {"a*b", "a", false}, {"ab*b", "ab", false},
		{"a*b*c", "abc", true}, {"a*b*c", "axbxbxc", true}, {"a*b*c", "acb", false}, {"a**b", "ab", true},
		{"*.example", "a.example", true}, {"*.example", "example", false}, {"a?", "ab", false}, {"[a]", "a", false},
	} {
		if got := match(c.pattern, c.text); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.text, got)
		}
	}
}
