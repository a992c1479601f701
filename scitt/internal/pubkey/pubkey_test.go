package pubkey_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"filippo.io/mldsa"
	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// The base points are points whatever the key.
func point(t testing.TB, curve elliptic.Curve) (x, y []byte) {
	t.Helper()
	p, size := curve.Params(), (curve.Params().BitSize+7)/8
	return p.Gx.FillBytes(make([]byte, size)), p.Gy.FillBytes(make([]byte, size))
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	x, y := point(t, curve)
	return must(pubkey.Point(curve, x, y))(t)
}

var edwards = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)

// rsaKey has no factors that anybody knows: only its size counts here.
func rsaKey(bits, exponent int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: exponent}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// fails holds an error to a sentinel and to a piece of its message; no sentinel
// is no error.
func fails(t testing.TB, name string, err, want error, piece string) {
	t.Helper()
	if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), piece) {
		t.Errorf("%s: %v, want %v with %q", name, err, want, piece)
	}
}

func pqKey(t testing.TB, p *mldsa.Parameters) *mldsa.PublicKey {
	t.Helper()
	return must(mldsa.NewPrivateKey(p, make([]byte, mldsa.PrivateKeySize)))(t).PublicKey()
}

// TestFor: which algorithms a key is for, the usual one first, and which keys
// are for none.
func TestFor(t *testing.T) {
	for name, c := range map[string]struct {
		key  crypto.PublicKey
		want []string
		err  error
	}{
		"P-256":             {ecKey(t, elliptic.P256()), []string{"ES256", "ESP256"}, nil},
		"P-384":             {ecKey(t, elliptic.P384()), []string{"ES384", "ESP384"}, nil},
		"P-521":             {ecKey(t, elliptic.P521()), []string{"ES512", "ESP512"}, nil},
		"P-224":             {&ecdsa.PublicKey{Curve: elliptic.P224()}, nil, pubkey.ErrAlgorithm},
		"Ed25519":           {edwards, []string{"EdDSA", "Ed25519"}, nil},
		"RSA 2048":          {rsaKey(2048, 65537), []string{"PS256", "PS384", "PS512"}, nil},
		"RSA 4096":          {rsaKey(4096, 3), []string{"PS256", "PS384", "PS512"}, nil},
		"RSA 2047":          {rsaKey(2047, 65537), nil, pubkey.ErrAlgorithm},
		"RSA 4097":          {rsaKey(4097, 65537), nil, pubkey.ErrAlgorithm},
		"RSA, exponent 1":   {rsaKey(2048, 1), nil, pubkey.ErrAlgorithm},
		"RSA, exponent 4":   {rsaKey(2048, 4), nil, pubkey.ErrAlgorithm},
		"RSA, exponent big": {rsaKey(2048, 65539), nil, pubkey.ErrAlgorithm},
		"ML-DSA-44":         {pqKey(t, mldsa.MLDSA44()), []string{"ML-DSA-44"}, nil},
		"ML-DSA-65":         {pqKey(t, mldsa.MLDSA65()), nil, pubkey.ErrAlgorithm},
		"no key":            {nil, nil, pubkey.ErrAlgorithm},
	} {
		fits, err := pubkey.For(c.key)
		var names []string
		for _, a := range fits {
			names = append(names, a.Name)
			if found, ok := pubkey.Find(a.ID); !ok || found != a {
				t.Errorf("%s: number %d is %+v", name, a.ID, found)
			}
		}
		if !errors.Is(err, c.err) || !slices.Equal(names, c.want) {
			t.Errorf("%s: %v, %v", name, names, err)
		}
		if checked := pubkey.Check(c.key); !errors.Is(checked, c.err) {
			t.Errorf("%s: check: %v", name, checked)
		}
	}
	if _, ok := pubkey.Find(-47); ok {
		t.Error("ES256K is an algorithm of no key")
	}
}

// TestAlgorithms: each has a number and a name of its own, and of ECDSA a curve
// whose signatures have the size that it says.
func TestAlgorithms(t *testing.T) {
	numbers, names := map[cose.Algorithm]bool{}, map[string]bool{}
	for _, a := range pubkey.Algorithms() {
		if numbers[a.ID] || names[a.Name] {
			t.Errorf("%s is there twice", a.Name)
		}
		numbers[a.ID], names[a.Name] = true, true
		curve, ok := a.Curve()
		if ok != strings.HasPrefix(a.Name, "ES") || ok && a.Size != 2*((curve.Params().BitSize+7)/8) {
			t.Errorf("%s: curve %v, signatures of %d bytes", a.Name, ok, a.Size)
		}
	}
}

// TestRestrict: alg of a serialised key is one that fits its parameters, and then
// the key is for that alone; the fully specified name is the same algorithm.
func TestRestrict(t *testing.T) {
	named := func(name string) func(pubkey.Algorithm) bool {
		return func(a pubkey.Algorithm) bool { return a.Name == name }
	}
	for _, c := range []struct {
		key   crypto.PublicKey
		alg   string
		allow []cose.Algorithm
		deny  []cose.Algorithm
		err   error
	}{
		{ecKey(t, elliptic.P256()), "ES256", []cose.Algorithm{-7, -9}, []cose.Algorithm{-35, -8, -37, 0}, nil},
		{ecKey(t, elliptic.P256()), "ESP256", []cose.Algorithm{-7, -9}, []cose.Algorithm{-51}, nil},
		{ecKey(t, elliptic.P256()), "ES384", nil, nil, pubkey.ErrMalformed},
		{edwards, "Ed25519", []cose.Algorithm{-8, -19}, []cose.Algorithm{-7}, nil},
		{edwards, "ES256", nil, nil, pubkey.ErrMalformed},
		{rsaKey(2048, 65537), "PS384", []cose.Algorithm{-38}, []cose.Algorithm{-37, -39}, nil},
		{rsaKey(2048, 65537), "RS256", nil, nil, pubkey.ErrMalformed},
		{rsaKey(1024, 65537), "PS256", nil, nil, pubkey.ErrAlgorithm},
	} {
		k := pubkey.Key{Public: c.key}
		for _, alg := range append(c.allow, c.deny...) {
			if !k.Allows(alg) {
				t.Errorf("a key without alg does not allow %d", alg)
			}
		}
		if err := k.Restrict(c.alg, named(c.alg)); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.alg, err)
		}
		for _, alg := range c.allow {
			if !k.Allows(alg) {
				t.Errorf("a key for %s does not allow %d", c.alg, alg)
			}
		}
		for _, alg := range c.deny {
			if k.Allows(alg) {
				t.Errorf("a key for %s allows %d", c.alg, alg)
			}
		}
	}
}

// TestPoint: a point is on its curve, in coordinates of full length, or
// compressed (RFC 9053 section 7.1.1).
func TestPoint(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		x, y := point(t, curve)
		whole := ecKey(t, curve)
		compressed := must(pubkey.Point(curve, x, y[len(y)-1]&1 == 1))(t)
		other := must(pubkey.Point(curve, x, y[len(y)-1]&1 == 0))(t)
		if !pubkey.Equal(whole, compressed) || pubkey.Equal(whole, other) {
			t.Errorf("%s: the sign chooses the point", curve.Params().Name)
		}
		zeros := make([]byte, len(x))
		none := x
		for (&big.Int{}).ModSqrt(rightSide(curve, none), curve.Params().P) != nil {
			none = new(big.Int).Add(new(big.Int).SetBytes(none), big.NewInt(1)).FillBytes(zeros)
		}
		for name, c := range map[string]struct {
			x []byte
			y any
		}{
			"x too short": {x[1:], y}, "x too long": {append([]byte{0}, x...), y}, "y too short": {x, y[1:]}, "y too long": {x, append([]byte{0}, y...)},
			"no x": {nil, y}, "no y": {x, nil}, "y is text": {x, "y"}, "not on the curve": {y, x}, "zero": {make([]byte, len(x)), make([]byte, len(x))},
			"x of no point": {none, true}, "x beyond the field": {bytes.Repeat([]byte{0xff}, len(x)), true},
		} {
			_, err := pubkey.Point(curve, c.x, c.y)
			fails(t, curve.Params().Name+" "+name, err, pubkey.ErrMalformed, "")
		}
	}
}

// rightSide is x^3 - 3x + b.
func rightSide(curve elliptic.Curve, x []byte) *big.Int {
	p := curve.Params()
	v := new(big.Int).SetBytes(x)
	three := new(big.Int).Mul(v, big.NewInt(3))
	v.Exp(v, big.NewInt(3), p.P).Sub(v, three).Add(v, p.B)
	return v.Mod(v, p.P)
}

// TestEd25519: the encodings that are refused are those of no point, another
// than the one of a point (RFC 8032 section 5.1.3), and points of small order.
func TestEd25519(t *testing.T) {
	if k := must(pubkey.Ed25519(edwards))(t); !k.Equal(edwards) {
		t.Error("another key")
	}
	for encoded, piece := range map[string]string{
		"": "not 0", "00": "not 1", strings.Repeat("00", 33): "not 33",
		// y of no point, and y = 2^255 - 19, which is 0 in another encoding.
		"02" + strings.Repeat("00", 31):        "not the encoding of a point",
		"ed" + strings.Repeat("ff", 30) + "7f": "not the encoding of a point",
		// The identity, and the points of order 2, 4 and 8.
		"01" + strings.Repeat("00", 31):                                    "small order",
		"ec" + strings.Repeat("ff", 30) + "7f":                             "small order",
		strings.Repeat("00", 32):                                           "small order",
		strings.Repeat("00", 31) + "80":                                    "small order",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05": "small order",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a": "small order",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85": "small order",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa": "small order",
	} {
		raw := must(hex.DecodeString(encoded))(t)
		_, err := pubkey.Ed25519(raw)
		fails(t, encoded, err, pubkey.ErrMalformed, piece)
		if len(raw) == ed25519.PublicKeySize {
			fails(t, "a certificate's "+encoded, pubkey.Check(ed25519.PublicKey(raw)), pubkey.ErrMalformed, piece)
		}
	}
}

// TestRSA: modulus and exponent have no leading zeros (RFC 8230 section 4) and
// bounded sizes, which are known before any arithmetic.
func TestRSA(t *testing.T) {
	n, e := rsaKey(2048, 65537).N.Bytes(), []byte{1, 0, 1}
	if k := must(pubkey.RSA(n, e))(t); k.E != 65537 || !bytes.Equal(k.N.Bytes(), n) {
		t.Errorf("%+v", k)
	}
	for name, c := range map[string]struct {
		n, e []byte
		want error
	}{
		"no modulus": {nil, e, pubkey.ErrMalformed}, "no exponent": {n, nil, pubkey.ErrMalformed},
		"modulus with a zero": {append([]byte{0}, n...), e, pubkey.ErrMalformed}, "exponent with a zero": {n, []byte{0, 1, 0, 1}, pubkey.ErrMalformed},
		"modulus too short": {rsaKey(2047, 3).N.Bytes(), e, pubkey.ErrAlgorithm}, "modulus huge": {bytes.Repeat([]byte{0xff}, 1<<20), e, pubkey.ErrAlgorithm},
		"exponent even": {n, []byte{2}, pubkey.ErrAlgorithm}, "exponent huge": {n, bytes.Repeat([]byte{0xff}, 1<<10), pubkey.ErrAlgorithm},
		"exponent of four bytes": {n, []byte{0x80, 0, 0, 1}, pubkey.ErrAlgorithm},
	} {
		_, err := pubkey.RSA(c.n, c.e)
		fails(t, name, err, c.want, "")
	}
}

func TestBase64(t *testing.T) {
	for _, b := range [][]byte{nil, {0}, {0xfb, 0xff}, []byte("conmotion")} {
		if got := must(pubkey.DecodeBase64(pubkey.EncodeBase64(b)))(t); !bytes.Equal(got, b) {
			t.Errorf("%x became %x", b, got)
		}
	}
	for _, s := range []string{"A", "AQ==", "AR", "+/", "AQ\n", "A\rQ", " AQ", "AQ "} {
		if b, err := pubkey.DecodeBase64(s); err == nil {
			t.Errorf("%q is %x", s, b)
		}
	}
}

// FuzzRaw reads bytes as every kind of raw public key. What is read has the
// parameters that it came from, and costs no more than its bounds allow.
func FuzzRaw(f *testing.F) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		x, y := point(f, curve)
		f.Add(x, y)
	}
	f.Add([]byte(edwards), []byte{})
	f.Add(rsaKey(2048, 3).N.Bytes(), []byte{3})
	f.Add(pqKey(f, mldsa.MLDSA44()).Bytes(), []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		same := func(key crypto.PublicKey, err error, want map[int64]any) {
			if err != nil {
				if !errors.Is(err, pubkey.ErrMalformed) && !errors.Is(err, pubkey.ErrAlgorithm) {
					t.Fatalf("no reason: %v", err)
				}
				return
			}
			params, err := pubkey.Params(key)
			if err != nil {
				t.Fatal(err)
			}
			for label, v := range want {
				if !bytes.Equal(params[label].([]byte), v.([]byte)) {
					t.Fatalf("parameter %d is %x and came as %x", label, params[label], v)
				}
			}
			if err := pubkey.Check(key); err != nil {
				t.Fatalf("read, and then refused: %v", err)
			}
		}
		for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			key, err := pubkey.Point(curve, a, b)
			same(key, err, map[int64]any{pubkey.X: a, pubkey.Y: b})
			key, err = pubkey.Point(curve, a, len(b)%2 == 1)
			same(key, err, map[int64]any{pubkey.X: a})
		}
		ed, err := pubkey.Ed25519(a)
		same(ed, err, map[int64]any{pubkey.X: a})
		r, err := pubkey.RSA(a, b)
		same(r, err, map[int64]any{pubkey.N: a, pubkey.E: b})
		pq, err := pubkey.AKP(int64(pubkey.MLDSA44), a)
		same(pq, err, map[int64]any{pubkey.Pub: a})
		if decoded, err := pubkey.DecodeBase64(string(a)); err == nil && pubkey.EncodeBase64(decoded) != string(a) {
			t.Fatalf("%q has two encodings", decoded)
		}
	})
}
