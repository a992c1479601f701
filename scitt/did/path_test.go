package did_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt/did"
)

// TestParseChain: what validation could cost is bounded before it begins.
func TestParseChain(t *testing.T) {
	corp := testpki.New(t, "corp")
	ca := func(name string, key crypto.Signer) *testpki.Cert {
		return testpki.Issue(t, name, key, corp.Root, testpki.CA)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	must(t, err)
	var long []*testpki.Cert
	for i := range did.MaxChain + 1 {
		long = append(long, ca(fmt.Sprint("CA ", i), testpki.P256(t, "ca")))
	}
	for name, c := range map[string]struct {
		chain [][]byte
		want  string // "" when it is read
	}{
		"whole":                {testpki.Chain(corp.Leaf, corp.Inter, corp.Root), ""},
		"longest":              {testpki.Chain(append([]*testpki.Cert{corp.Leaf}, long[2:]...)...), ""},
		"too long":             {testpki.Chain(append([]*testpki.Cert{corp.Leaf}, long[1:]...)...), "are allowed"},
		"empty":                {nil, "x5chain is empty"},
		"garbage":              {[][]byte{corp.Leaf.Raw, []byte("garbage")}, "certificate 2 of x5chain"},
		"trailing":             {[][]byte{append(corp.Leaf.Raw, 0)}, "certificate 1 of x5chain"},
		"twice":                {testpki.Chain(corp.Leaf, corp.Inter, corp.Inter), "the subject of another one"},
		"one subject":          {testpki.Chain(corp.Leaf, ca("x", testpki.P256(t, "x")), ca("x", testpki.P256(t, "y"))), "the subject of another one"},
		"a signer's P-521":     {testpki.Chain(testpki.Issue(t, "signer", testpki.P521(t, "leaf"), corp.Inter, testpki.LeafNames), corp.Inter), "key on curve P-521"},
		"a CA's P-521":         {testpki.Chain(corp.Leaf, ca("slow", testpki.P521(t, "ca"))), "key on curve P-521"},
		"P-224":                {testpki.Chain(testpki.Issue(t, "signer", p224, corp.Inter, testpki.LeafNames)), "curve P-224"},
		"a signer who is a CA": {testpki.Chain(corp.Inter), "does not allow digital signatures"},
	} {
		certs, err := did.ParseChain(c.chain)
		switch {
		case c.want == "" && (err != nil || len(certs) != len(c.chain)):
			t.Errorf("%s: %d certificates, %v", name, len(certs), err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestPath: a path is exactly the certificates that it was made of.
func TestPath(t *testing.T) {
	corp, evil := testpki.New(t, "corp"), testpki.New(t, "evil")
	noTime := testpki.Issue(t, "signer", corp.Leaf.Key, corp.Inter, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = testpki.NotAfter.AddDate(1, 0, 0), testpki.NotAfter.AddDate(2, 0, 0)
	})
	short := testpki.Issue(t, "short", testpki.P256(t, "short"), corp.Root, func(c *x509.Certificate) { testpki.CA(c); c.MaxPathLenZero = true })
	below := testpki.Issue(t, "below", testpki.P256(t, "below"), short, testpki.CA)
	tooDeep := testpki.Issue(t, "signer", testpki.P256(t, "deep"), below, testpki.LeafNames)
	narrow := testpki.Issue(t, "narrow", testpki.P256(t, "narrow"), corp.Root, func(c *x509.Certificate) {
		testpki.CA(c)
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"other.example"}
	})
	outside := testpki.Issue(t, "signer", testpki.P256(t, "outside"), narrow, testpki.LeafNames)
	for name, c := range map[string]struct {
		certs []*x509.Certificate
		good  bool
	}{
		"whole":                {testpki.Certs(corp.Leaf, corp.Inter, corp.Root), true},
		"below the CA":         {testpki.Certs(corp.Leaf, corp.Inter), true},
		"the signer alone":     {testpki.Certs(corp.Leaf), true},
		"another root":         {testpki.Certs(corp.Leaf, corp.Inter, evil.Root), false},
		"one left out":         {testpki.Certs(corp.Leaf, corp.Root), false},
		"wrong order":          {testpki.Certs(corp.Leaf, corp.Root, corp.Inter), false},
		"never valid together": {testpki.Certs(noTime, corp.Inter, corp.Root), false},
		"a path too long":      {testpki.Certs(tooDeep, below, short, corp.Root), false},
		"outside its names":    {testpki.Certs(outside, narrow, corp.Root), false},
	} {
		for _, trusted := range []bool{false, true} {
			if err := did.NewPath(c.certs, trusted).Validate(); (err == nil) != c.good {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func FuzzParseChain(f *testing.F) {
	corp := testpki.New(f, "corp")
	f.Add(corp.Leaf.Raw, corp.Inter.Raw)
	f.Add(corp.Inter.Raw, corp.Root.Raw)
	f.Add([]byte{0x30, 0}, []byte(nil))
	f.Fuzz(func(t *testing.T, leaf, parent []byte) {
		certs, err := did.ParseChain([][]byte{leaf, parent, corp.Root.Raw})
		if err != nil {
			return
		}
		path := did.NewPath(certs, true)
		if path.ValidAt(0) {
			t.Fatal("valid at a time that no statement may name")
		}
		_ = did.IssuedTo(path.Leaf(), "https://corp.example")
		_ = did.EKUs(path.Leaf())
		_ = path.Validate()
	})
}
