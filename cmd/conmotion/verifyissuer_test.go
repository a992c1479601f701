package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
)

// TestVerifyIssuer: a certificate below a trusted root speaks for the issuers
// that it names, and for no other.
func TestVerifyIssuer(t *testing.T) {
	now := time.Now()
	key := func() *ecdsa.PrivateKey { return testlog.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t) }
	rootKey, leafKey := key(), key()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER := testlog.Must(x509.CreateCertificate(rand.Reader, ca, ca, &rootKey.PublicKey, rootKey))(t)
	signer := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Signer"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{"vendor.example"}, KeyUsage: x509.KeyUsageDigitalSignature}
	leafDER := testlog.Must(x509.CreateCertificate(rand.Reader, signer, ca, &leafKey.PublicKey, rootKey))(t)
	root := testlog.Must(x509.ParseCertificate(rootDER))(t)
	pin := sha256.Sum256(rootDER)
	x509DID := "did:x509:0:sha256:" + base64.RawURLEncoding.EncodeToString(pin[:]) + "::subject:CN:"

	for issuer, want := range map[string]finding{
		"https://vendor.example":  {"issuer", resultOK, "issued to https://vendor.example"},
		"https://another.example": {"issuer", resultNotChecked, "no Subject Alternative Name says so"},
		x509DID + "Signer":        {"issuer", resultOK, "did:x509"},
		x509DID + "Somebody":      {"issuer", resultBad, ""},
		"did:x509:1:nonsense":     {"issuer", resultBad, ""},
	} {
		data := testlog.Must(scitt.SignStatement(leafKey, scitt.SignOptions{Issuer: issuer, Subject: "s", IssuedAt: now, X5Chain: [][]byte{leafDER, rootDER}}, []byte("x")))(t)
		roots := x509.NewCertPool()
		roots.AddCert(root)
		out := testlog.Must((&scitt.Verifier{Roots: roots}).Verify(data))(t)
		v := &verification{roots: roots}
		v.signature(out)
		v.issuer(out)
		if len(v.report.Checks) != 2 || v.report.Checks[0].Result != resultOK {
			t.Fatalf("%s: %+v", issuer, v.report.Checks)
		}
		if got := v.report.Checks[1]; got.Check != want.Check || got.Result != want.Result || !strings.Contains(got.Detail, want.Detail) {
			t.Errorf("%s: %+v, want %+v", issuer, got, want)
		}
	}
}

// TestVerifyDIDKey: a did:key brings its own key, as a did:jwk does.
func TestVerifyDIDKey(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		key, other := testlog.Key(t, alg), testlog.Key(t, alg)
		iss := testpki.DIDKey(t, key.Public())
		for name, c := range map[string]struct {
			data []byte
			good bool
		}{
			"its key":     {testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Issuer: iss, Subject: "s"}, nil))(t), true},
			"another key": {testlog.Must(scitt.SignStatement(other, scitt.SignOptions{Issuer: iss, Subject: "s"}, nil))(t), false},
			"no did:key":  {testlog.Must(scitt.SignStatement(key, scitt.SignOptions{Issuer: "did:key:z1111", Subject: "s"}, nil))(t), false},
		} {
			v := &verification{app: &app{}}
			if _, err := v.run(t.Context(), c.data); err != nil {
				t.Fatal(err)
			}
			if got := v.report.Checks[0]; got.Check != "signature" || (got.Result == resultOK) != c.good || (c.good && !strings.Contains(got.Detail, "did:key")) {
				t.Errorf("%s, %s: %+v", alg, name, got)
			}
		}
	}
}
