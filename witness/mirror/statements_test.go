package mirror

import (
	"crypto"
	"crypto/x509"
	"testing"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// TestIssuers: below a root, and with a given key, nobody speaks for an issuer
// who is not theirs.
func TestIssuers(t *testing.T) {
	corp := testpki.New(t, "corp")
	a, b := testpki.P256(t, "a"), testpki.P256(t, "b")
	v := &verification{o: VerifyOptions{
		Anchors: scitt.SelfCertifying([]*x509.Certificate{corp.Root.Certificate}, nil),
		IssuerKeys: map[string]scitt.Key{
			"https://b.example": {Public: b.Public()}, testlog.DIDJWK(t, a): {Public: b.Public()}, testpki.DIDKey(t, b.Public()): {Public: b.Public()},
		},
	}}
	signed1 := func(key crypto.Signer, issuer string, chain ...*testpki.Cert) tiles.Entry {
		o := scitt.SignOptions{Issuer: issuer, Subject: "s", IssuedAt: testpki.NotBefore.AddDate(1, 0, 0), X5Chain: testpki.Chain(chain...)}
		return tiles.Entry{Data: testlog.Must(scitt.SignStatement(key, o, []byte("x")))(t)}
	}
	for name, c := range map[string]struct {
		e                       tiles.Entry
		good, problems, unknown int
	}{
		"the certificate's issuer":   {signed1(corp.Leaf.Key, "https://corp.example", corp.Leaf, corp.Inter), 1, 0, 0},
		"another issuer":             {signed1(corp.Leaf.Key, "https://ceo.corp.example", corp.Leaf, corp.Inter), 0, 1, 0},
		"a did:x509":                 {signed1(corp.Leaf.Key, corp.DID("::subject:CN:signer"), corp.Leaf, corp.Inter), 1, 0, 0},
		"another's did:x509":         {signed1(corp.Leaf.Key, corp.DID("::subject:CN:other"), corp.Leaf, corp.Inter), 0, 1, 0},
		"a given key":                {signed1(b, "https://b.example"), 1, 0, 0},
		"not the given key":          {signed1(a, "https://b.example"), 0, 1, 0},
		"x5chain beside a given key": {signed1(corp.Leaf.Key, "https://b.example", corp.Leaf, corp.Inter), 0, 1, 0},
		"its did:key, given":         {signed1(b, testpki.DIDKey(t, b.Public())), 1, 0, 0},
		"another key for a did:jwk":  {signed1(b, testlog.DIDJWK(t, a)), 0, 1, 0},
		"nobody that anybody knows":  {signed1(a, "https://nobody.example"), 0, 0, 1},
	} {
		out := &signed{unknown: map[string]uint64{}}
		out.add(v, c.e)
		if int(out.good) != c.good || len(out.problems) != c.problems || len(out.unknown) != c.unknown {
			t.Errorf("%s: %+v", name, out)
		}
	}
}
