package inspect

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// Examples of RFC 8949 appendix A, and what it has none of.
func TestDiagnose(t *testing.T) {
	for _, tc := range []struct{ hex, want string }{
		{"00", "0"},
		{"1818", "24"},
		{"1bffffffffffffffff", "18446744073709551615"},
		{"3bffffffffffffffff", "-18446744073709551616"},
		{"3b8000000000000000", "-9223372036854775809"},
		{"3b7fffffffffffffff", "-9223372036854775808"},
		{"3903e7", "-1000"},
		{"c249010000000000000000", "2(h'010000000000000000')"},
		{"f90000", "0.0"},
		{"f93c00", "1.0"},
		{"fb3ff199999999999a", "1.1"},
		{"fa7f7fffff", "3.4028234663852886e+38"},
		{"f97c00", "Infinity"},
		{"f97e00", "NaN"},
		{"f9fc00", "-Infinity"},
		{"f4", "false"},
		{"f5", "true"},
		{"f6", "null"},
		{"f7", "undefined"},
		{"f0", "simple(16)"},
		{"f8ff", "simple(255)"},
		{"40", "h''"},
		{"4401020304", "h'01020304'"},
		{"4449455446", "'IETF'"},
		{"62225c", `"\"\\"`},
		{"63e6b0b4", `"水"`},
		{"631b5b48", `"\u{1b}[H"`},
		{"80", "[]"},
		{"a0", "{}"},
		{"83010203", "[\n  1,\n  2,\n  3\n]"},
		{"a26161016162820203", "{\n  \"a\": 1,\n  \"b\": [\n    2,\n    3\n  ]\n}"},
		{"5f42010243030405ff", "(_ h'0102', h'030405')"},
		{"7f657374726561646d696e67ff", `(_ "strea", "ming")`},
		{"9f01820203ff", "[_ \n  1,\n  [\n    2,\n    3\n  ]\n]"},
		{"bf61610161629fffff", "{_ \n  \"a\": 1,\n  \"b\": [_ ]\n}"},
	} {
		data, err := hex.DecodeString(tc.hex)
		if err != nil {
			t.Fatal(err)
		}
		if !wellFormed(data) {
			t.Fatalf("%s is not well-formed", tc.hex)
		}
		if got := diagnose(data, nil); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.hex, got, tc.want)
		}
	}
}

// What a comment says cannot end it.
func TestCommentStaysAComment(t *testing.T) {
	if got := comment("a / b\nc\x1b"); got != `/ a | b c\u001b /` {
		t.Errorf("got %q", got)
	}
}

func TestInspectKinds(t *testing.T) {
	signer, err := scitt.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	iss, err := did.NewJWK(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := did.MarshalJWK(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	key, err := scitt.NewKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	coseKey, err := key.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		data string
		want []string
	}{
		{string((&scitt.Problem{Title: "Rejected", Detail: "no"}).Marshal()), []string{"Concise Problem Details", `/ title / -1: "Rejected"`}},
		{string(coseKey), []string{"COSE_Key", "/ crv, or n of RSA / -1: 1 / P-256 /"}},
		{iss, []string{"did:jwk", "key 1        ES256, COSE Key Thumbprint " + hex.EncodeToString(key.ID)}},
		{string(jwk), []string{"JSON Web Key", `"crv": "P-256"`}},
		{`{"a":[1]}`, []string{"JSON"}},
		{"\xd2\x84\x40\xa0\xf6\x40", []string{"COSE_Sign1", "not read"}},
		{"\x81\x01", []string{"CBOR", "[\n  1\n]"}},
		{"log.example\n07\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— log.example AAAAAAAAAA==\n", []string{"text with signature lines, not a checkpoint", "not read     ", "leading zeros"}},
		{"log.example\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— log.example AA\n", []string{"text with signature lines, not a checkpoint", "not read     "}},
		{"log.example\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nmore\n\n— log.example AAAAAAAAAA==\n", []string{"checkpoint, not verified", "size         7", "extension    more", "by log.example"}},
		{"c2sp.org/tlog-proof@v1\nindex x\n", []string{"tlog-proof", "not read"}},
		{"c2sp.org/tlog-proof@v1\nindex 7\n" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n", []string{"leaf index   7", "hash 1       0000"}},
	} {
		var out strings.Builder
		for _, o := range Bytes([]byte(tc.data)) {
			out.WriteString(o.String())
		}
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q: no %q in\n%s", tc.data, want, out.String())
			}
		}
	}
}

// FuzzInspect: whatever a file holds, inspect neither panics nor writes
// anything that a terminal obeys.
func FuzzInspect(f *testing.F) {
	signer, err := scitt.GenerateKey("EdDSA")
	if err != nil {
		f.Fatal(err)
	}
	data, err := scitt.SignStatement(signer, scitt.SignOptions{Subject: "s", Type: scitt.TypeKeys, Hash: true}, []byte("payload"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(append([]byte{byte(len(data) >> 8), byte(len(data))}, data...))
	for _, h := range []string{"9f01820203ff", "bf61610161629fffff", "5f42010243030405ff", "f97e00", "a2200121a0", "81a10102", "d284581ba10181"} {
		seed, err := hex.DecodeString(h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte("log.example\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u2014 log.example AAAAAAAAAA==\n"))
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 7\n\nlog.example\n"))
	f.Add([]byte(`{"origin":"o","checkpoint_keys":["k"]}`))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAtYSweuf7sWruhqMRUI6zR8eE6jxYGplKJP/g9OjMDN8=\n-----END PUBLIC KEY-----\n"))
	files, err := filepath.Glob("../../../shared/vectors/*/*.cose")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		seed, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, o := range Bytes(data) {
			if _, err := o.MarshalJSON(); err != nil {
				t.Error(err)
			}
			for _, r := range o.String() {
				if r != '\n' && r != ' ' && !unicode.IsPrint(r) {
					t.Fatalf("%U in %q", r, o.String())
				}
			}
		}
	})
}
