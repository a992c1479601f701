package scitt_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"testing"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

func sameKey(t *testing.T, got, want any) {
	t.Helper()
	a, err := scitt.Thumbprint(got)
	must(t, err)
	b, err := scitt.Thumbprint(want)
	must(t, err)
	if !bytes.Equal(a, b) {
		t.Errorf("got key %x, want %x", a, b)
	}
}

// TestThumbprint: the first is the example of RFC 9679 section 6; the second
// is the public key of RFC 8032 section 7.1 test 1.
func TestThumbprint(t *testing.T) {
	for name, c := range map[string]struct{ key, want string }{
		"RFC 9679 section 6": {
			"a4 0102 2001 215820 65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d" +
				"225820 1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c",
			"496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"},
		"Ed25519": {
			"a3 0101 2006 215820 d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
			"866eefbd6718c8846cd7ddfe43fc74ab1daac4538ff8514ea2ec2d410a415743"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := scitt.ParseKey(unhex(t, c.key))
			must(t, err)
			got, err := scitt.Thumbprint(key.Public)
			must(t, err)
			if hex.EncodeToString(got) != c.want || !bytes.Equal(key.ID, got) {
				t.Errorf("thumbprint %x, kid %x, want %s", got, key.ID, c.want)
			}
		})
	}
	_, err := scitt.Thumbprint(newKey(t, "P-224").Public())
	wantError(t, err, scitt.ErrAlgorithm, "P-224")
	_, err = scitt.Thumbprint("key")
	wantError(t, err, scitt.ErrAlgorithm, "type string")
}

func TestKeyRoundTrip(t *testing.T) {
	for _, alg := range kinds {
		t.Run(alg, func(t *testing.T) {
			key := newKeyID(t, newKey(t, alg))
			for _, id := range [][]byte{key.ID, []byte("name"), {}} {
				key.ID = id
				data, err := key.Marshal()
				must(t, err)
				got, err := scitt.ParseKey(data)
				must(t, err)
				sameKey(t, got.Public, key.Public)
				if !bytes.Equal(got.ID, id) {
					t.Errorf("kid %x, want %x", got.ID, id)
				}
			}
		})
	}
	_, err := scitt.Key{Public: newKey(t, "P-224").Public()}.Marshal()
	wantError(t, err, scitt.ErrAlgorithm, "P-224")
}

// ec2 are the parameters of an EC2 key, with y as a byte string.
func ec2(t *testing.T, crv int, public any) m {
	t.Helper()
	point, err := public.(*ecdsa.PublicKey).Bytes()
	must(t, err)
	n := len(point) / 2
	return m{1: 2, -1: crv, -2: point[1 : 1+n], -3: point[1+n:]}
}

// TestCompressedKey: RFC 9053 section 7.1.1 lets y be a sign. Both signs occur
// within a few keys.
func TestCompressedKey(t *testing.T) {
	seen := map[bool]bool{}
	for i := 0; len(seen) < 2 && i < 200; i++ {
		public := newKey(t, "ES256").Public()
		h := ec2(t, 1, public)
		y := h[-3].([]byte)
		sign := y[len(y)-1]&1 == 1
		seen[sign] = true
		got, err := scitt.ParseKey(enc(t, with(h, m{-3: sign})))
		must(t, err)
		sameKey(t, got.Public, public)
		got, err = scitt.ParseKey(enc(t, with(h, m{-3: !sign})))
		must(t, err)
		if got.Public.(*ecdsa.PublicKey).Equal(public) {
			t.Error("the sign of y makes no difference")
		}
	}
	if len(seen) != 2 {
		t.Error("200 keys and one sign")
	}
}

func TestParseKeyRefusals(t *testing.T) {
	p256 := ec2(t, 1, newKey(t, "ES256").Public())
	x, y := p256[-2].([]byte), p256[-3].([]byte)
	ed := []byte(newKey(t, "EdDSA").Public().(ed25519.PublicKey))
	modulus := bytes.Repeat([]byte{0xff}, 256)
	e := []byte{1, 0, 1}
	for name, c := range map[string]struct {
		key   any
		want  error
		piece string
	}{
		"not a map":             {[]any{}, scitt.ErrMalformed, "not a map"},
		"no kty":                {m{}, scitt.ErrAlgorithm, "key type <nil>"},
		"symmetric":             {m{1: 4, -1: []byte("k")}, scitt.ErrAlgorithm, "key type 4"},
		"kty text":              {with(p256, m{1: "EC2"}), scitt.ErrAlgorithm, "key type EC2"},
		"private EC2":           {with(p256, m{-4: x}), scitt.ErrMalformed, "private key"},
		"private OKP":           {m{1: 1, -1: 6, -2: ed, -4: ed}, scitt.ErrMalformed, "private key"},
		"private RSA":           {m{1: 3, -1: modulus, -2: e, -3: modulus, -4: modulus}, scitt.ErrMalformed, "private key"},
		"secp256k1":             {with(p256, m{-1: 8}), scitt.ErrAlgorithm, "curve 8"},
		"P-521, P-256's x":      {with(p256, m{-1: 3}), scitt.ErrMalformed, "32 bytes, not 66"},
		"X25519":                {m{1: 1, -1: 4, -2: ed}, scitt.ErrAlgorithm, "curve 4"},
		"short x":               {with(p256, m{-2: x[1:]}), scitt.ErrMalformed, "31 bytes, not 32"},
		"P-384 with P-256's x":  {with(p256, m{-1: 2}), scitt.ErrMalformed, "32 bytes, not 48"},
		"short y":               {with(p256, m{-3: y[1:]}), scitt.ErrMalformed, "not a point"},
		"long y":                {with(p256, m{-3: append([]byte{0}, y...)}), scitt.ErrMalformed, "not a point"},
		"no y":                  {with(p256, m{-3: nil}), scitt.ErrMalformed, "neither a byte string nor a sign"},
		"y is a number":         {with(p256, m{-3: 1}), scitt.ErrMalformed, "neither a byte string nor a sign"},
		"off the curve":         {with(p256, m{-2: y, -3: x}), scitt.ErrMalformed, "not a point"},
		"origin":                {with(p256, m{-2: make([]byte, 32), -3: make([]byte, 32)}), scitt.ErrMalformed, "not a point"},
		"compressed, no point":  {with(p256, m{-2: bytes.Repeat([]byte{0xff}, 32), -3: true}), scitt.ErrMalformed, "not a point"},
		"Ed25519 short":         {m{1: 1, -1: 6, -2: ed[1:]}, scitt.ErrMalformed, "32 bytes, not 31"},
		"Ed25519 without x":     {m{1: 1, -1: 6}, scitt.ErrMalformed, "32 bytes, not 0"},
		"RSA without modulus":   {m{1: 3, -2: e}, scitt.ErrMalformed, "modulus"},
		"RSA without exponent":  {m{1: 3, -1: modulus}, scitt.ErrMalformed, "exponent"},
		"RSA huge":              {m{1: 3, -1: bytes.Repeat([]byte{0xff}, 513), -2: e}, scitt.ErrAlgorithm, "4104 bits"},
		"RSA small":             {m{1: 3, -1: modulus[:128], -2: e}, scitt.ErrAlgorithm, "1024 bits"},
		"RSA exponent one":      {m{1: 3, -1: modulus, -2: []byte{1}}, scitt.ErrAlgorithm, "exponent 1;"},
		"RSA even exponent":     {m{1: 3, -1: modulus, -2: []byte{4}}, scitt.ErrAlgorithm, "exponent 4;"},
		"RSA exponent 32 bits":  {m{1: 3, -1: modulus, -2: []byte{0xff, 0xff, 0xff, 0xff}}, scitt.ErrAlgorithm, "the exponent 4294967295;"},
		"RSA exponent long":     {m{1: 3, -1: modulus, -2: bytes.Repeat([]byte{0xff}, 99)}, scitt.ErrAlgorithm, "exponent 65538;"},
		"RSA n, leading zero":   {m{1: 3, -1: append([]byte{0}, modulus...), -2: e}, scitt.ErrMalformed, "leading zeros"},
		"RSA e, leading zero":   {m{1: 3, -1: modulus, -2: []byte{0, 1, 0, 1}}, scitt.ErrMalformed, "leading zeros"},
		"RSA with p alone":      {m{1: 3, -1: modulus, -2: e, -4: modulus}, scitt.ErrMalformed, "private key"},
		"RSA of other primes":   {m{1: 3, -1: modulus, -2: e, -12: modulus}, scitt.ErrMalformed, "private key"},
		"key_ops sign":          {with(p256, m{4: []any{1}}), scitt.ErrMalformed, "key_ops (4)"},
		"key_ops no array":      {with(p256, m{4: 2}), scitt.ErrMalformed, "key_ops (4)"},
		"key_ops empty":         {with(p256, m{4: []any{}}), scitt.ErrMalformed, "key_ops (4)"},
		"Ed25519 identity":      {m{1: 1, -1: 6, -2: append([]byte{1}, make([]byte, 31)...)}, scitt.ErrMalformed, "small order"},
		"Ed25519 order 4":       {m{1: 1, -1: 6, -2: make([]byte, 32)}, scitt.ErrMalformed, "small order"},
		"Ed25519, no point":     {m{1: 1, -1: 6, -2: append([]byte{2}, make([]byte, 31)...)}, scitt.ErrMalformed, "encoding of a point"},
		"Ed25519 not canonical": {m{1: 1, -1: 6, -2: append([]byte{0xee}, append(bytes.Repeat([]byte{0xff}, 30), 0x7f)...)}, scitt.ErrMalformed, "encoding of a point"},
		"alg of another kind":   {with(p256, m{3: -8}), scitt.ErrMalformed, "for algorithm -8 and its parameters are those of ES256"},
		"alg text":              {with(p256, m{3: "ES256"}), scitt.ErrMalformed, "for algorithm ES256"},
		"kid text":              {with(p256, m{2: "kid"}), scitt.ErrMalformed, "kid of the COSE_Key"},
		"duplicate":             {raw(unhex(t, "a2 0102 0102")), scitt.ErrMalformed, "duplicate"},
		"trailing":              {raw(append(enc(t, p256), 0)), scitt.ErrMalformed, "extraneous"},
		"label of bytes":        {raw(unhex(t, "a1 4101 02")), scitt.ErrMalformed, "label"},
		"empty":                 {raw{}, scitt.ErrAlgorithm, "key type <nil>"},
		"bytes in place of kty": {raw(unhex(t, "a1 01 4102")), scitt.ErrAlgorithm, "key type"},
	} {
		t.Run(name, func(t *testing.T) {
			data, ok := c.key.(raw)
			if !ok {
				data = enc(t, c.key)
			}
			_, err := scitt.ParseKey(data)
			wantError(t, err, c.want, c.piece)
		})
	}
}

func TestKeySet(t *testing.T) {
	var set scitt.KeySet
	for _, alg := range kinds {
		set = append(set, newKeyID(t, newKey(t, alg)))
	}
	data, err := set.Marshal()
	must(t, err)
	got, err := scitt.ParseKeySet(data)
	must(t, err)
	if len(got) != len(set) {
		t.Fatalf("%d keys, want %d", len(got), len(set))
	}
	for _, k := range set {
		found, err := got.Find(k.ID)
		must(t, err)
		sameKey(t, found[0].Public, k.Public)
	}
	_, err = got.Find([]byte{1, 2, 3})
	wantError(t, err, scitt.ErrUnknownKey, "kid AQID")
	_, err = scitt.KeySet{{Public: "key"}}.Marshal()
	wantError(t, err, scitt.ErrAlgorithm, "type string")

	// What is not understood is left out, but something has to be left.
	p256 := ec2(t, 1, newKey(t, "ES256").Public())
	got, err = scitt.ParseKeySet(enc(t, []any{m{1: 4, -1: []byte("k")}, p256, 7}))
	must(t, err)
	if len(got) != 1 {
		t.Errorf("%d keys, want 1", len(got))
	}
	for name, c := range map[string]struct {
		data  []byte
		want  error
		piece string
	}{
		"empty":              {nil, scitt.ErrMalformed, "not a COSE Key Set"},
		"empty array":        {enc(t, []any{}), scitt.ErrMalformed, "empty"},
		"one key, not a set": {enc(t, p256), scitt.ErrMalformed, "not a COSE Key Set"},
		"trailing":           {append(enc(t, []any{p256}), 0), scitt.ErrMalformed, "not a COSE Key Set"},
		"only symmetric":     {enc(t, []any{m{1: 4}}), scitt.ErrAlgorithm, "key type 4"},
		"private":            {enc(t, []any{with(p256, m{-4: []byte{1}})}), scitt.ErrMalformed, "private key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scitt.ParseKeySet(c.data)
			wantError(t, err, c.want, c.piece)
		})
	}
}

// TestCompromised: a Receipt by a key that is known to be compromised is neither good
// nor bad, and does not stand in the way of others.
func TestCompromised(t *testing.T) {
	entry, root := []byte("entry"), scitt.LeafHash([]byte("entry"))
	old, sound := newKey(t, "ES256"), newKey(t, "ES256")
	sign := func(key crypto.Signer) *scitt.Receipt {
		tree, err := scitt.SignTree(key, "https://ts.example", "ts.example", time.Unix(1e9, 0), root)
		must(t, err)
		r, err := scitt.ParseReceipt(tree.Receipt(&scitt.InclusionProof{Size: 1}))
		must(t, err)
		return r
	}
	set := scitt.KeySet{newKeyID(t, sound), {ID: newKeyID(t, old).ID}}
	err := set.VerifyReceipt(sign(old), entry)
	for _, want := range []error{scitt.ErrCompromised, scitt.ErrUnchecked, scitt.ErrUnknownKey} {
		if !errors.Is(err, want) {
			t.Errorf("%v is not %v", err, want)
		}
	}
	if err := set.VerifyReceipt(sign(sound), entry); err != nil {
		t.Error(err)
	}
	unnamed := sign(old)
	unnamed.KeyID = nil
	if err := set.VerifyReceipt(unnamed, entry); !errors.Is(err, scitt.ErrSignature) {
		t.Errorf("without a kid: %v", err)
	}
	if err := set[1:].VerifyReceipt(unnamed, entry); !errors.Is(err, scitt.ErrCompromised) {
		t.Errorf("without a kid, and no other key: %v", err)
	}
}

func TestParsePublicKey(t *testing.T) {
	key := newKey(t, "ES256")
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	jwk, err := did.MarshalJWK(key.Public())
	must(t, err)
	iss, err := did.NewJWK(key.Public())
	must(t, err)
	coseKey, err := newKeyID(t, key).Marshal()
	must(t, err)
	cert := newCA(t, "ca", key, nil)
	for name, data := range map[string][]byte{
		"PEM": block("PUBLIC KEY", spki), "certificate": block("CERTIFICATE", cert.Raw),
		"JWK": append([]byte("\n "), jwk...), "did:jwk": []byte(iss + "\n"), "COSE_Key": coseKey,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := scitt.ParsePublicKey(data)
			must(t, err)
			sameKey(t, got.Public, key.Public())
		})
	}
	private, err := scitt.MarshalPrivateKey(key)
	must(t, err)
	for name, c := range map[string]struct {
		data  []byte
		want  error
		piece string
	}{
		"empty":           {nil, scitt.ErrAlgorithm, ""},
		"text":            {[]byte("key"), scitt.ErrMalformed, "not a map"},
		"private":         {private, scitt.ErrMalformed, `"PRIVATE KEY" is no public key`},
		"bad SPKI":        {block("PUBLIC KEY", spki[1:]), scitt.ErrMalformed, "public key"},
		"bad certificate": {block("CERTIFICATE", spki), scitt.ErrMalformed, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scitt.ParsePublicKey(c.data)
			wantError(t, err, c.want, c.piece)
		})
	}

	two := append(block("CERTIFICATE", cert.Raw), block("CERTIFICATE", cert.Raw)...)
	chain, err := scitt.ParseCertificates(two)
	must(t, err)
	if len(chain) != 2 || !bytes.Equal(chain[1].Raw, cert.Raw) {
		t.Errorf("%d certificates", len(chain))
	}
	for name, data := range map[string][]byte{
		"none": []byte("x"), "another block": append(two, private...), "no DER": block("CERTIFICATE", []byte{1}),
	} {
		t.Run("certificates "+name, func(t *testing.T) {
			_, err := scitt.ParseCertificates(data)
			wantError(t, err, scitt.ErrMalformed, "")
		})
	}
}
