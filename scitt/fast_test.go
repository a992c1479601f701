package scitt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"reflect"
	"testing"
	"time"
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
