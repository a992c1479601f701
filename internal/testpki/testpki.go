// Package testpki makes keys, certificates and DIDs for tests, the same in
// every run.
package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"io"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt/did"
)

// P256, P384, P521 and Ed25519 derive a key from its name.
func P256(t testing.TB, name string) crypto.Signer {
	sum := sha256.Sum256([]byte("test key " + name))
	return must(ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:]))(t)
}

func P384(t testing.TB, name string) crypto.Signer {
	sum := sha512.Sum384([]byte("test key " + name))
	return must(ecdsa.ParseRawPrivateKey(elliptic.P384(), sum[:]))(t)
}

func P521(t testing.TB, name string) crypto.Signer {
	sum := sha512.Sum512([]byte("test key " + name))
	return must(ecdsa.ParseRawPrivateKey(elliptic.P521(), append([]byte{0, 0}, sum[:]...)))(t)
}

func Ed25519(name string) crypto.Signer {
	sum := sha256.Sum256([]byte("test key " + name))
	return ed25519.NewKeyFromSeed(sum[:])
}

// NotBefore and NotAfter are when certificates are valid.
var (
	NotBefore = time.Unix(1_700_000_000, 0).UTC()
	NotAfter  = time.Unix(1_900_000_000, 0).UTC()
)

// Cert is a certificate with its key.
type Cert struct {
	*x509.Certificate
	Key crypto.Signer
}

// deterministic signs without randomness (RFC 6979), so that a certificate is
// the same in every run.
type deterministic struct{ crypto.Signer }

func (d deterministic) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return d.Signer.Sign(nil, digest, o)
}

// Issue makes a certificate for the key, by the parent or self-signed.
func Issue(t testing.TB, name string, key crypto.Signer, parent *Cert, change func(*x509.Certificate)) *Cert {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(0x2a), Subject: pkix.Name{CommonName: name, Organization: []string{"Example, Inc."}},
		NotBefore: NotBefore, NotAfter: NotAfter, BasicConstraintsValid: true}
	if change != nil {
		change(tmpl)
	}
	signer, issuer := key, tmpl
	if parent != nil {
		signer, issuer = parent.Key, parent.Certificate
	}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, issuer, key.Public(), deterministic{signer}))(t)
	return &Cert{must(x509.ParseCertificate(der))(t), key}
}

// CA changes a certificate into that of a CA.
func CA(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

// PKI is a root, an intermediate below it and a signer below that.
type PKI struct{ Root, Inter, Leaf *Cert }

// New makes a PKI whose keys and subjects derive from the name.
func New(t testing.TB, name string) *PKI {
	t.Helper()
	p := &PKI{}
	p.Root = Issue(t, name+" Root", P256(t, name+" root"), nil, CA)
	p.Inter = Issue(t, name+" CA", P256(t, name+" inter"), p.Root, CA)
	p.Leaf = Issue(t, "signer", P256(t, name+" leaf"), p.Inter, LeafNames)
	return p
}

// LeafNames has a certificate speak for corp.example, bob@corp.example and
// urn:corp:signer, sign code, and name an issuer as Fulcio does.
func LeafNames(c *x509.Certificate) {
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	c.DNSNames = []string{"corp.example"}
	c.EmailAddresses = []string{"bob@corp.example"}
	c.URIs = []*url.URL{{Scheme: "urn", Opaque: "corp:signer"}}
	c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte("https://accounts.example.com")}}
}

// DID is a did:x509 that pins the root.
func (p *PKI) DID(predicates string) string {
	sum := sha256.Sum256(p.Root.Raw)
	return "did:x509:0:sha256:" + base64.RawURLEncoding.EncodeToString(sum[:]) + predicates
}

// Chain is an x5chain.
func Chain(certs ...*Cert) (out [][]byte) {
	for _, c := range certs {
		out = append(out, c.Raw)
	}
	return out
}

// Certs are the certificates without their keys.
func Certs(certs ...*Cert) (out []*x509.Certificate) {
	for _, c := range certs {
		out = append(out, c.Certificate)
	}
	return out
}

// DIDKey is the did:key of a P-256, P-384, P-521 or Ed25519 key.
func DIDKey(t testing.TB, key crypto.PublicKey) string { return must(did.NewKey(key))(t) }

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// SignAgain changes the protected header of a statement and signs it with ES256.
func SignAgain(t testing.TB, key crypto.Signer, statement []byte, change func(cose.ProtectedHeader)) []byte {
	t.Helper()
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(statement); err != nil {
		t.Fatal(err)
	}
	m.Signature, m.Headers.RawProtected = nil, nil
	change(m.Headers.Protected)
	if err := m.Sign(rand.Reader, nil, must(cose.NewSigner(cose.AlgorithmES256, key))(t)); err != nil {
		t.Fatal(err)
	}
	return must(m.MarshalCBOR())(t)
}
