package scitt_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt"
)

// m is a CBOR map as the tests write it.
type m = map[any]any

// raw is an encoded CBOR data item that is taken as it is.
type raw = cbor.RawMessage

// enc encodes with the CBOR library directly, so that what the package under
// test reads was not written by it.
func enc(t testing.TB, v any) []byte {
	t.Helper()
	mode, err := cbor.CoreDetEncOptions().EncMode()
	must(t, err)
	b, err := mode.Marshal(v)
	must(t, err)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	must(t, err)
	return b
}

// wantError holds an error to a sentinel and to a piece of its message.
func wantError(t testing.TB, err, sentinel error, piece string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %q", sentinel)
	}
	if !errors.Is(err, sentinel) {
		t.Errorf("error %q does not wrap %q", err, sentinel)
	}
	if !strings.Contains(err.Error(), piece) {
		t.Errorf("error %q does not say %q", err, piece)
	}
}

// sign1 is a COSE_Sign1 in pieces: each is encoded, so that it can be wrong.
// A map as protected header is wrapped into a byte string.
type sign1 struct {
	protected, unprotected, payload, signature any
}

func (s sign1) encode(t testing.TB) []byte {
	t.Helper()
	if h, ok := s.protected.(m); ok {
		s.protected = enc(t, h)
	}
	if s.unprotected == nil {
		s.unprotected = m{}
	}
	b := []byte{0xd2, 0x84}
	for _, v := range []any{s.protected, s.unprotected, s.payload, s.signature} {
		if encoded, ok := v.(raw); ok { // the library would refuse to write what is malformed
			b = append(b, encoded...)
		} else {
			b = append(b, enc(t, v)...)
		}
	}
	return b
}

// goodHeader is a protected header that can be registered.
func goodHeader() m {
	return m{1: -7, 4: []byte("key"), 15: m{1: "https://issuer.example", 2: "subject"}}
}

// with is h with other values; nil deletes the label.
func with(h m, changes m) m {
	h = maps.Clone(h)
	for k, v := range changes {
		if v == nil {
			delete(h, k)
		} else {
			h[k] = v
		}
	}
	return h
}

var zeroSignature = make([]byte, 64)

func good() sign1 {
	return sign1{protected: goodHeader(), payload: []byte("payload"), signature: zeroSignature}
}

// rsaKey is made once: it takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// newKey makes a key for an algorithm, or for a curve that none is for.
func newKey(t testing.TB, alg string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case "PS256":
		key, err = rsaKey()
	case "P-224":
		key, err = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	default:
		key, err = scitt.GenerateKey(alg)
	}
	must(t, err)
	return key
}

func newKeyID(t testing.TB, key crypto.Signer) scitt.Key {
	t.Helper()
	k, err := scitt.NewKey(key.Public())
	must(t, err)
	return k
}

func coseAlg(alg string) cose.Algorithm {
	return map[string]cose.Algorithm{
		"ES256": cose.AlgorithmES256, "ES384": cose.AlgorithmES384, "ES512": cose.AlgorithmES512,
		"EdDSA": cose.AlgorithmEdDSA, "PS256": cose.AlgorithmPS256, "PS384": cose.AlgorithmPS384, "PS512": cose.AlgorithmPS512,
	}[alg]
}

// signed signs with go-cose, over a Sig_structure (RFC 9052 section 4.4) that
// the CBOR library encodes.
func signed(t testing.TB, alg string, key crypto.Signer, s sign1, payload []byte) sign1 {
	t.Helper()
	if h, ok := s.protected.(m); ok {
		s.protected = enc(t, h)
	}
	signer, err := cose.NewSigner(coseAlg(alg), key)
	must(t, err)
	sig, err := signer.Sign(rand.Reader, enc(t, []any{"Signature1", s.protected, []byte{}, payload}))
	must(t, err)
	s.signature = sig
	return s
}

func newStatement(t testing.TB, key crypto.Signer, o scitt.SignOptions, content []byte) *scitt.Statement {
	t.Helper()
	if o.Subject == "" {
		o.Subject = "subject"
	}
	data, err := scitt.SignStatement(key, o, content)
	must(t, err)
	s, err := scitt.ParseStatement(data)
	must(t, err)
	return s
}

// merkleRoot is the Merkle Tree Hash by its definition (RFC 9162 section 2.1.1).
func merkleRoot(entries [][]byte) []byte {
	switch n := len(entries); n {
	case 0:
		sum := sha256.Sum256(nil)
		return sum[:]
	case 1:
		sum := sha256.Sum256(append([]byte{0}, entries[0]...))
		return sum[:]
	default:
		k := splitAt(n)
		sum := sha256.Sum256(bytes.Join([][]byte{{1}, merkleRoot(entries[:k]), merkleRoot(entries[k:])}, nil))
		return sum[:]
	}
}

// merklePath is PATH by its definition (RFC 9162 section 2.1.3.1).
func merklePath(i int, entries [][]byte) [][]byte {
	n := len(entries)
	if n == 1 {
		return nil
	}
	if k := splitAt(n); i < k {
		return append(merklePath(i, entries[:k]), merkleRoot(entries[k:]))
	} else {
		return append(merklePath(i-k, entries[k:]), merkleRoot(entries[:k]))
	}
}

// splitAt is the largest power of two below n.
func splitAt(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}
