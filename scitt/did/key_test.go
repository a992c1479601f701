package did_test

import (
	"crypto"
	"errors"
	"strings"
	"testing"

	"github.com/mr-tron/base58"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

func TestDIDKey(t *testing.T) {
	for _, key := range []crypto.Signer{testpki.P256(t, "a"), testpki.P256(t, "b"), testpki.P384(t, "a"), testpki.P521(t, "a"), testpki.Ed25519("a")} {
		text := testpki.DIDKey(t, key.Public())
		got, err := did.Key(text)
		if err != nil {
			t.Fatal(err)
		}
		if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(got.Public) {
			t.Errorf("%s is another key", text)
		}
	}
	// The prefixes that the did:key method shows for each type of key.
	for prefix, key := range map[string]crypto.Signer{"did:key:zDn": testpki.P256(t, "a"), "did:key:z82": testpki.P384(t, "a"), "did:key:z6Mk": testpki.Ed25519("a")} {
		if text := testpki.DIDKey(t, key.Public()); !strings.HasPrefix(text, prefix) {
			t.Errorf("%s does not begin with %s", text, prefix)
		}
	}
	good := testpki.DIDKey(t, testpki.P256(t, "a").Public())
	raw, err := base58.Decode(strings.TrimPrefix(good, "did:key:z"))
	if err != nil {
		t.Fatal(err)
	}
	encode := func(b ...byte) string { return "did:key:z" + base58.Encode(b) }
	off := append([]byte(nil), raw...)
	for i := range off[3:] {
		off[3+i] = 0xff // x is not below the prime
	}
	for name, c := range map[string]struct {
		did  string
		want error
	}{
		"empty":           {"", scitt.ErrMalformed},
		"no key":          {"did:key:", scitt.ErrMalformed},
		"nothing":         {"did:key:z", scitt.ErrMalformed},
		"base64":          {"did:key:m" + b64(raw), scitt.ErrMalformed},
		"bad digit":       {good[:20] + "0" + good[21:], scitt.ErrMalformed},
		"fragment":        {good + "#x", scitt.ErrMalformed},
		"secp256k1":       {encode(append([]byte{0xe7, 0x01}, raw[2:]...)...), scitt.ErrAlgorithm},
		"short":           {encode(raw[:len(raw)-1]...), scitt.ErrMalformed},
		"long":            {encode(append(raw, 0)...), scitt.ErrMalformed},
		"leading zero":    {"did:key:z1" + base58.Encode(raw), scitt.ErrAlgorithm},
		"uncompressed":    {encode(0x80, 0x24, 4), scitt.ErrMalformed},
		"sign":            {encode(append([]byte{0x80, 0x24, 4}, raw[3:]...)...), scitt.ErrMalformed},
		"not on P-256":    {encode(off...), scitt.ErrMalformed},
		"P-256 as P-384":  {encode(append([]byte{0x81, 0x24}, raw[2:]...)...), scitt.ErrMalformed},
		"huge":            {"did:key:z" + strings.Repeat("2", 60000), scitt.ErrMalformed},
		"another method":  {"did:web:example.com", scitt.ErrMalformed},
		"X25519 (no use)": {encode(append([]byte{0xec, 0x01}, make([]byte, 32)...)...), scitt.ErrAlgorithm},
	} {
		if _, err := did.Key(c.did); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func FuzzDIDKey(f *testing.F) {
	for _, key := range []crypto.Signer{testpki.P256(f, "a"), testpki.P384(f, "a"), testpki.P521(f, "a"), testpki.Ed25519("a")} {
		f.Add(testpki.DIDKey(f, key.Public()))
	}
	f.Add("did:key:z1111")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := did.Key(text)
		if err != nil {
			if !errors.Is(err, scitt.ErrMalformed) && !errors.Is(err, scitt.ErrAlgorithm) {
				t.Fatal(err)
			}
			return
		}
		if did.Method(text) != did.MethodKey {
			return // FuzzDIDJWK
		}
		if again := testpki.DIDKey(t, key.Public); again != text {
			t.Fatalf("%q is read, and written as %q", text, again)
		}
	})
}
