package scitt_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/scitt"
)

func TestParseStatementRefusals(t *testing.T) {
	bare := good().encode(t)[1:] // the array, without its tag
	change := func(changes m) []byte {
		s := good()
		s.protected = with(goodHeader(), changes)
		return s.encode(t)
	}
	edit := func(f func(s *sign1)) []byte {
		s := good()
		f(&s)
		return s.encode(t)
	}
	unprotected := func(u any) []byte { return edit(func(s *sign1) { s.unprotected = u }) }
	protected := func(h string) []byte { return edit(func(s *sign1) { s.protected = unhex(t, h) }) }
	// A header whose encoding ends in a claims map that the test writes.
	claims := func(h string) []byte { return protected("a3 0126 04436b6579 0f" + h) }

	for name, c := range map[string]struct {
		data  []byte
		want  error
		piece string
	}{
		"empty":                {nil, scitt.ErrMalformed, "empty"},
		"not CBOR":             {[]byte("hello"), scitt.ErrMalformed, "not a COSE_Sign1: want CBOR tag 18"},
		"JSON":                 {[]byte(`{"a":1}`), scitt.ErrMalformed, "got 0x7b"},
		"tag alone":            {[]byte{0xd2}, scitt.ErrMalformed, "not a COSE_Sign1"},
		"tag around nil":       {[]byte{0xd2, 0xf6}, scitt.ErrMalformed, "not around an array of four"},
		"tag around a map":     {[]byte{0xd2, 0xa0}, scitt.ErrMalformed, "not around an array of four"},
		"tag twice":            {append([]byte{0xd2, 0xd2}, bare...), scitt.ErrMalformed, "not around an array of four"},
		"another tag within":   {append([]byte{0xd2, 0xd9, 0xd9, 0xf7}, bare...), scitt.ErrMalformed, "not around an array of four"},
		"untagged":             {bare, scitt.ErrMalformed, "untagged; prefix it with CBOR tag 18"},
		"tag of COSE_Mac0":     {append([]byte{0xd1}, bare...), scitt.ErrMalformed, "got 0xd1"},
		"tag of COSE_Sign":     {append([]byte{0xd8, 0x62}, bare...), scitt.ErrMalformed, "got 0xd8"},
		"array of three":       {append([]byte{0xd2}, enc(t, []any{[]byte{}, m{}, []byte{}})...), scitt.ErrMalformed, "not a COSE_Sign1"},
		"array of five":        {append([]byte{0xd2}, enc(t, []any{[]byte{}, m{}, []byte{}, []byte{}, 1})...), scitt.ErrMalformed, "not a COSE_Sign1"},
		"truncated":            {good().encode(t)[:40], scitt.ErrMalformed, "not a COSE_Sign1"},
		"trailing byte":        {append(good().encode(t), 0), scitt.ErrMalformed, "1 bytes trail"},
		"indefinite array":     {append(append([]byte{0xd2, 0x9f}, bare[1:]...), 0xff), scitt.ErrMalformed, "indefinite"},
		"indefinite protected": {edit(func(s *sign1) { s.protected = raw(unhex(t, "5f41a0ff")) }), scitt.ErrMalformed, "indefinite"},
		"indefinite payload":   {edit(func(s *sign1) { s.payload = raw(unhex(t, "5f4101ff")) }), scitt.ErrMalformed, "indefinite"},
		"indefinite map":       {protected("bf0126ff"), scitt.ErrMalformed, "indefinite"},
		"indefinite claim":     {claims("a2017f616966ff0261 73"), scitt.ErrMalformed, "protected header"},

		"protected is a map":       {edit(func(s *sign1) { s.protected = raw(enc(t, goodHeader())) }), scitt.ErrMalformed, "protected header is not a byte string"},
		"protected holds an array": {protected("80"), scitt.ErrMalformed, "protected header is not a map"},
		"protected empty":          {protected(""), scitt.ErrMalformed, "no alg (1)"},
		"protected empty map":      {protected("a0"), scitt.ErrMalformed, "no alg (1)"},
		"protected trailing":       {protected("a0 00"), scitt.ErrMalformed, "protected header"},
		"unprotected is text":      {unprotected("x"), scitt.ErrMalformed, "unprotected header is not a map"},
		"unprotected is nil":       {unprotected(raw{0xf6}), scitt.ErrMalformed, "unprotected header is not a map"},
		"payload is text":          {edit(func(s *sign1) { s.payload = "text" }), scitt.ErrMalformed, "payload is not a byte string"},
		"payload is tagged":        {edit(func(s *sign1) { s.payload = cbor.Tag{Number: 24, Content: []byte{1}} }), scitt.ErrMalformed, "payload is not a byte string"},
		"signature is nil":         {edit(func(s *sign1) { s.signature = nil }), scitt.ErrMalformed, "signature is not a byte string"},
		"nested too deep":          {unprotected(raw(append(unhex(t, "a11863"), append(bytes.Repeat([]byte{0x81}, 64), 0)...))), scitt.ErrMalformed, "nested"},

		"duplicate in protected":       {protected("a3 0126 0126 04436b6579"), scitt.ErrMalformed, "duplicate"},
		"duplicate in longer encoding": {protected("a2 0126 180126"), scitt.ErrMalformed, "duplicate"},
		"duplicate in unprotected":     {unprotected(raw(unhex(t, "a2186301186302"))), scitt.ErrMalformed, "duplicate"},
		"duplicate in claims":          {claims("a3 01616901616a026173"), scitt.ErrMalformed, "duplicate"},
		"label of bytes":               {protected("a2 0126 4101f5"), scitt.ErrMalformed, "neither an integer nor text"},
		"label of true":                {unprotected(raw(unhex(t, "a1f500"))), scitt.ErrMalformed, "neither an integer nor text"},
		"label of float":               {unprotected(raw(unhex(t, "a1f93c0000"))), scitt.ErrMalformed, "neither an integer nor text"},
		"label is a bignum":            {unprotected(raw(unhex(t, "a1c2410100"))), scitt.ErrMalformed, "map key type"},
		"label beyond 63 bits":         {unprotected(raw(unhex(t, "a13bffffffffffffffff00"))), scitt.ErrMalformed, "unprotected header"},
		"claim label of bytes":         {claims("a3 0161690261734101f5"), scitt.ErrMalformed, "CWT Claims (15) has a label"},
		"invalid UTF-8":                {claims("a2 0161ff026173"), scitt.ErrMalformed, "UTF-8"},
		"label in both buckets":        {unprotected(m{4: []byte("other")}), scitt.ErrMalformed, "header parameter 4 is in both"},
		"text label in both": {edit(func(s *sign1) {
			s.protected, s.unprotected = with(goodHeader(), m{"x": 1}), m{"x": 1}
		}), scitt.ErrMalformed, "header parameter x is in both"},

		"crit unknown":        {change(m{2: []any{"x"}, "x": 1}), scitt.ErrMalformed, "marks the header parameter x as critical"},
		"crit unknown number": {change(m{2: []any{99}, 99: 1}), scitt.ErrMalformed, "marks the header parameter 99 as critical"},
		"crit empty":          {change(m{2: []any{}}), scitt.ErrMalformed, "crit (2) is not an array with at least one"},
		"crit not an array":   {change(m{2: 1}), scitt.ErrMalformed, "crit (2) is not an array"},
		"crit absent label":   {change(m{2: []any{16}}), scitt.ErrMalformed, "names the header parameter 16, which"},
		"crit no label":       {change(m{2: []any{[]byte{1}}}), scitt.ErrMalformed, "holds something that is not a label"},

		"no alg":                {change(m{1: nil}), scitt.ErrMalformed, "no alg (1)"},
		"alg only unprotected":  {edit(func(s *sign1) { s.protected, s.unprotected = with(goodHeader(), m{1: nil}), m{1: -7} }), scitt.ErrMalformed, "no alg (1)"},
		"alg text":              {change(m{1: "ES256"}), scitt.ErrAlgorithm, "takes ES256, ESP256"},
		"alg ES256K":            {change(m{1: -47}), scitt.ErrAlgorithm, "algorithm -47; this service takes"},
		"alg HMAC":              {change(m{1: 5}), scitt.ErrAlgorithm, "algorithm 5"},
		"no CWT claims":         {change(m{15: nil}), scitt.ErrMalformed, "no CWT Claims (15)"},
		"claims not a map":      {change(m{15: "x"}), scitt.ErrMalformed, "CWT Claims (15) are not a map"},
		"claims empty":          {change(m{15: m{}}), scitt.ErrMalformed, "no issuer (iss, 1)"},
		"no iss":                {change(m{15: m{2: "s"}}), scitt.ErrMalformed, "no issuer (iss, 1)"},
		"empty iss":             {change(m{15: m{1: "", 2: "s"}}), scitt.ErrMalformed, "no issuer (iss, 1)"},
		"iss not text":          {change(m{15: m{1: 7, 2: "s"}}), scitt.ErrMalformed, "CWT claim iss is not text"},
		"no sub":                {change(m{15: m{1: "i"}}), scitt.ErrMalformed, "no subject (sub, 2)"},
		"sub not text":          {change(m{15: m{1: "i", 2: []byte("s")}}), scitt.ErrMalformed, "CWT claim sub is not text"},
		"iat text":              {change(m{15: m{1: "i", 2: "s", 6: "now"}}), scitt.ErrMalformed, "CWT claim iat is not a NumericDate"},
		"iat tagged":            {change(m{15: m{1: "i", 2: "s", 6: cbor.Tag{Number: 1, Content: 5}}}), scitt.ErrMalformed, "CWT claim iat"},
		"iat NaN":               {change(m{15: m{1: "i", 2: "s", 6: raw(unhex(t, "f97e00"))}}), scitt.ErrMalformed, "CWT claim iat"},
		"claims in unprotected": {edit(func(s *sign1) { s.protected, s.unprotected = with(goodHeader(), m{15: nil}), m{15: m{1: "i", 2: "s"}} }), scitt.ErrMalformed, "no CWT Claims (15)"},
		"no key id":             {change(m{4: nil}), scitt.ErrNoKeyID, "put kid (4), x5t (34) or x5chain (33)"},
		"kid in unprotected":    {edit(func(s *sign1) { s.protected, s.unprotected = with(goodHeader(), m{4: nil}), m{4: []byte("k")} }), scitt.ErrNoKeyID, "names no key"},
		"kid text":              {change(m{4: "key"}), scitt.ErrMalformed, "kid (4) is not a byte string"},
		"typ bytes":             {change(m{16: []byte("x")}), scitt.ErrMalformed, "typ (16) is neither text"},
		"content type negative": {change(m{3: -1}), scitt.ErrMalformed, "content type (3) is neither text"},

		"nil payload":      {edit(func(s *sign1) { s.payload = nil }), scitt.ErrPayloadMissing, "RFC 9995 hash envelope"},
		"empty signature":  {edit(func(s *sign1) { s.signature = []byte{} }), scitt.ErrMalformed, "signature is empty"},
		"DER signature":    {edit(func(s *sign1) { s.signature = append([]byte{0x30, 0x44}, make([]byte, 68)...) }), scitt.ErrMalformed, "DER-encoded; COSE wants r and s side by side, 64 bytes"},
		"short signature":  {edit(func(s *sign1) { s.signature = make([]byte, 63) }), scitt.ErrMalformed, "ES256 signature has 63 bytes, not 64"},
		"ES384 signature":  {change(m{1: -35}), scitt.ErrMalformed, "ES384 signature has 64 bytes, not 96"},
		"EdDSA signature":  {edit(func(s *sign1) { s.protected, s.signature = with(goodHeader(), m{1: -8}), make([]byte, 65) }), scitt.ErrMalformed, "EdDSA signature has 65 bytes"},
		"over 65535 bytes": {edit(func(s *sign1) { s.payload = make([]byte, 1<<16) }), scitt.ErrTooLarge, "artifact storage"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scitt.ParseStatement(c.data)
			wantError(t, err, c.want, c.piece)
		})
	}
}

// TestDecodeStatement is about what only registration asks for.
func TestDecodeStatement(t *testing.T) {
	for name, s := range map[string]sign1{
		"no claims":      {protected: m{1: -7}, payload: []byte{1}, signature: zeroSignature},
		"no key id":      {protected: with(goodHeader(), m{4: nil}), payload: []byte{1}, signature: zeroSignature},
		"nil payload":    {protected: goodHeader(), signature: zeroSignature},
		"odd signature":  {protected: goodHeader(), payload: []byte{1}, signature: []byte{1}},
		"over the limit": {protected: goodHeader(), payload: make([]byte, 1<<16), signature: zeroSignature},
	} {
		t.Run(name, func(t *testing.T) {
			data := s.encode(t)
			got, err := scitt.DecodeStatement(data)
			must(t, err)
			if !bytes.Equal(got.Entry(), data) {
				t.Error("the entry is not the statement")
			}
			if _, err := scitt.ParseStatement(data); err == nil {
				t.Error("and yet it can be registered")
			}
		})
	}
}

func TestStatementSizeLimit(t *testing.T) {
	s := good()
	s.payload = []byte{}
	fixed := len(s.encode(t)) + 2 // the payload's length takes two bytes more
	s.payload = make([]byte, scitt.MaxEntrySize-fixed)
	data := s.encode(t)
	if len(data) != scitt.MaxEntrySize {
		t.Fatalf("the test made %d bytes", len(data))
	}
	_, err := scitt.ParseStatement(data)
	must(t, err)
	// Receipts do not count: they are not part of the entry.
	s.unprotected = m{394: []any{make([]byte, 100)}}
	_, err = scitt.ParseStatement(s.encode(t))
	must(t, err)
	s.payload = make([]byte, scitt.MaxEntrySize-fixed+1)
	_, err = scitt.ParseStatement(s.encode(t))
	wantError(t, err, scitt.ErrTooLarge, "65536 bytes, and a log entry holds 65535")
}

func TestStatementFields(t *testing.T) {
	prev := bytes.Repeat([]byte{7}, 32)
	s := good()
	s.protected = m{
		1: -7, 2: []any{1, "chain"}, 3: 60, 4: []byte("kid"), 16: "application/example+cose",
		15: m{1: "urn:iss", 2: "sub", 6: 1.5e9, "other": true}, "chain": []any{"inventory", 3, prev},
		33: []any{[]byte("leaf"), []byte("ca")}, 34: []any{-16, []byte("digest")}, "x": 1,
	}
	got, err := scitt.ParseStatement(s.encode(t))
	must(t, err)
	if got.Algorithm.String() != "ES256" || got.Issuer != "urn:iss" || got.Subject != "sub" || got.IssuedAt != 1500000000 ||
		string(got.KeyID) != "kid" || got.ContentType != "60" || got.Type != "application/example+cose" ||
		string(got.Payload) != "payload" || got.Envelope != nil || got.Receipts != nil {
		t.Errorf("fields: %+v", got)
	}
	if !got.IssuedTime().Equal(time.Unix(1500000000, 0)) {
		t.Errorf("issued at %v", got.IssuedTime())
	}
	if len(got.X5Chain) != 2 || string(got.X5Chain[0]) != "leaf" || got.X5T.Algorithm != -16 || string(got.X5T.Digest) != "digest" {
		t.Errorf("certificates: %q %+v", got.X5Chain, got.X5T)
	}
	if c := got.Chain; c.Name != "inventory" || c.Seq != 3 || !bytes.Equal(c.Prev, prev) {
		t.Errorf("chain: %+v", c)
	}
	if got.Header["x"] != int64(1) || got.Claims["other"] != true {
		t.Errorf("header %v, claims %v", got.Header, got.Claims)
	}
}

// TestEntry: an entry depends on nothing but protected header, payload and
// signature, in whatever encoding they come.
func TestEntry(t *testing.T) {
	unsorted := unhex(t, "a3 04436b6579 0fa2 026173 016169 0126") // 4, 15 and 1, in this order
	s := sign1{protected: unsorted, payload: []byte{}, signature: zeroSignature}
	canonical := s.encode(t)
	long := bytes.Join([][]byte{
		unhex(t, "d2 9804 5b0000000000000010"), unsorted, unhex(t, "b90000 5800 590040"), zeroSignature}, nil)
	s.unprotected = m{"note": []any{1, "two"}, 394: []any{[]byte("receipt")}, 3: 60}
	withHeader := s.encode(t)

	want := scitt.EntryID(sha256.Sum256(enc(t, []any{"Signature1", unsorted, []byte{}, []byte{}})))
	for name, data := range map[string][]byte{"canonical": canonical, "longer lengths": long, "unprotected": withHeader} {
		t.Run(name, func(t *testing.T) {
			got, err := scitt.ParseStatement(data)
			must(t, err)
			if !bytes.Equal(got.Entry(), canonical) {
				t.Errorf("entry\n%x want\n%x", got.Entry(), canonical)
			}
			if id, ok := scitt.EntryIDOf(got.Entry()); got.ID() != want || !ok || id != want || id.String() != hex.EncodeToString(want[:]) {
				t.Errorf("id %v, want %x", got.ID(), want)
			}
			if _, ok := scitt.EntryIDOf(data); ok != bytes.Equal(data, canonical) {
				t.Errorf("bytes that are the Entry: %v, have an id: %v", !ok, ok)
			}
			if digest := sha256.Sum256(canonical); !bytes.Equal(scitt.LeafDigest.Leaf(got), digest[:]) {
				t.Error("the leaf of a log of digests is not SHA-256 of the Entry")
			}
			if got.Payload == nil {
				t.Error("an empty payload is not a missing one")
			}
			again, err := scitt.ParseStatement(got.Entry())
			must(t, err)
			if !bytes.Equal(again.Entry(), got.Entry()) || again.ID() != got.ID() {
				t.Error("the entry of the entry is another")
			}
		})
	}
}

// TestEntryIDSigned: the id is that of what was signed, and of nothing else.
func TestEntryIDSigned(t *testing.T) {
	id := func(change func(*sign1)) scitt.EntryID {
		s := good()
		change(&s)
		got, err := scitt.DecodeStatement(s.encode(t))
		must(t, err)
		return got.ID()
	}
	first := id(func(*sign1) {})
	for name, change := range map[string]func(*sign1){
		"signature":          func(s *sign1) { s.signature = bytes.Repeat([]byte{1}, 64) },
		"unprotected header": func(s *sign1) { s.unprotected = m{33: []byte{1}, "x": 1} },
	} {
		if id(change) != first {
			t.Errorf("another %s makes another id", name)
		}
	}
	for name, change := range map[string]func(*sign1){
		"payload":       func(s *sign1) { s.payload = []byte("Payload") },
		"kid":           func(s *sign1) { s.protected = with(goodHeader(), m{4: []byte("Key")}) },
		"alg":           func(s *sign1) { s.protected = with(goodHeader(), m{1: -35}) },
		"x5chain":       func(s *sign1) { s.protected = with(goodHeader(), m{33: []byte{1}}) },
		"its encoding":  func(s *sign1) { s.protected = append(unhex(t, "b803"), enc(t, goodHeader())[1:]...) },
		"x5t":           func(s *sign1) { s.protected = with(goodHeader(), m{34: []any{-16, []byte{1}}}) },
		"where it ends": func(s *sign1) { s.protected, s.payload = with(goodHeader(), m{"p": "payload"}), []byte{} },
	} {
		if got := id(change); got == first || got == (scitt.EntryID{}) {
			t.Errorf("with another %s the id is %v", name, got)
		}
	}
	if got := id(func(s *sign1) { s.payload = nil }); got != (scitt.EntryID{}) {
		t.Errorf("a detached statement has the id %v", got)
	}
	detached := good()
	detached.payload = nil
	for name, data := range map[string][]byte{"detached": detached.encode(t), "empty": nil, "text": []byte("entry"), "trailing": append(good().encode(t), 0)} {
		if got, ok := scitt.EntryIDOf(data); ok || got != (scitt.EntryID{}) {
			t.Errorf("%s: id %v", name, got)
		}
	}
}

func TestParseEntryID(t *testing.T) {
	id := scitt.EntryID(sha256.Sum256([]byte("entry")))
	got, err := scitt.ParseEntryID(id.String())
	must(t, err)
	if got != id {
		t.Errorf("got %v, want %v", got, id)
	}
	for _, s := range []string{"", "0", id.String()[1:], id.String() + "0", strings.ToUpper(id.String()), "g" + id.String()[1:], strings.Repeat("é", 32)} {
		_, err := scitt.ParseEntryID(s)
		wantError(t, err, scitt.ErrMalformed, "64 lowercase hexadecimal")
	}
}

// TestContentSHA256: the digest is that of the content, in the statement or not.
func TestContentSHA256(t *testing.T) {
	key, content := newKey(t, "ES256"), []byte("content")
	for _, hash := range []bool{false, true} {
		data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "s", Hash: hash}, content)
		if err != nil {
			t.Fatal(err)
		}
		s, err := scitt.ParseStatement(data)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := s.ContentSHA256(); !ok || got != sha256.Sum256(content) || (s.Envelope != nil) != hash {
			t.Errorf("hash %t: %x, %t", hash, got, ok)
		}
		if hash {
			s.Envelope.Algorithm = -44
			if got, ok := s.ContentSHA256(); ok || got != [32]byte{} {
				t.Errorf("SHA-512: %x, %t", got, ok)
			}
		}
	}
}
