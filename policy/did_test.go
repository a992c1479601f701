package policy

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

func TestDIDKey(t *testing.T) {
	for _, key := range []crypto.Signer{p256(t, "a"), p256(t, "b"), p384(t, "a"), ed("a")} {
		did, err := DIDKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseDIDKey(did)
		if err != nil {
			t.Fatal(err)
		}
		if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(got) {
			t.Errorf("%s is another key", did)
		}
	}
	// The prefixes that the did:key method shows for each type of key.
	for prefix, key := range map[string]crypto.Signer{"did:key:zDn": p256(t, "a"), "did:key:z82": p384(t, "a"), "did:key:z6Mk": ed("a")} {
		if did, _ := DIDKey(key.Public()); !strings.HasPrefix(did, prefix) {
			t.Errorf("%s does not begin with %s", did, prefix)
		}
	}
	good, _ := DIDKey(p256(t, "a").Public())
	raw, err := base58(strings.TrimPrefix(good, "did:key:z"))
	if err != nil {
		t.Fatal(err)
	}
	encode := func(b ...byte) string { return "did:key:z" + toBase58(b) }
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
		"nothing":         {"did:key:z", scitt.ErrAlgorithm},
		"base64":          {"did:key:m" + b64(raw), scitt.ErrMalformed},
		"bad digit":       {good[:20] + "0" + good[21:], scitt.ErrMalformed},
		"fragment":        {good + "#x", scitt.ErrMalformed},
		"secp256k1":       {encode(append([]byte{0xe7, 0x01}, raw[2:]...)...), scitt.ErrAlgorithm},
		"short":           {encode(raw[:len(raw)-1]...), scitt.ErrMalformed},
		"long":            {encode(append(raw, 0)...), scitt.ErrMalformed},
		"leading zero":    {"did:key:z1" + toBase58(raw), scitt.ErrAlgorithm},
		"uncompressed":    {encode(0x80, 0x24, 4), scitt.ErrMalformed},
		"sign":            {encode(append([]byte{0x80, 0x24, 4}, raw[3:]...)...), scitt.ErrMalformed},
		"not on P-256":    {encode(off...), scitt.ErrMalformed},
		"P-256 as P-384":  {encode(append([]byte{0x81, 0x24}, raw[2:]...)...), scitt.ErrMalformed},
		"huge":            {"did:key:z" + strings.Repeat("2", 60000), scitt.ErrMalformed},
		"another method":  {"did:web:example.com", scitt.ErrMalformed},
		"X25519 (no use)": {encode(append([]byte{0xec, 0x01}, make([]byte, 32)...)...), scitt.ErrAlgorithm},
	} {
		if _, err := ParseDIDKey(c.did); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if _, err := DIDKey("x"); !errors.Is(err, scitt.ErrAlgorithm) {
		t.Errorf("DIDKey of a string: %v", err)
	}
}

func TestParseDIDX509(t *testing.T) {
	sum := sha256.Sum256(nil)
	fp := b64(sum[:])
	good := "did:x509:0:sha256:" + fp + "::subject:C:US:ST:California:O:Example%20Org::san:email:bob%40example.com::eku:1.3.6.1::fulcio-issuer:a.example%2Fx::subject:2.5.4.5:1"
	d, err := ParseDIDX509(good)
	if err != nil || d.String() != good || len(d.predicates) != 5 || d.predicates[0].fields[5] != "Example Org" {
		t.Fatalf("%+v, %v", d, err)
	}
	for name, did := range map[string]string{
		"empty":               "",
		"other method":        "did:web:x",
		"version":             "did:x509:1:sha256:" + fp + "::eku:1",
		"no predicate":        "did:x509:0:sha256:" + fp,
		"empty predicate":     "did:x509:0:sha256:" + fp + "::",
		"unknown predicate":   "did:x509:0:sha256:" + fp + "::serial:1",
		"no value":            "did:x509:0:sha256:" + fp + "::eku",
		"empty value":         "did:x509:0:sha256:" + fp + "::eku:",
		"hash":                "did:x509:0:sha1:" + fp + "::eku:1",
		"digest length":       "did:x509:0:sha384:" + fp + "::eku:1",
		"padding":             "did:x509:0:sha256:" + fp + "=::eku:1",
		"newline":             "did:x509:0:sha256:" + fp[:10] + "\n" + fp[10:] + "::eku:1",
		"trailing bits":       "did:x509:0:sha256:" + fp[:42] + "V::eku:1",
		"EKU":                 "did:x509:0:sha256:" + fp + "::eku:codeSigning",
		"EKU dots":            "did:x509:0:sha256:" + fp + "::eku:1..2",
		"two EKUs":            "did:x509:0:sha256:" + fp + "::eku:1:2",
		"subject odd":         "did:x509:0:sha256:" + fp + "::subject:CN",
		"subject twice":       "did:x509:0:sha256:" + fp + "::subject:CN:a:CN:b",
		"subject key":         "did:x509:0:sha256:" + fp + "::subject:cn:a",
		"san type":            "did:x509:0:sha256:" + fp + "::san:ip:1",
		"san alone":           "did:x509:0:sha256:" + fp + "::san:dns",
		"san of three":        "did:x509:0:sha256:" + fp + "::san:dns:a:b",
		"percent":             "did:x509:0:sha256:" + fp + "::san:dns:a%4",
		"percent no hex":      "did:x509:0:sha256:" + fp + "::san:dns:a%zz",
		"plain space":         "did:x509:0:sha256:" + fp + "::san:dns:a b",
		"plus":                "did:x509:0:sha256:" + fp + "::san:dns:a+b",
		"tilde":               "did:x509:0:sha256:" + fp + "::san:dns:a~b",
		"path":                "did:x509:0:sha256:" + fp + "::eku:1/x",
		"query":               "did:x509:0:sha256:" + fp + "::eku:1?x",
		"fragment":            "did:x509:0:sha256:" + fp + "::eku:1#0",
		"trailing predicate":  "did:x509:0:sha256:" + fp + "::eku:1::",
		"three colons":        "did:x509:0:sha256:" + fp + ":::eku:1",
		"more in the first":   "did:x509:0:sha256:" + fp + ":x::eku:1",
		"fulcio with a colon": "did:x509:0:sha256:" + fp + "::fulcio-issuer:https:x",
		"too long":            "did:x509:0:sha256:" + fp + "::san:dns:" + strings.Repeat("a", maxDIDX509),
	} {
		if _, err := ParseDIDX509(did); !errors.Is(err, scitt.ErrMalformed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzDIDKey(f *testing.F) {
	for _, key := range []crypto.Signer{p256(f, "a"), p384(f, "a"), ed("a")} {
		did, err := DIDKey(key.Public())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(did)
	}
	f.Add("did:key:z1111")
	f.Fuzz(func(t *testing.T, did string) {
		key, err := ParseDIDKey(did)
		if err != nil {
			if !errors.Is(err, scitt.ErrMalformed) && !errors.Is(err, scitt.ErrAlgorithm) {
				t.Fatal(err)
			}
			return
		}
		if again, err := DIDKey(key); err != nil || again != did {
			t.Fatalf("%q is read, and written as %q, %v", did, again, err)
		}
	})
}

func FuzzDIDX509(f *testing.F) {
	corp := newPKI(f, "corp")
	f.Add(corp.did("::subject:CN:signer::san:dns:corp.example::eku:1.3.6.1.5.5.7.3.3::fulcio-issuer:a.example"), 0)
	f.Add(corp.did("::subject:CN:sign%65r"), 3)
	f.Add("did:x509:0:sha512:"+strings.Repeat("A", 86)+"::san:uri:a%3Ab", 2)
	certs := []*ca{corp.leaf, corp.inter, corp.root}
	f.Fuzz(func(t *testing.T, did string, n int) {
		d, err := ParseDIDX509(did)
		if err != nil {
			if !errors.Is(err, scitt.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if d.String() != did || strings.ContainsAny(did, " /?#+~\n") {
			t.Fatalf("%q is read as %q", did, d)
		}
		if n < 0 || n > 3 {
			return
		}
		found := newPath(certs[:n])
		if err := d.Match(found); err == nil && n < 2 {
			t.Fatalf("%q matches %d certificates", did, n)
		}
	})
}
