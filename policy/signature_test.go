package policy

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
)

// twin is the same content with another valid signature.
func twin(t *testing.T, key crypto.Signer, s *scitt.Statement) *scitt.Statement {
	t.Helper()
	data, err := vectors.Twin(key, s.Entry())
	if err != nil {
		t.Fatal(err)
	}
	s, err = scitt.ParseStatement(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLowS: "signature": "low-s" refuses high s, and names the fix.
func TestLowS(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	plain, low, anyForm := with(t, ""), with(t, `"signature": "low-s"`), with(t, `"signature": "any"`)
	for name, key := range map[string]crypto.Signer{"ES256": p256(t, "a"), "ES384": p384(t, "a"), "EdDSA": ed("a"), "PS256": rsaKey} {
		s := sign(t, key, scitt.SignOptions{}, "x")
		other := twin(t, key, s)
		for _, p := range []*Policy{plain, low, anyForm} {
			if err := p.Admit(s, NoFacts{}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if p == low && !other.LowS() {
				continue
			}
			if err := p.Admit(other, NoFacts{}); err != nil {
				t.Errorf("%s, the other signature: %v", name, err)
			}
		}
		if name == "EdDSA" || name == "PS256" {
			continue // strangers cannot make another signature
		}
		err := low.Admit(other, NoFacts{})
		contains(t, refused(t, err, CheckSignature), "s of the "+name+" signature is high", "replace s by n-s")
		if problem := scitt.ProblemOf(err); problem.Status != 400 || problem.Title != "Rejected" {
			t.Errorf("problem %+v", problem)
		}
		// Who signed it can be seen all the same.
		if err := low.VerifySignature(other, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLowSAdministrator: an administrator is held to it too.
func TestLowSAdministrator(t *testing.T) {
	admin := p256(t, "administrator")
	p := with(t, `"signature": "low-s", "administrators": [{"issuer": "`+didJWK(t, admin)+`"}]`)
	at := InForce{Entry: scitt.EntryID{1}}
	doc, err := WithPrevious(p.Canonical(), at.Entry)
	if err != nil {
		t.Fatal(err)
	}
	s := sign(t, admin, scitt.SignOptions{Type: scitt.TypePolicy}, string(doc))
	if _, err := p.AdmitPolicy(s, at); err != nil {
		t.Error(err)
	}
	_, err = p.AdmitPolicy(twin(t, admin, s), at)
	contains(t, refused(t, err, CheckSignature), "replace s by n-s")
}

// TestVerifySignature: it is about who signed and about nothing else.
func TestVerifySignature(t *testing.T) {
	service, admin, issuer, stranger := p256(t, "service"), p256(t, "administrator"), p256(t, "issuer"), p256(t, "stranger")
	p := with(t, `"chain": "required", "artifact": "required", "limits": {"max_entry_bytes": 1, "algorithms": ["EdDSA"]},
		"issuers": [{"issuer": "`+didJWK(t, issuer)+`", "subjects": ["none"]}], "administrators": [{"issuer": "`+didJWK(t, admin)+`"}], `+rule1("false"))
	keys := keySet(t, service)
	for name, c := range map[string]struct {
		key  crypto.Signer
		o    scitt.SignOptions
		want error
	}{
		"issuer":               {issuer, scitt.SignOptions{}, nil},
		"stranger":             {stranger, scitt.SignOptions{}, scitt.ErrUnknownKey},
		"policy by issuer":     {issuer, scitt.SignOptions{Type: scitt.TypePolicy}, scitt.ErrUnknownKey},
		"policy by admin":      {admin, scitt.SignOptions{Type: scitt.TypePolicy}, nil},
		"admin, otherwise":     {admin, scitt.SignOptions{}, scitt.ErrUnknownKey},
		"policy by service":    {service, scitt.SignOptions{Issuer: "https://service.example", Type: scitt.TypePolicy}, nil},
		"keys by service":      {service, scitt.SignOptions{Issuer: "https://service.example", Type: scitt.TypeKeys}, nil},
		"service, otherwise":   {service, scitt.SignOptions{Issuer: "https://service.example"}, scitt.ErrUnknownKey},
		"in the issuer's name": {stranger, scitt.SignOptions{Issuer: didJWK(t, issuer)}, scitt.ErrUnknownKey},
	} {
		s := sign(t, c.key, c.o, "x")
		if err := p.VerifySignature(s, keys); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != nil {
			continue
		}
		if err := p.VerifySignature(twin(t, c.key, s), keys); err != nil {
			t.Errorf("%s, another signature: %v", name, err)
		}
		entry := s.Entry()
		entry[len(entry)-1] ^= 1
		garbage, err := scitt.ParseStatement(entry)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.VerifySignature(garbage, keys); !errors.Is(err, scitt.ErrSignature) || garbage.ID() != s.ID() {
			t.Errorf("%s, garbage: %v", name, err)
		}
	}
}
