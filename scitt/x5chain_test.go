package scitt_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// The certificates of these tests are valid for the year 2024.
var (
	notBefore = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	during    = time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
)

// authority is a certificate with its key.
type authority struct {
	*x509.Certificate
	key crypto.Signer
}

func newCert(t *testing.T, template x509.Certificate, key crypto.Signer, by *authority) *authority {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = notBefore, notAfter
	}
	parent, signer := &template, key
	if by != nil {
		parent, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{cert, key}
}

func newCA(t *testing.T, name string, key crypto.Signer, by *authority) *authority {
	t.Helper()
	return newCert(t, x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, key, by)
}

func newLeaf(t *testing.T, by *authority, usage x509.KeyUsage) *authority {
	t.Helper()
	return newCert(t, x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}, KeyUsage: usage, DNSNames: []string{"i.example"}}, newKey(t, "ES256"), by)
}

// below are anchors that trust these CAs.
func below(certs ...*authority) *scitt.Anchors {
	var roots []*x509.Certificate
	for _, c := range certs {
		roots = append(roots, c.Certificate)
	}
	return scitt.SelfCertifying(roots, nil)
}

func TestX5Chain(t *testing.T) {
	root := newCA(t, "root", newKey(t, "ES384"), nil)
	other := newCA(t, "other", newKey(t, "ES256"), nil)
	// The machine trusts this root; that must make no difference.
	machine := filepath.Join(t.TempDir(), "roots.pem")
	must(t, os.WriteFile(machine, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600))
	t.Setenv("SSL_CERT_FILE", machine)
	middle := newCA(t, "middle", newKey(t, "ES256"), root)
	leaf := newLeaf(t, middle, x509.KeyUsageDigitalSignature)
	direct := newLeaf(t, root, 0)
	encipher := newLeaf(t, root, x509.KeyUsageKeyEncipherment)
	notCA := newLeaf(t, direct, 0)
	full := [][]byte{leaf.Raw, middle.Raw}
	sha := sha256.Sum256(leaf.Raw)

	for name, c := range map[string]struct {
		chain [][]byte
		key   crypto.Signer
		iat   time.Time
		roots *scitt.Anchors
		want  error // nil when it verifies
		piece string
	}{
		"good":                 {full, leaf.key, during, below(root), nil, ""},
		"with the root":        {append(full, root.Raw), leaf.key, during, below(root), nil, ""},
		"one of two roots":     {full, leaf.key, during, below(other, root), nil, ""},
		"middle trusted":       {full[:1], leaf.key, during, below(middle), nil, ""},
		"one certificate":      {[][]byte{direct.Raw}, direct.key, during, below(root), nil, ""},
		"expired at iat":       {full, leaf.key, notAfter.Add(time.Second), below(root), scitt.ErrUnknownKey, "x5chain is valid from"},
		"not valid yet at iat": {full, leaf.key, notBefore.Add(-time.Second), below(root), scitt.ErrUnknownKey, "x5chain is valid from"},
		"no iat":               {full, leaf.key, time.Time{}, below(root), scitt.ErrMalformed, "needs the CWT claim iat (6)"},
		"wrong root":           {full, leaf.key, during, below(other), scitt.ErrUnknownKey, "none of the trusted roots"},
		"no roots":             {full, leaf.key, during, nil, scitt.ErrUnknownKey, "give its key, or trusted roots"},
		"missing intermediate": {full[:1], leaf.key, during, below(root), scitt.ErrUnknownKey, "none of the trusted roots"},
		"not a CA":             {[][]byte{notCA.Raw, direct.Raw}, notCA.key, during, below(root), scitt.ErrUnknownKey, "x5chain"},
		"not for signatures":   {[][]byte{encipher.Raw}, encipher.key, during, below(root), scitt.ErrUnknownKey, "does not allow digital signatures"},
		"bad intermediate":     {[][]byte{leaf.Raw, {1, 2}}, leaf.key, during, below(root), scitt.ErrMalformed, "certificate 2 of x5chain"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStatement(t, c.key, scitt.SignOptions{Issuer: "https://i.example", IssuedAt: c.iat, X5Chain: c.chain}, []byte("x"))
			if s.KeyID != nil {
				t.Error("a kid beside x5chain")
			}
			v, err := (&scitt.Verifier{Anchors: c.roots}).Verify(s.Entry())
			must(t, err)
			if c.want != nil {
				wantError(t, v.SignatureErr, c.want, c.piece)
				return
			}
			if v.KeySource != "x5chain" || v.SignatureErr != nil {
				t.Errorf("key from %q: %v", v.KeySource, v.SignatureErr)
			}
		})
	}

	// x5t beside x5chain, as other signers write it.
	for name, c := range map[string]struct {
		x5t   []any
		chain any
		want  error
		piece string
	}{
		"x5t":            {[]any{-16, sha[:]}, []any{leaf.Raw, middle.Raw}, nil, ""},
		"x5t of another": {[]any{-16, make([]byte, 32)}, []any{leaf.Raw, middle.Raw}, scitt.ErrUnknownKey, "x5t (34) is not the thumbprint"},
		"x5t of SHA-1":   {[]any{-14, make([]byte, 20)}, []any{leaf.Raw, middle.Raw}, scitt.ErrAlgorithm, "hash algorithm -14"},
		"x5t by a name":  {[]any{"SHA-256", sha[:]}, []any{leaf.Raw, middle.Raw}, scitt.ErrAlgorithm, `hash algorithm "SHA-256"`},
		"x5t alone":      {[]any{-16, sha[:]}, nil, scitt.ErrUnknownKey, "no certificate with this x5t"},
	} {
		t.Run(name, func(t *testing.T) {
			h := with(goodHeader(), m{4: nil, 34: c.x5t, 33: c.chain, 15: m{1: "https://i.example", 2: "s", 6: during.Unix()}})
			s, err := scitt.ParseStatement(sign1{protected: h, payload: []byte("x"), signature: zeroSignature}.encode(t))
			must(t, err)
			_, err = below(root).Signer(s, scitt.Known{})
			if c.want == nil {
				must(t, err)
				return
			}
			wantError(t, err, c.want, c.piece)
		})
	}

	wrong := scitt.SignOptions{Subject: "s", X5Chain: full}
	_, err := scitt.SignStatement(newKey(t, "ES256"), wrong, nil)
	wantError(t, err, scitt.ErrMalformed, "not for the signing key")
}

// TestX5ChainNeverNow: the zero time of Go would make crypto/x509 use the
// wall clock, and then the answer would depend on when one looks.
func TestX5ChainNeverNow(t *testing.T) {
	now := time.Now()
	root := newCert(t, x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}, newKey(t, "ES256"), nil)
	for _, iat := range []int64{time.Time{}.Unix(), -1} {
		h := with(goodHeader(), m{4: nil, 33: root.Raw, 15: m{1: "urn:i", 2: "s", 6: iat}})
		s, err := scitt.ParseStatement(sign1{protected: h, payload: []byte("x"), signature: zeroSignature}.encode(t))
		must(t, err)
		_, err = below(root).Signer(s, scitt.Known{})
		wantError(t, err, scitt.ErrMalformed, "certificates are judged at that time")
	}
}
