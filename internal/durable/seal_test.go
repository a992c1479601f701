package durable

import (
	"bytes"
	"errors"
	"testing"
)

// TestSeal: no document with one flipped bit, or without its end, is taken for another one.
func TestSeal(t *testing.T) {
	object := []byte("{\n  \"size\": 128,\n  \"heads\": []\n}\n")
	sealed := Seal(object)
	for name, data := range map[string][]byte{"sealed": sealed, "by an older version": object} {
		if got, err := Unseal(data); err != nil || !bytes.Equal(got, object) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for i := range sealed {
		for bit := range 8 {
			data := bytes.Clone(sealed)
			data[i] ^= 1 << bit
			// A name that is damaged makes the seal an unknown member in front of what was written.
			if got, err := Unseal(data); !errors.Is(err, ErrChanged) && !(i < len(sealBegins) && bytes.Equal(got, data)) {
				t.Errorf("bit %d of byte %d: %q, %v", bit, i, got, err)
			}
		}
		if got, err := Unseal(sealed[:i]); i >= len(sealBegins) && !errors.Is(err, ErrChanged) {
			t.Errorf("%d bytes: %q, %v", i, got, err)
		}
	}
}

func FuzzUnseal(f *testing.F) {
	f.Add(Seal([]byte(`{"a":1}`)))
	f.Add([]byte(`{"sha256":"`))
	f.Add([]byte(`{"a":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		object, err := Unseal(data)
		if err == nil && !bytes.Equal(object, data) && !bytes.Equal(Seal(object), data) {
			t.Errorf("%q became %q", data, object)
		}
	})
}
