package audit

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
)

// expired is a good statement of Alice whose exp is long past.
func (w *world) expired() []byte {
	w.t.Helper()
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(w.statements(1)[0]); err != nil {
		w.t.Fatal(err)
	}
	claims := map[any]any{int64(1): w.did(w.alice), int64(2): "asset", int64(4): int64(1)}
	m.Headers.RawProtected, m.Signature, m.Headers.Protected[cose.HeaderLabelCWTClaims] = nil, nil, claims
	if err := m.Sign(rand.Reader, nil, testlog.Must(cose.NewSigner(cose.AlgorithmES256, w.alice))(w.t)); err != nil {
		w.t.Fatal(err)
	}
	return testlog.Must(m.MarshalCBOR())(w.t)
}

// TestNoClock: what an audit finds does not depend on when it looks: not on
// whether certificates are still valid, also of those that begin in the year 1,
// which crypto/x509 takes for now, and not on exp.
func TestNoClock(t *testing.T) {
	w, old := newWorld(t), &testpki.PKI{}
	early := func(change func(*x509.Certificate)) func(*x509.Certificate) {
		return func(c *x509.Certificate) { change(c); c.NotBefore = time.Time{} }
	}
	old.Root = testpki.Issue(t, "Old Root", testpki.P256(t, "old root"), nil, early(testpki.CA))
	old.Leaf = testpki.Issue(t, "signer", testpki.P256(t, "old leaf"), old.Root, early(testpki.LeafNames))
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: old.Root.Raw})
	entries := w.keys.Begin(t, fmt.Sprintf(`{"version": 1, "trust_anchors": {"self_certifying": ["did:jwk", "did:x509"], "x509_roots": [{"id": "root", "pem": %q}]}}`, root))
	var want []string
	for _, iat := range []int64{1, 1_600_000_000, testpki.NotAfter.Unix(), testpki.NotAfter.Unix() + 1} {
		for _, iss := range []string{old.DID("::subject:CN:signer"), corp} {
			o := scitt.SignOptions{Issuer: iss, IssuedAt: time.Unix(iat, 0), X5Chain: testpki.Chain(old.Leaf, old.Root)}
			if iat > testpki.NotAfter.Unix() {
				want = append(want, fmt.Sprintf("%d key", len(entries)))
			}
			entries = append(entries, w.sign(old.Leaf.Key, o, fmt.Sprint(iat, iss)))
		}
	}
	m := w.log(append(entries, w.expired())...)
	w.audit(m, Options{}).expect(want...)
	synctest.Test(t, func(t *testing.T) {
		in := *w
		in.t = t
		for _, wait := range []time.Duration{0, 20 * 365 * 24 * time.Hour, 80 * 365 * 24 * time.Hour} { // from the year 2000 on
			time.Sleep(wait)
			in.audit(m, Options{}).expect(want...)
		}
	})
}
