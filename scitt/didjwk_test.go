package scitt_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

func TestJWKRoundTrip(t *testing.T) {
	for _, alg := range kinds {
		t.Run(alg, func(t *testing.T) {
			public := newKey(t, alg).Public()
			jwk, err := scitt.MarshalJWK(public)
			must(t, err)
			got, err := scitt.ParseJWK(jwk)
			must(t, err)
			sameKey(t, got, public)

			did, err := scitt.DIDJWK(public)
			must(t, err)
			if !scitt.IsDIDJWK(did) {
				t.Errorf("%q is not a did:jwk", did)
			}
			got, err = scitt.ParseDIDJWK(did)
			must(t, err)
			sameKey(t, got, public)
			again, err := scitt.DIDJWK(got)
			must(t, err)
			if again != did {
				t.Errorf("the did:jwk of one key is %q and %q", did, again)
			}
		})
	}
	_, err := scitt.DIDJWK(newKey(t, "P-521").Public())
	wantError(t, err, scitt.ErrAlgorithm, "P-521")
}

func TestParseJWKRefusals(t *testing.T) {
	jwk, err := scitt.MarshalJWK(newKey(t, "ES256").Public())
	must(t, err)
	var members map[string]string
	must(t, json.Unmarshal(jwk, &members))
	x, y := members["x"], members["y"]
	ec := func(x, y string) string { return `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `"}` }
	add := func(member string) string { return strings.TrimSuffix(ec(x, y), "}") + "," + member + "}" }

	_, err = scitt.ParseJWK([]byte(add(`"use":"sig","kid":"1","x5c":["a"]`)))
	must(t, err)
	for name, c := range map[string]struct {
		jwk   string
		want  error
		piece string
	}{
		"empty":             {"", scitt.ErrMalformed, "not a JSON object"},
		"array":             {"[]", scitt.ErrMalformed, "not a JSON object"},
		"not closed":        {ec(x, y)[:20], scitt.ErrMalformed, "JSON"},
		"no value":          {`{"kty"}`, scitt.ErrMalformed, `"kty"`},
		"name is no text":   {`{1:2}`, scitt.ErrMalformed, "not a JSON object"},
		"comma at the end":  {`{"kty":"EC",}`, scitt.ErrMalformed, "not a JSON object"},
		"trailing":          {ec(x, y) + "{}", scitt.ErrMalformed, "trails"},
		"trailing rubbish":  {ec(x, y) + "x", scitt.ErrMalformed, "trails"},
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
			_, err := scitt.ParseJWK([]byte(c.jwk))
			wantError(t, err, c.want, c.piece)
		})
	}
}

func TestParseDIDJWKRefusals(t *testing.T) {
	did, err := scitt.DIDJWK(newKey(t, "EdDSA").Public())
	must(t, err)
	encoded := strings.TrimPrefix(did, "did:jwk:")
	for name, c := range map[string]struct{ did, piece string }{
		"empty":          {"", "is not a did:jwk"},
		"another method": {"did:web:example.com", "is not a did:jwk"},
		"in capitals":    {"DID:JWK:" + encoded, "is not a did:jwk"},
		"space before":   {" " + did, "is not a did:jwk"},
		"no key":         {"did:jwk:", "not a JSON object"},
		"padding":        {"did:jwk:" + base64.URLEncoding.EncodeToString([]byte(`{"kty":"EC"}  `)), "not unpadded base64url"},
		"line break":     {did + "\n", "not unpadded base64url"},
		"line break in":  {did[:12] + "\r\n" + did[12:], "not unpadded base64url"},
		"a fragment":     {did + "#0", "not unpadded base64url"},
		"no JSON":        {"did:jwk:AAAA", "not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scitt.ParseDIDJWK(c.did)
			wantError(t, err, scitt.ErrMalformed, c.piece)
		})
	}
}
