package keys

import (
	"bytes"
	"encoding/pem"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// FuzzFile: a file URI names a file, and one that names none is refused.
func FuzzFile(f *testing.F) {
	f.Add("file:issuer.pem?passphrase-file=secret")
	f.Add("file:///etc/key%20a")
	f.Fuzz(func(t *testing.T, uri string) {
		if Scheme(uri) != "file" {
			return
		}
		if path, _, err := File(uri); err == nil && path == "" && uri != "" {
			t.Errorf("%q names no file", uri)
		}
	})
}

// FuzzParse: whatever is read as a private key is one that its own forms give back.
func FuzzParse(f *testing.F) {
	for _, alg := range []string{"ES256", "EdDSA"} {
		key, err := scitt.GenerateKey(alg)
		if err != nil {
			f.Fatal(err)
		}
		for _, form := range []Form{PEM, JWK, COSE} {
			data, err := Marshal(key, form, nil)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
		data, err := Marshal(key, PEM, []byte("secret"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	pq, err := scitt.GenerateKey("ML-DSA-44")
	if err == nil {
		var data []byte
		data, err = Marshal(pq, PEM, nil)
		f.Add(data)
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := Parse(data, func() ([]byte, error) { return []byte("secret"), nil })
		if err != nil {
			return
		}
		if written, err := Marshal(key, PEM, nil); err != nil || len(written) == 0 {
			t.Errorf("%q was read and is not written: %v", data, err)
		}
	})
}

// FuzzDecrypt: no encrypted key makes the reader panic or work for long.
func FuzzDecrypt(f *testing.F) {
	key, err := scitt.GenerateKey("EdDSA")
	if err != nil {
		f.Fatal(err)
	}
	data, err := Marshal(key, PEM, []byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode(data)
	f.Add(block.Bytes)
	f.Add(bytes.Replace(block.Bytes, []byte{0x02, 0x02, 0x40, 0x00}, []byte{0x02, 0x02, 0x00, 0x02}, 1)) // N is 2
	f.Fuzz(func(_ *testing.T, der []byte) {
		_, _ = decrypt(der, []byte("secret"))
	})
}
