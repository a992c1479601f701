package policy

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/internal/testwait"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

func TestMain(m *testing.M) {
	testwait.Quick()
	m.Run()
}

// p256 and the others derive a key from its name: the same in every run.
var p256, p384, ed = testpki.P256, testpki.P384, testpki.Ed25519

func jwk(t testing.TB, key crypto.Signer) string {
	t.Helper()
	b, err := did.MarshalJWK(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func didJWK(t testing.TB, key crypto.Signer) string {
	t.Helper()
	iss, err := did.NewJWK(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return iss
}

// sign makes a statement; the subject is "test" unless o has one.
func sign(t testing.TB, key crypto.Signer, o scitt.SignOptions, content string) *scitt.Statement {
	t.Helper()
	if o.Subject == "" {
		o.Subject = "test"
	}
	data, err := scitt.SignStatement(key, o, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	s, err := scitt.ParseStatement(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// with makes a policy that trusts did:jwk and has these members too.
func with(t testing.TB, members string) *Policy {
	t.Helper()
	doc := `{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk"]}`
	if members != "" {
		doc += ", " + members
	}
	return parse(t, doc+"}")
}

func parse(t testing.TB, doc string) *Policy {
	t.Helper()
	p, err := Parse([]byte(doc))
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return p
}

func rule1(expr string) string {
	b, err := json.Marshal([]map[string]string{{"id": "r", "expr": expr, "message": "the message"}})
	if err != nil {
		panic(err)
	}
	return `"rules": ` + string(b)
}

// refused checks that err is a Refusal by exactly these checks, and gives its text.
func refused(t testing.TB, err error, checks ...string) string {
	t.Helper()
	r := AsRefusal(err)
	if r == nil {
		t.Fatalf("got %v, want a refusal by %v", err, checks)
	}
	var got []string
	for _, f := range r.Failed {
		got = append(got, f.Check)
		if f.Fix == "" || f.Message == "" {
			t.Errorf("%s: a refusal without message or fix: %+v", f.Check, f)
		}
	}
	if strings.Join(got, " ") != strings.Join(checks, " ") {
		t.Fatalf("refused by %v, want %v: %v", got, checks, err)
	}
	return err.Error()
}

func admitted(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in %q", p, text)
		}
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// failingFacts cannot read anything.
type failingFacts struct{}

var errStorage = errors.New("the storage is away")

func (failingFacts) ChainHead(issuer, name string) (*scitt.Head, error) { return nil, errStorage }

func (failingFacts) Artifact(algorithm int64, digest []byte) (*Artifact, error) {
	return nil, errStorage
}
