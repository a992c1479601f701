package scitt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/veraison/go-cose"
)

// FuzzSplitEntry: an Entry in its one encoding is decoded to the same, or
// refused with the same words, whichever way it is decoded.
func FuzzSplitEntry(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	for _, size := range []int{0, 1, 23, 24, 255, 256, 60_000} {
		s, err := SignStatement(key, SignOptions{Subject: "s", IssuedAt: time.Unix(1, 0), Chain: &ChainLink{Name: "c"}}, make([]byte, size))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s)
	}
	f.Add([]byte{tagSign1, arrayOf4, 0x40, 0xa0, 0x40, 0x40})
	f.Add([]byte{tagSign1, arrayOf4, 0x41, 0xa0, 0xa0, 0x40, 0x40})
	f.Add([]byte{tagSign1, arrayOf4, 0x58, 1, 0xa0, 0xa0, 0x40, 0x40})
	f.Add([]byte{tagSign1, arrayOf4, 0x59, 0, 24})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, _, ok := splitEntry(data); !ok {
			return
		}
		got, err := decodeEntry(bytes.Clone(data))
		want, wantErr := decodeSign1(data)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v; want %+v, %v", got, err, want, wantErr)
		}
		if err == nil && !bytes.Equal(got.Entry(), data) {
			t.Fatalf("the entry of %x is %x", data, got.Entry())
		}
	})
}

// FuzzItems: what is read without the CBOR decoder is what the decoder reads.
func FuzzItems(f *testing.F) {
	for _, v := range []any{
		map[any]any{1: -7, 4: []byte{1}, 15: map[any]any{1: "https://iss.example", 2: "sub", 6: 1443944944, -70000: nil}, "chain": []any{"name", 1, make([]byte, 32)}},
		map[any]any{2: []any{-(1 << 62), "crit", 1 << 62}, 33: []any{[]byte{}, make([]byte, 300)}, 258: -16, 259: true, 260: false},
		map[any]any{}, map[any]any{1: []any{}, "": map[any]any{}, 3: []any{[]any{[]any{1.5}}}}, []any{map[any]any{true: 1}}, uint64(1 << 63),
	} {
		f.Add(encode(v))
	}
	for _, text := range []string{"a201010102", "a1190001f6", "bf0101ff", "a1f401", "a163ff80ff01", "3b7fffffffffffffff", "3b8000000000000000", "d82a01", "f7", "9a00ffffff", "ba00ffffff"} {
		data, _ := hex.DecodeString(text)
		f.Add(data)
	}
	for depth := range 2 * maxHeaderDepth {
		f.Add(append(bytes.Repeat([]byte{0x81}, depth), 1))
		f.Add(append(bytes.Repeat([]byte{0xa1, 1}, depth), 1))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := items{data, maxHeaderItems}
		got, ok := r.item(maxHeaderDepth)
		if !ok || len(r.rest) > 0 {
			return
		}
		var want any
		if err := decMode.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%x: %#v; want %#v, %v", data, got, want, err)
		}
		if n := countItems(data); n != maxHeaderItems-r.more {
			t.Fatalf("%x: %d items; want %d", data, maxHeaderItems-r.more, n)
		}
	})
}

// TestVerifyES256: signatures are judged as by go-cose, whatever bytes r and s begin with.
func TestVerifyES256(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := cose.NewVerifier(cose.AlgorithmES256, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("message")
	digest := sha256.Sum256(message)
	holds := func(signature []byte) {
		t.Helper()
		if got, want := verifyES256(&key.PublicKey, digest[:], signature), verifier.Verify(message, signature) == nil; got != want {
			t.Fatalf("%x: %t, want %t", signature, got, want)
		}
	}
	var zero, high [2]int // signatures whose r and whose s begin with a zero byte, and with a high bit
	for n := 0; n < 10_000 && (n < 100 || zero[0] == 0 || zero[1] == 0); n++ {
		signature, err := signer.Sign(rand.Reader, message)
		if err != nil {
			t.Fatal(err)
		}
		for i, half := range [...][]byte{signature[:32], signature[32:]} {
			zero[i] += 1 - min(1, int(half[0]))
			high[i] += int(half[0] >> 7)
		}
		if !verifyES256(&key.PublicKey, digest[:], signature) {
			t.Fatalf("%x does not verify", signature)
		}
		signature[n%64] ^= 1 << (n % 8)
		holds(signature)
	}
	if zero[0] == 0 || zero[1] == 0 || high[0] == 0 || high[1] == 0 {
		t.Errorf("zero bytes %d and high bits %d were tried", zero, high)
	}
	order := elliptic.P256().Params().N.Bytes()
	for _, half := range [][]byte{make([]byte, 32), bytes.Repeat([]byte{0xff}, 32), order, append(make([]byte, 31), 1)} {
		for _, other := range [][]byte{half, append(make([]byte, 31), 1)} {
			holds(slices.Concat(half, other))
			holds(slices.Concat(other, half))
		}
	}
	for _, size := range []int{0, 1, 63, 65, 128} {
		holds(make([]byte, size))
	}
}
