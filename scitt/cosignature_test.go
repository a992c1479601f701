package scitt_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
)

const cosigned = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

// cosigners makes one Ed25519 and one ML-DSA-44 cosigner, with their private keys.
func cosigners(t testing.TB, name string) (out [2]*scitt.Cosigner, skeys [2]string) {
	t.Helper()
	ed, pq, err := scitt.GenerateCosignerKeys(name)
	if err != nil {
		t.Fatal(err)
	}
	skeys = [2]string{ed, pq}
	for i, skey := range skeys {
		if out[i], err = scitt.ParseCosignerKey(skey); err != nil {
			t.Fatal(err)
		}
	}
	return out, skeys
}

func signatureOf(t *testing.T, line note.Signature) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(line.Base64)
	if err != nil {
		t.Fatal(err)
	}
	return b[4:]
}

// The other implementation, transparency-dev/formats, reads our keys and verifies
// our lines, and we its.
func TestCosignaturesOfAnotherImplementation(t *testing.T) {
	ours, skeys := cosigners(t, "witness.example/w1")
	for i, c := range ours {
		at := time.Unix(1679315147, 0)
		line, err := c.Cosign([]byte(cosigned), at)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := formats.NewVerifierForCosignatureV1(c.String())
		if err != nil {
			t.Fatal(err)
		}
		signed, err := note.Sign(&note.Note{Text: cosigned, Sigs: []note.Signature{line}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := note.Open(signed, note.VerifierList(theirs)); err != nil {
			t.Errorf("the other implementation refuses our line: %v", err)
		}
		if got, err := scitt.CosignatureTime(line); err != nil || !got.Equal(at) {
			t.Errorf("signed at %v, and the line says %v, %v", at, got, err)
		}

		signer, err := formats.NewSignerForCosignatureV1(skeys[i])
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := scitt.NewCosignatureVerifier(c.String())
		if err != nil {
			t.Fatal(err)
		}
		if signed, err = note.Sign(&note.Note{Text: cosigned}, signer); err != nil {
			t.Fatal(err)
		}
		n, err := note.Open(signed, note.VerifierList(verifier))
		if err != nil {
			t.Fatalf("we refuse the other implementation's line: %v", err)
		}
		if got, err := scitt.CosignatureTime(n.Sigs[0]); err != nil || time.Since(got).Abs() > time.Minute {
			t.Errorf("signed now, and the line says %v, %v", got, err)
		}
	}
}

func TestSubtreeCosignaturesOfAnotherImplementation(t *testing.T) {
	ours, skeys := cosigners(t, "witness.example/w1")
	tree := scitt.Subtree{Origin: "example.com/log", Start: 8, End: 13, Hash: bytes.Repeat([]byte{7}, 32)}
	if _, err := ours[0].CosignSubtree(tree); !errors.Is(err, scitt.ErrAlgorithm) {
		t.Errorf("an Ed25519 cosignature of a subtree: %v", err)
	}
	line, err := ours[1].CosignSubtree(tree)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := formats.NewMLDSAVerifier(ours[1].String())
	if err != nil {
		t.Fatal(err)
	}
	if !theirs.VerifySubtree(0, tree.Origin, tree.Start, tree.End, tree.Hash, signatureOf(t, line)) {
		t.Error("the other implementation refuses our subtree")
	}
	if got, err := scitt.CosignatureTime(line); err != nil || !got.IsZero() {
		t.Errorf("the cosignature of a subtree has the time %v, %v", got, err)
	}
	signer, err := formats.NewMLDSASigner(skeys[1])
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.SignSubtree(0, tree.Origin, tree.Start, tree.End, tree.Hash)
	if err != nil || !ours[1].VerifySubtree(tree, sig) {
		t.Errorf("we refuse the other implementation's subtree: %v", err)
	}
	for what, other := range map[string]scitt.Subtree{
		"start":  {Origin: tree.Origin, Start: 0, End: 13, Hash: tree.Hash},
		"end":    {Origin: tree.Origin, Start: 8, End: 12, Hash: tree.Hash},
		"origin": {Origin: "example.com/other", Start: 8, End: 13, Hash: tree.Hash},
		"root":   {Origin: tree.Origin, Start: 8, End: 13, Hash: make([]byte, 32)},
	} {
		if ours[1].VerifySubtree(other, sig) {
			t.Errorf("the signature verifies for another %s", what)
		}
	}
}

func TestCosignatureRefusals(t *testing.T) {
	ours, _ := cosigners(t, "witness.example/w1")
	others, _ := cosigners(t, "witness.example/w1")
	at := time.Unix(1679315147, 0)
	for i, c := range ours {
		line, err := c.Cosign([]byte(cosigned), at)
		if err != nil {
			t.Fatal(err)
		}
		sig := signatureOf(t, line)
		if !c.Verify([]byte(cosigned), sig) {
			t.Fatal("the signature does not verify")
		}
		for name, body := range map[string]string{
			"another size":          strings.Replace(cosigned, "163", "164", 1),
			"another origin":        strings.Replace(cosigned, "sofa", "sofas", 1),
			"another root":          strings.Replace(cosigned, "CsUY", "CsUZ", 1),
			"an extension line":     cosigned + "more\n",
			"a zero before a size":  strings.Replace(cosigned, "208", "0208", 1),
			"base64 in a free form": strings.Replace(cosigned, "q2I=", "q2J=", 1),
			"nothing":               "",
		} {
			if c.Verify([]byte(body), sig) {
				t.Errorf("key %d: the signature verifies for %s", i, name)
			}
		}
		later := append([]byte{0, 0, 0, 0, 0xff}, sig[5:]...)
		for name, bad := range map[string][]byte{"no bytes": nil, "only a time": sig[:8], "one more": append(bytes.Clone(sig), 0), "another time": later} {
			if c.Verify([]byte(cosigned), bad) {
				t.Errorf("key %d: a signature with %s verifies", i, name)
			}
		}
		if others[i].Verify([]byte(cosigned), sig) {
			t.Errorf("key %d: the signature verifies by another key of the same name", i)
		}
		if _, err := c.Cosign([]byte(cosigned), time.Unix(0, 0)); err == nil {
			t.Error("a cosignature without a time")
		}
	}
	// Extension lines: Ed25519 signs them, and ML-DSA does not.
	if line, err := ours[0].Cosign([]byte(cosigned+"more\n"), at); err != nil || !ours[0].Verify([]byte(cosigned+"more\n"), signatureOf(t, line)) {
		t.Errorf("Ed25519 with an extension line: %v", err)
	}
	if _, err := ours[1].Cosign([]byte(cosigned+"more\n"), at); !errors.Is(err, scitt.ErrExtension) {
		t.Errorf("ML-DSA with an extension line: %v", err)
	}
	// A length of 256 would be a 0 in one byte, and the message could be read in two ways.
	long := strings.Repeat("o", 256) + strings.TrimPrefix(cosigned, "example.com/behind-the-sofa")
	if _, err := ours[1].Cosign([]byte(long), at); !errors.Is(err, scitt.ErrMalformed) {
		t.Errorf("ML-DSA with an origin of 256 bytes: %v", err)
	}
	if _, err := ours[1].CosignSubtree(scitt.Subtree{Origin: "o", Start: 2, End: 1, Hash: make([]byte, 32)}); err == nil {
		t.Error("a subtree that ends before it starts")
	}
}

func TestCosignatureTime(t *testing.T) {
	at := func(time uint64) note.Signature {
		b := append([]byte{1, 2, 3, 4}, fmt.Appendf(nil, "%c%c%c%c%c%c%c%c", 0, 0, 0, 0, 0, 0, 0, 0)...)
		for i := range 8 {
			b[4+i] = byte(time >> (56 - 8*i))
		}
		return note.Signature{Name: "w", Base64: base64.StdEncoding.EncodeToString(b)}
	}
	for _, c := range []struct {
		line note.Signature
		want time.Time
		bad  bool
	}{
		{line: at(1), want: time.Unix(1, 0)},
		{line: at(0)},
		{line: at(math.MaxInt64), want: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}, // the last that RFC 3339 can write
		{line: at(math.MaxInt64 + 1), bad: true},
		{line: note.Signature{Base64: "AAAA"}, bad: true},
		{line: note.Signature{Base64: "%"}, bad: true},
	} {
		got, err := scitt.CosignatureTime(c.line)
		if (err != nil) != c.bad || !got.Equal(c.want) {
			t.Errorf("%s: %v, %v, want %v", c.line.Base64, got, err, c.want)
		}
	}
}

func TestCosignatureVerifierKeys(t *testing.T) {
	ours, _ := cosigners(t, "witness.example/w1")
	log, _, err := note.GenerateKey(rand.Reader, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	good := ours[0].String()
	name, rest, _ := strings.Cut(good, "+")
	hash, key, _ := strings.Cut(rest, "+")
	point := append([]byte{4, 1}, make([]byte, 31)...) // the neutral element
	for what, vkey := range map[string]string{
		"nothing":               "",
		"a private key":         log,
		"another hash":          name + "+00000000+" + key,
		"a longer hash":         name + "+0" + hash + "+" + key,
		"another name":          "witness.example/w2+" + hash + "+" + key,
		"a line break":          good + "\n",
		"a key that is shorter": name + "+" + hash + "+" + base64.StdEncoding.EncodeToString([]byte{4, 1, 2}),
		"no key":                name + "+" + hash + "+",
		"ML-DSA of no length":   name + "+" + hash + "+" + base64.StdEncoding.EncodeToString([]byte{6}),
		"a key of small order":  name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(point),
		"an unknown type":       name + "+" + hash + "+" + base64.StdEncoding.EncodeToString([]byte{1}),
		"a name with a space":   "a b+" + hash + "+" + key,
	} {
		if _, err := scitt.NewCosignatureVerifier(vkey); !errors.Is(err, scitt.ErrMalformed) && !errors.Is(err, scitt.ErrAlgorithm) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, c := range ours {
		v, err := scitt.NewCosignatureVerifier(c.String())
		if err != nil || v.String() != c.String() || !bytes.Equal(v.PublicKey(), c.PublicKey()) {
			t.Errorf("%v is read as %v, %v", c, v, err)
		}
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scitt.NewCosigner("w", ec); !errors.Is(err, scitt.ErrAlgorithm) {
		t.Errorf("a P-256 cosigner: %v", err)
	}
	if _, err := scitt.NewCosigner(strings.Repeat("w", 256), ec); !errors.Is(err, scitt.ErrMalformed) {
		t.Errorf("a name of 256 bytes: %v", err)
	}
}

func FuzzCosignatureVerifierKey(f *testing.F) {
	ours, _ := cosigners(f, "witness.example/w1")
	for _, c := range ours {
		f.Add(c.String())
	}
	f.Fuzz(func(t *testing.T, vkey string) {
		if v, err := scitt.NewCosignatureVerifier(vkey); err == nil && v.String() != vkey {
			t.Errorf("%q is read as %q", vkey, v)
		}
	})
}

func FuzzCosignerKey(f *testing.F) {
	_, skeys := cosigners(f, "witness.example/w1")
	for _, skey := range skeys {
		f.Add(skey)
	}
	f.Fuzz(func(t *testing.T, skey string) {
		c, err := scitt.ParseCosignerKey(skey)
		if err != nil {
			return
		}
		if line, err := c.Cosign([]byte(cosigned), time.Unix(1, 0)); err != nil || !c.Verify([]byte(cosigned), signatureOf(t, line)) {
			t.Errorf("a key that was read does not sign: %v", err)
		}
	})
}

// What verifies is a cosignature that was made: only of this body.
func FuzzCosignature(f *testing.F) {
	ours, _ := cosigners(f, "w")
	for _, c := range ours {
		line, err := c.Cosign([]byte(cosigned), time.Unix(1679315147, 0))
		if err != nil {
			f.Fatal(err)
		}
		b, _ := base64.StdEncoding.DecodeString(line.Base64)
		f.Add([]byte(cosigned), b[4:])
		f.Add([]byte(cosigned+"more\n"), b[4:])
	}
	f.Fuzz(func(t *testing.T, body, sig []byte) {
		for i, c := range ours {
			if c.Verify(body, sig) && string(body) != cosigned {
				t.Errorf("key %d: %q verifies", i, body)
			}
		}
	})
}
