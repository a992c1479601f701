package did_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/internal/testpki"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

func TestJWKRoundTrip(t *testing.T) {
	for _, alg := range kinds {
		t.Run(alg, func(t *testing.T) {
			public := newKey(t, alg).Public()
			jwk, err := did.MarshalJWK(public)
			must(t, err)
			got, err := did.ParseJWK(jwk)
			must(t, err)
			sameKey(t, got.Public, public)

			text, err := did.NewJWK(public)
			must(t, err)
			if did.Method(text) != did.MethodJWK {
				t.Errorf("%q is not a did:jwk", text)
			}
			got, err = did.Key(text)
			must(t, err)
			sameKey(t, got.Public, public)
			again, err := did.NewJWK(got.Public)
			must(t, err)
			if again != text {
				t.Errorf("the did:jwk of one key is %q and %q", text, again)
			}
		})
	}
	_, err := did.NewJWK(newKey(t, "P-224").Public())
	wantError(t, err, scitt.ErrAlgorithm, "P-224")
}

func TestParseJWKRefusals(t *testing.T) {
	jwk, err := did.MarshalJWK(newKey(t, "ES256").Public())
	must(t, err)
	var members map[string]string
	must(t, json.Unmarshal(jwk, &members))
	x, y := members["x"], members["y"]
	ec := func(x, y string) string { return `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `"}` }
	add := func(member string) string { return strings.TrimSuffix(ec(x, y), "}") + "," + member + "}" }

	_, err = did.ParseJWK([]byte(add(`"use":"sig","kid":"1","x5c":["a"]`)))
	must(t, err)
	for name, c := range map[string]struct {
		jwk   string
		want  error
		piece string
	}{
		"empty":             {"", scitt.ErrMalformed, "the JSON Web Key: byte"},
		"array":             {"[]", scitt.ErrMalformed, "the JSON Web Key: byte"},
		"not closed":        {ec(x, y)[:20], scitt.ErrMalformed, "JSON"},
		"no value":          {`{"kty"}`, scitt.ErrMalformed, "after object name"},
		"name is no text":   {`{1:2}`, scitt.ErrMalformed, "the JSON Web Key: byte"},
		"comma at the end":  {`{"kty":"EC",}`, scitt.ErrMalformed, "the JSON Web Key: byte"},
		"trailing":          {ec(x, y) + "{}", scitt.ErrMalformed, "something follows"},
		"trailing rubbish":  {ec(x, y) + "x", scitt.ErrMalformed, "something follows"},
		"repeated":          {add(`"x":"` + x + `"`), scitt.ErrMalformed, `"x" is there twice`},
		"repeated escaped":  {add(`"\u0078":"` + x + `"`), scitt.ErrMalformed, `"x" is there twice`},
		"private d":         {add(`"d":"AQ"`), scitt.ErrMalformed, "private key"},
		"private d is null": {add(`"d":null`), scitt.ErrMalformed, "private key"},
		"symmetric":         {`{"kty":"oct","k":"AQ"}`, scitt.ErrMalformed, "private key"},
		"kty number":        {`{"kty":1}`, scitt.ErrMalformed, `member "kty"`},
		"no kty":            {`{}`, scitt.ErrAlgorithm, `type "" ""`},
		"kty in capitals":   {`{"KTY":"EC"}`, scitt.ErrAlgorithm, `type ""`},
		"secp256k1":         {`{"kty":"EC","crv":"secp256k1"}`, scitt.ErrAlgorithm, `"secp256k1"`},
		"RSA with curve":    {`{"kty":"RSA","crv":"P-256"}`, scitt.ErrAlgorithm, `"RSA" "P-256"`},
		"RSA without n":     {`{"kty":"RSA","e":"AQAB"}`, scitt.ErrMalformed, "modulus"},
		"Ed25519 short":     {`{"kty":"OKP","crv":"Ed25519","x":"AQ"}`, scitt.ErrMalformed, "32 bytes, not 1"},
		"padding":           {ec(x+"=", y), scitt.ErrMalformed, `"x" is not unpadded base64url`},
		"standard base64":   {ec("+/"+x[2:], y), scitt.ErrMalformed, `"x" is not unpadded base64url`},
		"line break":        {ec(x[:4]+`\n`+x[4:], y), scitt.ErrMalformed, `"x" is not unpadded base64url`},
		"not canonical":     {ec(strings.Repeat("A", 42)+"B", y), scitt.ErrMalformed, `"x" is not unpadded base64url`},
		"x and y swapped":   {ec(y, x), scitt.ErrMalformed, "not a point"},
		"no y":              {`{"kty":"EC","crv":"P-256","x":"` + x + `"}`, scitt.ErrMalformed, "not a point"},
		"short x":           {ec("AQ", y), scitt.ErrMalformed, "1 bytes, not 32"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := did.ParseJWK([]byte(c.jwk))
			wantError(t, err, c.want, c.piece)
		})
	}
}

// TestJWKUse: use, key_ops and alg say what a key is for (RFC 7517 sections 4.2
// to 4.4).
func TestJWKUse(t *testing.T) {
	member := func(alg, members string) string {
		jwk, err := did.MarshalJWK(newKey(t, alg).Public())
		must(t, err)
		return strings.TrimSuffix(string(jwk), "}") + "," + members + "}"
	}
	for _, c := range []struct {
		kind, members string
		want          string // the algorithm that the key is restricted to; "" for none
	}{
		{"ES256", `"use":"sig"`, ""}, {"ES256", `"key_ops":["verify"]`, ""}, {"ES256", `"key_ops":["sign","verify"],"use":"sig"`, ""},
		{"ES256", `"key_ops":["verify","x"]`, ""}, {"ES256", `"alg":"ES256"`, "ES256"}, {"ES256", `"alg":"ESP256"`, "ESP256"},
		{"EdDSA", `"alg":"EdDSA"`, "EdDSA"}, {"EdDSA", `"alg":"Ed25519"`, "Ed25519"}, {"PS256", `"alg":"PS384"`, "PS384"}, {"ES512", `"alg":"ES512"`, "ES512"},
	} {
		key, err := did.ParseJWK([]byte(member(c.kind, c.members)))
		must(t, err)
		if c.want == "" != (key.Algorithm == 0) || c.want != "" && scitt.AlgorithmName(key.Algorithm) != c.want {
			t.Errorf("%s: restricted to %d, want %q", c.members, key.Algorithm, c.want)
		}
	}
	for _, c := range []struct{ kind, members, piece string }{
		{"ES256", `"use":"enc"`, `the use "enc"`}, {"ES256", `"use":null`, `the use ""`}, {"ES256", `"use":["sig"]`, `member "use"`},
		{"ES256", `"key_ops":["sign"]`, "do not allow verify"}, {"ES256", `"key_ops":[]`, "do not allow verify"}, {"ES256", `"key_ops":null`, "do not allow verify"},
		{"ES256", `"key_ops":"verify"`, `member "key_ops"`}, {"ES256", `"key_ops":["verify","verify"]`, "repeat"},
		{"ES256", `"use":"sig","key_ops":["verify","deriveKey"]`, "contradict"}, {"ES256", `"use":"enc","key_ops":["verify"]`, `the use "enc"`},
		{"ES256", `"alg":"ES384"`, "for algorithm ES384 and its parameters are those of ES256"}, {"ES256", `"alg":"ECDH-ES"`, "for algorithm ECDH-ES"},
		{"ES256", `"alg":""`, "for algorithm  and"}, {"ES256", `"alg":-7`, `member "alg"`}, {"EdDSA", `"alg":"Ed448"`, "for algorithm Ed448"},
		{"PS256", `"alg":"RS256"`, "for algorithm RS256"}, {"PS256", `"p":"AQ"`, "private key"}, {"PS256", `"q":"AQ"`, "private key"},
		{"PS256", `"dp":"AQ"`, "private key"}, {"PS256", `"dq":"AQ"`, "private key"}, {"PS256", `"qi":"AQ"`, "private key"}, {"PS256", `"oth":[]`, "private key"},
	} {
		_, err := did.ParseJWK([]byte(member(c.kind, c.members)))
		wantError(t, err, scitt.ErrMalformed, c.piece)
	}
}

// TestJWKWeakKeys: keys that are out of bounds, or have two encodings, or
// verify what nobody signed.
func TestJWKWeakKeys(t *testing.T) {
	modulus := bytes.Repeat([]byte{0xff}, 256)
	rsaJWK := func(n, e []byte) string { return `{"kty":"RSA","n":"` + b64(n) + `","e":"` + b64(e) + `"}` }
	ed := func(hexKey string) string {
		key, err := hex.DecodeString(hexKey)
		must(t, err)
		return `{"kty":"OKP","crv":"Ed25519","x":"` + b64(key) + `"}`
	}
	e := []byte{1, 0, 1}
	zeros := strings.Repeat("0", 62)
	_, err := did.ParseJWK([]byte(rsaJWK(modulus, e)))
	must(t, err)
	for name, c := range map[string]struct {
		jwk   string
		want  error
		piece string
	}{
		"n with a leading zero": {rsaJWK(append([]byte{0}, modulus...), e), scitt.ErrMalformed, "leading zeros"},
		"e with a leading zero": {rsaJWK(modulus, []byte{0, 1, 0, 1}), scitt.ErrMalformed, "leading zeros"},
		"2,047 bits":            {rsaJWK(append([]byte{0x7f}, modulus[1:]...), e), scitt.ErrAlgorithm, "2047 bits"},
		"4,097 bits":            {rsaJWK(append([]byte{1}, bytes.Repeat([]byte{0xff}, 512)...), e), scitt.ErrAlgorithm, "4097 bits"},
		"16,384 bits":           {rsaJWK(bytes.Repeat([]byte{0xff}, 2048), e), scitt.ErrAlgorithm, "16384 bits"},
		"an exponent of 65,539": {rsaJWK(modulus, []byte{1, 0, 3}), scitt.ErrAlgorithm, "exponent 65539"},
		"order 1":               {ed("01" + zeros), scitt.ErrMalformed, "small order"},
		"order 2":               {ed("ec" + strings.Repeat("ff", 30) + "7f"), scitt.ErrMalformed, "small order"},
		"order 4":               {ed("00" + zeros), scitt.ErrMalformed, "small order"},
		"order 4, other sign":   {ed("00" + zeros[2:] + "80"), scitt.ErrMalformed, "small order"},
		"order 8":               {ed("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), scitt.ErrMalformed, "small order"},
		"order 8, other sign":   {ed("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"), scitt.ErrMalformed, "small order"},
		"order 8, another":      {ed("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), scitt.ErrMalformed, "small order"},
		"p, which is zero":      {ed("ed" + strings.Repeat("ff", 30) + "7f"), scitt.ErrMalformed, "encoding of a point"},
		"no point":              {ed("02" + zeros), scitt.ErrMalformed, "encoding of a point"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := did.ParseJWK([]byte(c.jwk))
			wantError(t, err, c.want, c.piece)
		})
	}
}

func TestParseDIDJWKRefusals(t *testing.T) {
	text, err := did.NewJWK(newKey(t, "EdDSA").Public())
	must(t, err)
	encoded := strings.TrimPrefix(text, "did:jwk:")
	for name, c := range map[string]struct{ text, piece string }{
		"empty":          {"", "is neither a did:jwk nor a did:key"},
		"another method": {"did:web:example.com", "is neither a did:jwk nor a did:key"},
		"in capitals":    {"DID:JWK:" + encoded, "is neither a did:jwk nor a did:key"},
		"space before":   {" " + text, "is neither a did:jwk nor a did:key"},
		"no key":         {"did:jwk:", "the JSON Web Key: byte"},
		"padding":        {"did:jwk:" + base64.URLEncoding.EncodeToString([]byte(`{"kty":"EC"}  `)), "not unpadded base64url"},
		"line break":     {text + "\n", "not unpadded base64url"},
		"line break in":  {text[:12] + "\r\n" + text[12:], "not unpadded base64url"},
		"a fragment":     {text + "#0", "not unpadded base64url"},
		"no JSON":        {"did:jwk:AAAA", "the JSON Web Key: byte"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := did.Key(c.text)
			wantError(t, err, scitt.ErrMalformed, c.piece)
		})
	}
}

func FuzzParseJWK(f *testing.F) {
	for _, alg := range kinds {
		data, err := did.MarshalJWK(newKey(f, alg).Public())
		must(f, err)
		f.Add(data)
	}
	f.Add([]byte(`{"kty":"EC","kty":"EC"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := did.ParseJWK(data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatal("not JSON")
		}
		checkKey(t, key.Public)
	})
}

func FuzzDIDJWK(f *testing.F) {
	for _, alg := range kinds {
		text, err := did.NewJWK(newKey(f, alg).Public())
		must(f, err)
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := did.Key(string(data))
		if err != nil {
			return
		}
		if did.Method(string(data)) == did.MethodJWK && bytes.ContainsAny(data, " \t\r\n=#") {
			t.Fatalf("%q is a did:jwk", data)
		}
		checkKey(t, key.Public)
	})
}

// checkKey holds a key that was read to the round trip.
func checkKey(t *testing.T, public crypto.PublicKey) {
	t.Helper()
	text, err := did.NewJWK(public)
	must(t, err)
	again, err := did.Key(text)
	must(t, err)
	sameKey(t, again.Public, public)
}

// kinds are the algorithms whose keys are read.
var kinds = []string{"ES256", "ES384", "ES512", "EdDSA", "PS256"}

// rsaKey is made once: it takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// newKey makes a key for an algorithm, or for a curve that none is for.
func newKey(t testing.TB, alg string) crypto.Signer {
	t.Helper()
	switch alg {
	case "ES256":
		return testpki.P256(t, alg)
	case "ES384":
		return testpki.P384(t, alg)
	case "ES512":
		return testpki.P521(t, alg)
	case "EdDSA":
		return testpki.Ed25519(alg)
	case "PS256":
		key, err := rsaKey()
		must(t, err)
		return key
	}
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	must(t, err)
	return key
}

func sameKey(t *testing.T, got, want any) {
	t.Helper()
	if !want.(interface{ Equal(crypto.PublicKey) bool }).Equal(got) {
		t.Errorf("got key %v, want %v", got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError holds an error to a sentinel and to a piece of its message.
func wantError(t testing.TB, err, sentinel error, piece string) {
	t.Helper()
	if !errors.Is(err, sentinel) || !strings.Contains(err.Error(), piece) {
		t.Errorf("got error %v, want %q that says %q", err, sentinel, piece)
	}
}
