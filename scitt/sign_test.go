package scitt_test

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/internal/vectors"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

var kinds = []string{"ES256", "ES384", "ES512", "EdDSA", "PS256"}

func TestAlgorithms(t *testing.T) {
	// The numbers of RFC 9053, RFC 8230 and RFC 9864.
	numbers := map[string]int64{"ES256": -7, "ES384": -35, "ES512": -36, "EdDSA": -8, "PS256": -37, "PS384": -38, "PS512": -39,
		"ESP256": -9, "ESP384": -51, "ESP512": -52, "Ed25519": -19}
	for _, name := range scitt.Algorithms() {
		if n, ok := numbers[name]; !ok || scitt.AlgorithmName(cose.Algorithm(n)) != name {
			t.Errorf("%s is algorithm %d: %v", name, n, ok)
		}
		delete(numbers, name)
	}
	if len(numbers) > 0 {
		t.Errorf("left out: %v", numbers)
	}
	for _, kind := range kinds {
		alg, err := scitt.AlgorithmFor(newKey(t, kind).Public())
		must(t, err)
		if alg != coseAlg(kind) || scitt.AlgorithmName(alg) != kind {
			t.Errorf("%s: %v, %s", kind, alg, scitt.AlgorithmName(alg))
		}
	}
	if got := scitt.AlgorithmName(-47); got != "algorithm -47" {
		t.Errorf("name of -47: %q", got)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	for name, c := range map[string]struct {
		key   any
		piece string
	}{
		"P-224":     {newKey(t, "P-224").Public(), "curve P-224"},
		"small RSA": {small.Public(), "1024 bits; keys of 2048 to 4096"},
		"private":   {newKey(t, "ES256"), "type *ecdsa.PrivateKey"},
		"nil":       {nil, "type <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scitt.AlgorithmFor(c.key)
			wantError(t, err, scitt.ErrAlgorithm, c.piece)
		})
	}
}

// TestSignAlgorithms: a key signs with each algorithm that it is for, as go-cose
// verifies, and with no other.
func TestSignAlgorithms(t *testing.T) {
	base := map[string]string{"ESP256": "ES256", "ESP384": "ES384", "ESP512": "ES512", "Ed25519": "EdDSA"} // RFC 9864
	for _, alg := range scitt.Algorithms() {
		kind := cmp.Or(base[alg], alg)
		key := newKey(t, map[bool]string{true: "PS256", false: kind}[strings.HasPrefix(alg, "PS")])
		s := newStatement(t, key, scitt.SignOptions{Algorithm: alg, Subject: "s"}, []byte("x"))
		if got := scitt.AlgorithmName(s.Algorithm); got != alg || !s.LowS() {
			t.Errorf("signed with %s, want %s; low s: %v", got, alg, s.LowS())
		}
		must(t, s.VerifySignature(key.Public()))
		var m cose.Sign1Message
		must(t, m.UnmarshalCBOR(s.Entry()))
		toBeSigned := enc(t, []any{"Signature1", raw(m.Headers.RawProtected), []byte{}, m.Payload})
		v, err := cose.NewVerifier(coseAlg(kind), key.Public())
		must(t, err)
		must(t, v.Verify(toBeSigned, m.Signature))
	}
	for kind, alg := range map[string]string{"ES256": "ES384", "EdDSA": "ES256", "PS256": "RS256", "ES384": "esp384"} {
		_, err := scitt.SignStatement(newKey(t, kind), scitt.SignOptions{Algorithm: alg, Subject: "s"}, nil)
		wantError(t, err, scitt.ErrAlgorithm, "the key is for "+kind+" and cannot sign with")
	}
}

// TestVerifySignature tries every kind of key on every kind of signature. The
// signatures are made by go-cose, not by this package.
func TestVerifySignature(t *testing.T) {
	for _, alg := range kinds {
		key := newKey(t, alg)
		s := sign1{protected: with(goodHeader(), m{1: int(coseAlg(alg))}), payload: []byte("payload")}
		s = signed(t, alg, key, s, []byte("payload"))
		got, err := scitt.ParseStatement(s.encode(t))
		must(t, err)
		for _, other := range append(kinds, "P-224") {
			t.Run(alg+" with "+other, func(t *testing.T) {
				if other == alg {
					must(t, got.VerifySignature(key.Public()))
					if alg != "PS256" { // there is one RSA key in these tests
						wantError(t, got.VerifySignature(newKey(t, other).Public()), scitt.ErrSignature, "does not verify")
					}
					return
				}
				err := got.VerifySignature(newKey(t, other).Public())
				if other == "P-224" {
					wantError(t, err, scitt.ErrAlgorithm, "curve P-224")
					return
				}
				wantError(t, err, scitt.ErrSignature, "the header says "+alg+" and the key is one for "+other)
			})
		}
		for name, change := range map[string]func(s *sign1){
			"payload":   func(s *sign1) { s.payload = []byte("Payload") },
			"signature": func(s *sign1) { s.signature.([]byte)[5] ^= 1 },
			"protected": func(s *sign1) {
				s.protected = bytes.Replace(s.protected.([]byte), []byte("subject"), []byte("Subject"), 1)
			},
		} {
			t.Run(alg+" tampered "+name, func(t *testing.T) {
				bad := s
				bad.signature = slices.Clone(s.signature.([]byte))
				change(&bad)
				got, err := scitt.ParseStatement(bad.encode(t))
				must(t, err)
				wantError(t, got.VerifySignature(key.Public()), scitt.ErrSignature, "does not verify")
			})
		}
	}
}

func TestVerifySignatureDetached(t *testing.T) {
	s := good()
	s.payload = nil
	got, err := scitt.DecodeStatement(s.encode(t))
	must(t, err)
	wantError(t, got.VerifySignature(newKey(t, "ES256").Public()), scitt.ErrPayloadMissing, "missing")
}

// TestDERSignature: the bytes that crypto/ecdsa makes get a message of their own.
func TestDERSignature(t *testing.T) {
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).Lsh(big.NewInt(1), 255), new(big.Int).Lsh(big.NewInt(1), 255)})
	must(t, err)
	s := good()
	s.signature = der
	_, err = scitt.ParseStatement(s.encode(t))
	wantError(t, err, scitt.ErrMalformed, "DER-encoded")
}

// TestSignStatement lets go-cose verify what this package signs.
func TestSignStatement(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for _, alg := range kinds {
		t.Run(alg, func(t *testing.T) {
			key := newKey(t, alg)
			data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "sub", IssuedAt: at, ContentType: "text/plain", Type: scitt.TypeRecord}, []byte("hello"))
			must(t, err)
			var msg cose.Sign1Message
			must(t, msg.UnmarshalCBOR(data))
			verifier, err := cose.NewVerifier(coseAlg(alg), key.Public())
			must(t, err)
			must(t, msg.Verify(nil, verifier))

			s, err := scitt.ParseStatement(data)
			must(t, err)
			must(t, s.VerifySignature(key.Public()))
			iss, err := did.NewJWK(key.Public())
			must(t, err)
			if s.Issuer != iss || s.Subject != "sub" || !s.IssuedTime().Equal(at) || s.ContentType != "text/plain" ||
				s.Type != scitt.TypeRecord || string(s.Payload) != "hello" || !bytes.Equal(s.KeyID, newKeyID(t, key).ID) {
				t.Errorf("statement %+v", s)
			}
			if !bytes.Equal(s.Entry(), data) {
				t.Error("what is signed is not in the form of an entry")
			}
		})
	}
}

// highS is a signer that returns high s, as half of the signatures of a KMS are.
type highS struct{ crypto.Signer }

func (k highS) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	der, err := k.Signer.Sign(random, digest, o)
	var sig struct{ R, S *big.Int }
	if err == nil {
		_, err = asn1.Unmarshal(der, &sig)
	}
	if err != nil {
		return nil, err
	}
	n := k.Public().(*ecdsa.PublicKey).Params().N
	if low := new(big.Int).Sub(n, sig.S); low.Cmp(sig.S) < 0 {
		return der, nil
	}
	sig.S.Sub(n, sig.S)
	return asn1.Marshal(sig)
}

// TestLowS: what is signed here has low s, whatever the key returns, and the
// other form of it is valid, has the same id, and is told apart.
func TestLowS(t *testing.T) {
	for _, alg := range kinds {
		key := newKey(t, alg)
		signers := []crypto.Signer{key}
		if _, ok := key.Public().(*ecdsa.PublicKey); ok {
			signers = append(signers, highS{key})
		}
		for _, signer := range signers {
			for range 20 { // of which Go's own signer has high s in ten
				s := newStatement(t, signer, scitt.SignOptions{}, []byte("hello"))
				must(t, s.VerifySignature(key.Public()))
				data, err := vectors.Twin(key, s.Entry())
				must(t, err)
				twin, err := scitt.ParseStatement(data)
				must(t, err)
				must(t, twin.VerifySignature(key.Public()))
				if twin.ID() != s.ID() || bytes.Equal(twin.Entry(), s.Entry()) || bytes.Equal(scitt.LeafHash(twin.Entry()), scitt.LeafHash(s.Entry())) {
					t.Fatalf("%s: the other signature is of %v, this one of %v", alg, twin.ID(), s.ID())
				}
				if _, ec := key.Public().(*ecdsa.PublicKey); !s.LowS() || twin.LowS() == ec {
					t.Fatalf("%s: low s: %v, of the other form: %v", alg, s.LowS(), twin.LowS())
				}
			}
		}
	}
	// The edge: n/2 is low and the next one is high; s of n and above is not valid in any form.
	n := elliptic.P256().Params().N
	half := new(big.Int).Rsh(n, 1)
	for _, c := range []struct {
		s   *big.Int
		low bool
	}{{big.NewInt(0), true}, {half, true}, {new(big.Int).Add(half, big.NewInt(1)), false}, {new(big.Int).Sub(n, big.NewInt(1)), false}, {n, true}} {
		g := good()
		g.signature = append(bytes.Repeat([]byte{1}, 32), c.s.FillBytes(make([]byte, 32))...)
		s, err := scitt.ParseStatement(g.encode(t))
		must(t, err)
		if s.LowS() != c.low {
			t.Errorf("s of %x: low is %v", c.s, s.LowS())
		}
	}
}

func TestSignStatementOptions(t *testing.T) {
	key := newKey(t, "ES256")
	first := newStatement(t, key, scitt.SignOptions{Chain: &scitt.ChainLink{Name: "c"}}, nil)
	if c := first.Chain; c == nil || c.Name != "c" || c.Seq != 0 || c.Prev != nil {
		t.Errorf("first link %+v", c)
	}
	if first.Payload == nil || len(first.Payload) != 0 || first.IssuedAt != 0 {
		t.Errorf("payload %v, iat %d", first.Payload, first.IssuedAt)
	}
	id := first.ID()
	second := newStatement(t, key, scitt.SignOptions{Issuer: "https://i.example", Chain: &scitt.ChainLink{Name: "c", Seq: 1, Prev: id[:]}}, nil)
	if c := second.Chain; c.Seq != 1 || !bytes.Equal(c.Prev, id[:]) || second.Issuer != "https://i.example" {
		t.Errorf("second link %+v of %s", c, second.Issuer)
	}
	for name, c := range map[string]struct {
		alg   string
		o     scitt.SignOptions
		want  error
		piece string
	}{
		"no subject":        {"ES256", scitt.SignOptions{}, scitt.ErrMalformed, "needs a subject"},
		"location, no hash": {"ES256", scitt.SignOptions{Subject: "s", Location: "x"}, scitt.ErrMalformed, "location needs a hash envelope"},
		"wrong curve":       {"P-224", scitt.SignOptions{Subject: "s"}, scitt.ErrAlgorithm, "P-224"},
		"bad chain":         {"ES256", scitt.SignOptions{Subject: "s", Chain: &scitt.ChainLink{Name: "c", Seq: 1}}, scitt.ErrMalformed, "do not fit"},
		"no certificate":    {"ES256", scitt.SignOptions{Subject: "s", X5Chain: [][]byte{{1}}}, scitt.ErrMalformed, "signer's certificate"},
		"too large":         {"ES256", scitt.SignOptions{Subject: string(make([]byte, 70000))}, scitt.ErrTooLarge, "holds 65535"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scitt.SignStatement(newKey(t, c.alg), c.o, nil)
			wantError(t, err, c.want, c.piece)
		})
	}
}

func TestPrivateKeyPEM(t *testing.T) {
	for _, alg := range kinds {
		key := newKey(t, alg)
		data, err := scitt.MarshalPrivateKey(key)
		must(t, err)
		got, err := scitt.ParsePrivateKey(data)
		must(t, err)
		if !got.(interface{ Equal(crypto.PrivateKey) bool }).Equal(key) {
			t.Errorf("%s: another key came back", alg)
		}
	}
	p224, err := scitt.MarshalPrivateKey(newKey(t, "P-224"))
	must(t, err)
	_, err = scitt.ParsePrivateKey(p224)
	wantError(t, err, scitt.ErrAlgorithm, "P-224")
	sec1, err := x509.MarshalECPrivateKey(newKey(t, "ES256").(*ecdsa.PrivateKey))
	must(t, err)
	for name, data := range map[string][]byte{
		"empty":      nil,
		"not PEM":    []byte("key"),
		"SEC 1":      pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		"not PKCS#8": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: sec1}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scitt.ParsePrivateKey(data)
			wantError(t, err, scitt.ErrMalformed, "")
		})
	}
	_, err = scitt.GenerateKey("RS256")
	wantError(t, err, scitt.ErrAlgorithm, `"RS256"; choose ES256`)
	if key := newKey(t, "ES384").(*ecdsa.PrivateKey); key.Curve != elliptic.P384() {
		t.Errorf("ES384 is on %s", key.Params().Name)
	}
}
