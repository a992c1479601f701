package scitt_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"math"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/scitt"
)

// TestHeaderShapes is about the header parameters that have a structure.
func TestHeaderShapes(t *testing.T) {
	digest := make([]byte, 32)
	for name, c := range map[string]struct {
		protected, unprotected m
		payload                []byte
		piece                  string // of the refusal; "" when it is fine
	}{
		"envelope":                     {protected: m{258: -16}},
		"envelope in full":             {protected: m{258: -16, 259: "text/plain", 260: "https://example.com/x"}},
		"envelope with CoAP type":      {protected: m{258: -16, 259: 50}},
		"envelope marked critical":     {protected: m{258: -16, 2: []any{258}}},
		"envelope SHA-384":             {protected: m{258: -43}, payload: make([]byte, 48)},
		"envelope SHA-512":             {protected: m{258: -44}, payload: make([]byte, 64)},
		"envelope of unknown hash":     {protected: m{258: -18}, payload: make([]byte, 5)},
		"envelope hash is text":        {protected: m{258: "sha-256"}, piece: "payload-hash-alg (258) is not an integer"},
		"envelope with content type":   {protected: m{258: -16, 3: "text/plain"}, piece: "the type of the preimage goes into 259"},
		"envelope with null type":      {protected: m{258: -16, 3: raw{0xf6}}, piece: "content type (3) is neither text nor"},
		"envelope, type unprotected":   {protected: m{258: -16}, unprotected: m{3: "text/plain"}, piece: "the type of the preimage goes into 259"},
		"type unprotected, no hash":    {unprotected: m{3: "text/plain"}},
		"envelope type is bytes":       {protected: m{258: -16, 259: []byte("x")}, piece: "preimage content type (259) is neither"},
		"envelope location no text":    {protected: m{258: -16, 260: 1}, piece: "payload location (260) is not text"},
		"envelope, short digest":       {protected: m{258: -16}, payload: digest[:31], piece: "31 bytes and SHA-256 has 32"},
		"envelope, SHA-384 too short":  {protected: m{258: -43}, piece: "32 bytes and SHA-384 has 48"},
		"258 unprotected":              {unprotected: m{258: -16}, piece: "hash envelope parameter 258 is in the unprotected"},
		"259 unprotected":              {protected: m{258: -16}, unprotected: m{259: "x"}, piece: "hash envelope parameter 259 is in the unprotected"},
		"260 unprotected":              {protected: m{258: -16}, unprotected: m{260: "x"}, piece: "hash envelope parameter 260 is in the unprotected"},
		"x5chain of one":               {protected: m{33: []byte("a")}},
		"x5chain of two":               {protected: m{33: []any{[]byte("a"), []byte("b")}}},
		"x5chain array of one":         {protected: m{33: []any{[]byte("a")}}, piece: "x5chain (33) is neither one certificate nor an array of two"},
		"x5chain empty array":          {protected: m{33: []any{}}, piece: "x5chain (33) is neither one"},
		"x5chain text":                 {protected: m{33: "a"}, piece: "x5chain (33) is neither one"},
		"x5chain array with text":      {protected: m{33: []any{[]byte("a"), "b"}}, piece: "x5chain (33) holds something that is not a byte string"},
		"x5t":                          {protected: m{34: []any{-16, digest}}},
		"x5t bytes":                    {protected: m{34: digest}, piece: "x5t (34) is not [hash algorithm, digest]"},
		"x5t of one":                   {protected: m{34: []any{-16}}, piece: "x5t (34) is not"},
		"x5t of three":                 {protected: m{34: []any{-16, digest, 0}}, piece: "x5t (34) is not"},
		"x5t with text algorithm":      {protected: m{34: []any{"SHA-256", digest}}},
		"x5t with bytes as algorithm":  {protected: m{34: []any{digest, digest}}, piece: "x5t (34) is not"},
		"x5t with text digest":         {protected: m{34: []any{-16, "digest"}}, piece: "x5t (34) is not"},
		"chain first":                  {protected: m{"chain": []any{"c", 0, nil}}},
		"chain next":                   {protected: m{"chain": []any{"c", 1, digest}}},
		"chain critical":               {protected: m{"chain": []any{"c", 0, nil}, 2: []any{"chain"}}},
		"chain is a map":               {protected: m{"chain": m{}}, piece: `"chain" is not [name: tstr`},
		"chain of two":                 {protected: m{"chain": []any{"c", 0}}, piece: `"chain" is not [name: tstr`},
		"chain of four":                {protected: m{"chain": []any{"c", 0, nil, nil}}, piece: `"chain" is not [name: tstr`},
		"chain without name":           {protected: m{"chain": []any{"", 0, nil}}, piece: `"chain" is not [name: tstr`},
		"chain name number":            {protected: m{"chain": []any{1, 0, nil}}, piece: `"chain" is not [name: tstr`},
		"chain seq negative":           {protected: m{"chain": []any{"c", -1, digest}}, piece: `"chain" is not [name: tstr`},
		"chain seq text":               {protected: m{"chain": []any{"c", "1", digest}}, piece: `"chain" is not [name: tstr`},
		"chain seq float":              {protected: m{"chain": []any{"c", 1.0, digest}}, piece: `"chain" is not [name: tstr`},
		"chain prev short":             {protected: m{"chain": []any{"c", 1, digest[1:]}}, piece: `"chain" is not [name: tstr`},
		"chain prev empty":             {protected: m{"chain": []any{"c", 1, []byte{}}}, piece: `"chain" is not [name: tstr`},
		"chain prev hex":               {protected: m{"chain": []any{"c", 1, "00"}}, piece: `"chain" is not [name: tstr`},
		"chain first with prev":        {protected: m{"chain": []any{"c", 0, digest}}, piece: "seq 0 and prev do not fit"},
		"chain next without prev":      {protected: m{"chain": []any{"c", 4, nil}}, piece: "seq 4 and prev do not fit"},
		"receipts":                     {unprotected: m{394: []any{[]byte("r"), []byte("s")}}},
		"receipts empty":               {unprotected: m{394: []any{}}, piece: "receipts (394) is not an array with at least one"},
		"receipts bytes":               {unprotected: m{394: []byte("r")}, piece: "receipts (394) is not an array"},
		"receipts null":                {unprotected: m{394: raw{0xf6}}, piece: "receipts (394) is not an array"},
		"receipts not wrapped":         {unprotected: m{394: []any{[]any{1}}}, piece: "receipts (394) holds something that is not a byte string"},
		"receipts protected":           {protected: m{394: []any{[]byte("r")}}},
		"receipts protected, empty":    {protected: m{394: []any{}}, piece: "receipts (394) is not an array with at least one"},
		"receipts protected, a map":    {protected: m{394: m{}}, piece: "receipts (394) is not an array"},
		"receipts in both":             {protected: m{394: []any{[]byte("r")}}, unprotected: m{394: []any{[]byte("r")}}, piece: "394 is in both"},
		"anything else in unprotected": {unprotected: m{"x": []any{m{"y": 1.5}}, 7: []byte("countersignature")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			s.protected, s.payload = with(goodHeader(), c.protected), digest
			if c.unprotected != nil {
				s.unprotected = c.unprotected
			}
			if c.payload != nil {
				s.payload = c.payload
			}
			_, err := scitt.ParseStatement(s.encode(t))
			if c.piece == "" {
				must(t, err)
				return
			}
			wantError(t, err, scitt.ErrMalformed, c.piece)
		})
	}
}

// TestHeaderRules is about what specifications want of header parameters. What is
// wrong with the COSE object is refused by everybody. The rest is refused
// where it is registered, and a verifier of another log's statement reads it.
func TestHeaderRules(t *testing.T) {
	claims := func(changes m) m { return m{15: with(m{1: "https://issuer.example", 2: "subject"}, changes)} }
	beside := func(iss string) m { return m{15: m{1: iss, 2: "subject"}, 33: []byte("certificate")} }
	huge := raw(unhex(t, "1bffffffffffffffff"))
	for name, c := range map[string]struct {
		protected, unprotected m
		cose, registration     string // why each refuses it; "" when it does not
	}{
		"crit unprotected":             {unprotected: m{2: []any{1}}, cose: "crit (2) is in the unprotected"},
		"typ unprotected":              {unprotected: m{16: "application/a"}, cose: "typ (16) is in the unprotected"},
		"IV":                           {protected: m{5: []byte{1}}},
		"Partial IV":                   {unprotected: m{6: []byte{1}}},
		"IV and Partial IV":            {protected: m{5: []byte{1}, 6: []byte{2}}, cose: "IV (5) and Partial IV (6)"},
		"IV and unprotected Partial":   {protected: m{5: []byte{1}}, unprotected: m{6: []byte{2}}, cose: "IV (5) and Partial IV (6)"},
		"unprotected IV and Partial":   {unprotected: m{5: []byte{1}, 6: []byte{2}}, cose: "IV (5) and Partial IV (6)"},
		"x5chain is null":              {protected: m{33: raw{0xf6}}, cose: "x5chain (33) is neither"},
		"typ is null":                  {protected: m{16: raw{0xf6}}, cose: "typ (16) is neither text nor"},
		"content type":                 {protected: m{3: "application/vnd.x+json"}},
		"content type with parameters": {protected: m{3: "text/plain; charset=utf-8"}},
		"content type, number":         {protected: m{3: 65535}},
		"content type, high number":    {protected: m{3: 65536}, registration: "CoAP Content-Formats end at 65535"},
		"content type, no slash":       {protected: m{3: "json"}, registration: `content type (3) is "json", which is not a media type`},
		"content type, no subtype":     {protected: m{3: "text/"}, registration: "not a media type"},
		"content type, two slashes":    {protected: m{3: "a/b/c"}, registration: "not a media type"},
		"content type, space before":   {protected: m{3: " text/plain"}, registration: "not a media type"},
		"content type, space after":    {protected: m{3: "text/plain "}, registration: "not a media type"},
		"content type, after parts":    {protected: m{3: "text/plain; a=b "}, registration: "not a media type"},
		"content type, space within":   {protected: m{3: "text/ plain"}, registration: "not a media type"},
		"content type, line feed":      {protected: m{3: "text/plain\nx"}, registration: "not a media type"},
		"content type, bad parameter":  {protected: m{3: "text/plain; charset"}, registration: "not a media type"},
		"content type, empty":          {protected: m{3: ""}, registration: "not a media type"},
		"typ, no slash":                {protected: m{16: "cwt"}, registration: "typ (16) is"},
		"preimage type, no slash":      {protected: m{258: -16, 259: "json"}, registration: "preimage content type (259) is"},
		"iss of 8192":                  {protected: claims(m{1: strings.Repeat("é", 8192)})},
		"iss of 8193":                  {protected: claims(m{1: strings.Repeat("é", 8193)}), registration: "8193 characters, and 8192 are allowed"},
		"iss is no URI, kid":           {protected: claims(m{1: "somebody"})},
		"iss is a URL beside x5chain":  {protected: beside("https://vendor.example/a?b=%20#c")},
		"iss is a URN beside x5chain":  {protected: beside("urn:vendor:1")},
		"iss a name beside x5chain":    {protected: beside("vendor.example"), registration: "is not a URI"},
		"iss a name beside x5t":        {protected: m{15: m{1: "vendor.example", 2: "s"}, 34: []any{-16, make([]byte, 32)}}, registration: "is not a URI"},
		"iss with a space":             {protected: beside("https://vendor.example/a b"), registration: "is not a URI"},
		"iss with a line feed":         {protected: beside("https://vendor.example/\n"), registration: "is not a URI"},
		"iss with half an escape":      {protected: beside("https://vendor.example/%2"), registration: "is not a URI"},
		"iss is a scheme alone":        {protected: beside("https:"), registration: "is not a URI"},
		"iss not in ASCII":             {protected: beside("https://vendör.example"), registration: "is not a URI"},
		"exp and nbf":                  {protected: claims(m{4: 2, 5: 1.5})},
		"exp long past":                {protected: claims(m{4: 1})},
		"exp never":                    {protected: claims(m{4: huge})},
		"exp is null":                  {protected: claims(m{4: raw{0xf6}}), cose: "CWT claim exp is not a NumericDate"},
		"nbf is text":                  {protected: claims(m{5: "now"}), cose: "CWT claim nbf is not a NumericDate"},
		"exp is infinite":              {protected: claims(m{4: math.Inf(1)}), cose: "CWT claim exp is not a NumericDate"},
		"iat with a tag":               {protected: claims(m{6: cbor.Tag{Number: 1, Content: 5}}), registration: "CWT claim iat has a tag"},
		"exp with a tag":               {protected: claims(m{4: cbor.Tag{Number: 1, Content: 5}}), registration: "CWT claim exp has a tag"},
		"a large number":               {protected: m{"x": huge}, unprotected: m{"y": huge}},
		"a number below int64":         {protected: m{"x": raw(unhex(t, "3bffffffffffffffff"))}},
		"alg is a large number":        {protected: m{1: huge}, cose: "alg (1) is not the number of an algorithm"},
		"label beyond int64":           {protected: m{uint64(math.MaxUint64): 1}, cose: "protected header"},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			s.protected, s.payload = with(goodHeader(), c.protected), make([]byte, 32)
			if c.unprotected != nil {
				s.unprotected = c.unprotected
			}
			data := s.encode(t)
			_, decode := scitt.DecodeStatement(data)
			_, parse := scitt.ParseStatement(data)
			for _, got := range []struct {
				err  error
				want string
			}{{decode, c.cose}, {parse, c.cose + c.registration}} {
				switch {
				case got.want == "":
					must(t, got.err)
				case scitt.ProblemOf(got.err) == nil || !strings.Contains(got.err.Error(), got.want):
					t.Errorf("%v, want %q", got.err, got.want)
				}
			}
		})
	}
}

func TestPayloadMatches(t *testing.T) {
	content := []byte("content")
	sha256sum, sha384sum, sha512sum := sha256.Sum256(content), sha512.Sum384(content), sha512.Sum512(content)
	for name, c := range map[string]struct {
		header  m
		payload []byte
		want    bool
	}{
		"inline":          {nil, content, true},
		"inline, another": {nil, []byte("other"), false},
		"SHA-256":         {m{258: -16}, sha256sum[:], true},
		"SHA-256 another": {m{258: -16}, make([]byte, 32), false},
		"SHA-384":         {m{258: -43}, sha384sum[:], true},
		"SHA-512":         {m{258: -44}, sha512sum[:], true},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			s.protected, s.payload = with(goodHeader(), c.header), c.payload
			got, err := scitt.ParseStatement(s.encode(t))
			must(t, err)
			ok, err := got.PayloadMatches(content)
			must(t, err)
			if ok != c.want {
				t.Errorf("matches: %v, want %v", ok, c.want)
			}
		})
	}
	s := good()
	s.protected = with(goodHeader(), m{258: -18})
	got, err := scitt.ParseStatement(s.encode(t))
	must(t, err)
	_, err = got.PayloadMatches(content)
	wantError(t, err, scitt.ErrAlgorithm, "payload-hash-alg -18")
}

func TestEnvelopeFields(t *testing.T) {
	key := newKey(t, "ES256")
	content := bytes.Repeat([]byte("large "), 100_000)
	s := newStatement(t, key, scitt.SignOptions{Hash: true, ContentType: "text/plain", Location: "https://example.com/x"}, content)
	if e := s.Envelope; e == nil || e.Algorithm != -16 || e.ContentType != "text/plain" || e.Location != "https://example.com/x" {
		t.Fatalf("envelope %+v", e)
	}
	if s.ContentType != "text/plain" || s.Header[int64(3)] != nil {
		t.Errorf("content type %q, header %v", s.ContentType, s.Header)
	}
	if sum := sha256.Sum256(content); !bytes.Equal(s.Payload, sum[:]) {
		t.Error("the payload is not the SHA-256 of the content")
	}
	ok, err := s.PayloadMatches(content)
	must(t, err)
	if !ok {
		t.Error("the content does not match")
	}
}
