package policy

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/scitt"
)

func TestAdmitPolicy(t *testing.T) {
	admin, service, stranger := p256(t, "admin"), p256(t, "service"), p256(t, "stranger")
	inForce := parse(t, `{"version": 1, "limits": {"algorithms": ["ES256"], "max_entry_bytes": 1}, "chain": "required",
		"trust_anchors": {"self_certifying": ["did:jwk"], "keys": [{"id": "admin", "jwk": `+jwk(t, admin)+`}]},
		"administrators": [{"issuer": "https://admin.example", "keys": ["admin"]}, {"issuer": "`+didJWK(t, admin)+`"}, {"issuer": "`+didJWK(t, ed("admin"))+`"}],
		"rules": [{"id": "never", "expr": "false", "message": "m"}], "ocsf": {"mode": "enforce"}}`)
	at := InForce{Entry: scitt.EntryID{1}, Subject: "log/policy", ServiceKeys: keySet(t, service, ed("service"))}
	const plain = `{"version": 1, "description": "next"}`
	next, err := WithPrevious([]byte(plain), at.Entry)
	if err != nil {
		t.Fatal(err)
	}
	old, err := WithPrevious([]byte(plain), scitt.EntryID{2})
	if err != nil {
		t.Fatal(err)
	}
	o := scitt.SignOptions{Subject: "log/policy", Type: scitt.TypePolicy, ContentType: "application/json"}
	as := func(issuer string) scitt.SignOptions { o := o; o.Issuer = issuer; return o }
	typed := func(typ string) scitt.SignOptions { o := o; o.Type = typ; return o }
	elsewhere, hashed := o, o
	elsewhere.Subject, hashed.Hash = "another/policy", true
	for name, c := range map[string]struct {
		s      *scitt.Statement
		checks []string
		want   string
	}{
		"administrator by name":    {sign(t, admin, as("https://admin.example"), string(next)), nil, ""},
		"administrator by did:jwk": {sign(t, admin, o, string(next)), nil, ""},
		"service":                  {sign(t, service, as("https://log.example"), string(next)), nil, ""},
		"stranger":                 {sign(t, stranger, o, string(next)), []string{CheckIssuer}, "no administrator"},
		"stranger, bad document":   {sign(t, stranger, o, "{"), []string{CheckIssuer}, "no administrator"},
		"stranger as admin":        {sign(t, stranger, as("https://admin.example"), string(next)), []string{CheckKey}, "no key"},
		"algorithm":                {sign(t, ed("admin"), o, string(next)), []string{CheckAlgorithm}, "EdDSA"},
		"service, any algorithm":   {sign(t, ed("service"), o, string(next)), nil, ""},
		"no previous":              {sign(t, admin, o, plain), []string{CheckPrevious}, "does not say which policy it replaces (to pass: set \"previous\" to \"" + at.Entry.String()},
		"replay of an older":       {sign(t, admin, o, string(old)), []string{CheckPrevious}, "not in force"},
		"replay by the service":    {sign(t, service, o, string(old)), []string{CheckPrevious}, "not in force"},
		"broken":                   {sign(t, admin, o, "{"), []string{CheckPayload}, "line 1"},
		"unknown field":            {sign(t, admin, o, `{"version": 1, "x": 1}`), []string{CheckPayload}, "x: unknown field"},
		"rule does not compile":    {sign(t, admin, o, `{"version": 1, `+rule1("x")+`}`), []string{CheckPayload}, "undeclared reference"},
		"rule too dear":            {sign(t, admin, o, `{"version": 1, `+rule1("payload.all(a, payload.all(b, payload.all(c, a == b)))")+`}`), []string{CheckPayload}, "may cost"},
		"hash envelope":            {sign(t, admin, hashed, string(next)), []string{CheckPayload}, "a hash and not the document"},
		"another log":              {sign(t, admin, elsewhere, string(next)), []string{CheckSubject}, "this log's policy"},
		"record":                   {sign(t, admin, typed(scitt.TypeRecord), string(next)), []string{CheckType, CheckPayload}, "not that of a policy"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := inForce.AdmitPolicy(c.s, at)
			if c.checks == nil {
				admitted(t, err)
				if p.Description() != "next" {
					t.Errorf("got %s", p.Canonical())
				}
				return
			}
			contains(t, refused(t, err, c.checks...), c.want)
			if p != nil {
				t.Error("a refused policy came back")
			}
		})
	}

	tampered, err := scitt.SignStatement(admin, o, next)
	if err != nil {
		t.Fatal(err)
	}
	tampered[len(tampered)-1] ^= 1
	s, err := scitt.ParseStatement(tampered)
	if err != nil {
		t.Fatal(err)
	}
	_, err = inForce.AdmitPolicy(s, at)
	refused(t, err, CheckSignature)

	// Of two changes that replace the same policy, the second is refused.
	first, second := sign(t, admin, o, string(next)), sign(t, admin, o, strings.Replace(string(next), "next", "too late", 1))
	p, err := inForce.AdmitPolicy(first, at)
	admitted(t, err)
	after := at
	after.Entry = first.ID()
	_, err = p.AdmitPolicy(second, after)
	refused(t, err, CheckIssuer) // and "next" has no administrator at all
	_, err = inForce.AdmitPolicy(second, after)
	refused(t, err, CheckPrevious)
}

func TestFromStatement(t *testing.T) {
	key := p256(t, "a")
	if p, err := FromStatement(sign(t, key, scitt.SignOptions{Type: scitt.TypePolicy}, `{"version": 1}`)); err != nil || p == nil {
		t.Error(err)
	}
	for name, s := range map[string]*scitt.Statement{
		"type":     sign(t, key, scitt.SignOptions{}, `{"version": 1}`),
		"hash":     sign(t, key, scitt.SignOptions{Type: scitt.TypePolicy, Hash: true}, `{"version": 1}`),
		"document": sign(t, key, scitt.SignOptions{Type: scitt.TypePolicy}, `{}`),
	} {
		if _, err := FromStatement(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func keySet(t *testing.T, keys ...crypto.Signer) (set scitt.KeySet) {
	t.Helper()
	for _, k := range keys {
		key, err := scitt.NewKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, key)
	}
	return set
}

// TestSchema: a policy for another schema than the one that is loaded is
// refused, also as a successor.
func TestSchema(t *testing.T) {
	schema, digest := ocsf.Default(), sha256.Sum256([]byte("a schema file"))
	pinned := `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}, "ocsf": {"mode": "enforce", "schema": "` + hexSHA256([]byte("a schema file")) + `"}}`
	p, err := Parse([]byte(pinned), WithSchema(schema, digest))
	if err != nil {
		t.Fatal(err)
	}
	event, err := os.ReadFile("ocsf/testdata/measurement.json")
	if err != nil {
		t.Fatal(err)
	}
	admitted(t, p.Admit(sign(t, p256(t, "a"), scitt.SignOptions{ContentType: "application/json"}, string(event)), NoFacts{}))
	if _, err := p.successor([]byte(pinned)); err != nil {
		t.Errorf("successor: %v", err)
	}
	for name, c := range map[string]struct {
		doc     string
		options []Option
	}{
		"without the file":  {pinned, nil},
		"with another file": {pinned, []Option{WithSchema(schema, sha256.Sum256(nil))}},
		"not pinned":        {`{"version": 1, "ocsf": {"mode": "warn"}}`, []Option{WithSchema(schema, digest)}},
	} {
		if _, err := Parse([]byte(c.doc), c.options...); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse([]byte(`{"version": 1, "ocsf": {"mode": "off"}}`), WithSchema(schema, digest)); err != nil {
		t.Error(err)
	}
}

func TestLint(t *testing.T) {
	a := `{"id": "a", "jwk": ` + jwk(t, p256(t, "a")) + `}`
	admin := `"administrators": [{"issuer": "` + didJWK(t, p256(t, "admin")) + `"}]`
	corp := testpki.New(t, "corp")
	root := `"x509_roots": [{"id": "root", "pem": ` + pemOf(corp.Root) + `}]`
	for name, c := range map[string]struct {
		members string
		want    []string
	}{
		"clean":             {`"trust_anchors": {"keys": [` + a + `]}, "issuers": [{"issuer": "https://a.example", "keys": ["a"]}], ` + admin, nil},
		"nobody at all":     {admin, []string{"locks everyone out"}},
		"issuer, no key":    {`"issuers": [{"issuer": "https://a.example"}], ` + admin, []string{"locks everyone out", "issuers[0]: \"https://a.example\" cannot sign"}},
		"method not used":   {`"trust_anchors": {"self_certifying": ["did:key"]}, "issuers": [{"issuer": "did:jwk:*"}], ` + admin, []string{"locks everyone out", "cannot sign"}},
		"method used":       {`"trust_anchors": {"self_certifying": ["did:key"]}, "issuers": [{"issuer": "did:*"}], ` + admin, nil},
		"no administrator":  {`"trust_anchors": {"keys": [` + a + `]}, "issuers": [{"issuer": "https://a.example", "keys": ["a"]}]`, []string{"nobody but the service"}},
		"admin, no key":     {`"trust_anchors": {"keys": [` + a + `]}, "issuers": [{"issuer": "https://a.example", "keys": ["a"]}], "administrators": [{"issuer": "https://b.example"}]`, []string{"no administrator has a key of an allowed"}},
		"admin, algorithm":  {`"limits": {"algorithms": ["EdDSA"]}, "trust_anchors": {"self_certifying": ["did:jwk"]}, "issuers": [{"issuer": "did:*"}], ` + admin, []string{"no administrator has a key of an allowed"}},
		"algorithm":         {`"limits": {"algorithms": ["EdDSA"]}, "trust_anchors": {"keys": [` + a + `]}, "issuers": [{"issuer": "https://a.example", "keys": ["a"]}], "administrators": [{"issuer": "` + didJWK(t, ed("b")) + `"}]`, []string{"locks everyone out", "cannot sign"}},
		"unused key":        {`"trust_anchors": {"self_certifying": ["did:jwk"], "keys": [` + a + `]}, "issuers": [{"issuer": "did:jwk:*"}], ` + admin, []string{`nobody uses the key "a"`}},
		"open":              {`"trust_anchors": {"self_certifying": ["did:jwk"]}, ` + admin, []string{"anybody can make"}},
		"shadowed":          {`"trust_anchors": {"self_certifying": ["did:jwk"]}, "issuers": [{"issuer": "did:*"}, {"issuer": "did:jwk:*"}], ` + admin, []string{"issuers[1]: is never used: issuers[0]"}},
		"key for a pattern": {`"trust_anchors": {"keys": [` + a + `]}, "issuers": [{"issuer": "https://*", "keys": ["a"]}], ` + admin, []string{"may sign as every issuer"}},
		"rule false":        {`"trust_anchors": {"keys": [` + a + `]}, "issuers": [{"issuer": "x", "keys": ["a"]}], ` + rule1("1 > 2") + ", " + admin, []string{"rules[0]: locks everyone out"}},
		"rule true":         {`"trust_anchors": {"keys": [` + a + `]}, "issuers": [{"issuer": "x", "keys": ["a"]}], ` + rule1("1 < 2") + ", " + admin, []string{"rules[0]: refuses nothing"}},
		"roots":             {`"trust_anchors": {` + root + `}, ` + admin, nil},
		"roots and method":  {`"trust_anchors": {"self_certifying": ["did:x509"], ` + root + `}, "issuers": [{"issuer": "did:x509:*"}], ` + admin, []string{"do not restrict did:x509"}},
		"ocsf of hashes":    {`"trust_anchors": {` + root + `}, "ocsf": {"mode": "enforce"}, ` + admin, []string{"refuses every hash envelope"}},
		"ocsf of artifacts": {`"trust_anchors": {` + root + `}, "artifact": "required", "ocsf": {"mode": "enforce"}, ` + admin, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := parse(t, `{"version": 1, `+c.members+`}`).Warnings()
			if len(got) != len(c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
			for i := range got {
				contains(t, got[i], c.want[i])
			}
		})
	}
}

func TestDiff(t *testing.T) {
	a := parse(t, `{"version": 1, "chain": "off", "limits": {"algorithms": ["ES256", "EdDSA"]}, "issuers": [{"issuer": "https://a", "subjects": ["x", "y"]}, {"issuer": "b*"}],
		"rules": [{"id": "one", "expr": "iat > 0", "message": "m"}, {"id": "two", "expr": "iat > 1", "message": "m"}]}`)
	b := parse(t, `{"version": 1, "chain": "required", "limits": {"algorithms": ["EdDSA", "ES256"]}, "issuers": [{"issuer": "b*"}, {"issuer": "https://a", "subjects": ["x", "z"]}],
		"previous": "`+strings.Repeat("0", 64)+`", "rules": [{"id": "two", "expr": "iat > 2", "message": "m"}, {"id": "three", "expr": "iat > 1", "message": "m"}]}`)
	want := []string{`- chain = "off"`, `+ chain = "required"`, `- issuers[https://a].subjects[] = "y"`, `+ issuers[https://a].subjects[] = "z"`,
		`- rules[one].expr = "iat > 0"`, `- rules[one].id = "one"`, `- rules[one].message = "m"`,
		`+ rules[three].expr = "iat > 1"`, `+ rules[three].id = "three"`, `+ rules[three].message = "m"`,
		`- rules[two].expr = "iat > 1"`, `+ rules[two].expr = "iat > 2"`}
	if got := Diff(a, b); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if got := Diff(a, a); got != nil {
		t.Errorf("got %v", got)
	}
	// The order of patterns decides which of them counts.
	x, y := parse(t, `{"version": 1, "issuers": [{"issuer": "a*"}, {"issuer": "ab*"}]}`), parse(t, `{"version": 1, "issuers": [{"issuer": "ab*"}, {"issuer": "a*"}]}`)
	if got := Diff(x, y); len(got) != 1 || got[0] != "+ issuers = in the order ab*, a*" {
		t.Errorf("got %v", got)
	}
}
