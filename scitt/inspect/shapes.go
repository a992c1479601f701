package inspect

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"

	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/did"
)

// shapes are the shapes of everything in CBOR that inspect knows.
type shapes struct {
	statement, receipt, key, keySet, keys, problem *shape
}

// labelVDS tells a receipt (RFC 9942).
const labelVDS = int64(395)

// newShapes makes them. The payload's shape depends on the statement.
func newShapes(payload *shape) *shapes {
	receiptHeader, statementHeader := headerShape(), headerShape()
	s := &shapes{
		receipt: sign1Shape(receiptHeader, &shape{name: "payload, detached: the root that the proof leads to"}),
		key:     keyShape(),
		problem: &shape{labels: map[int64]*shape{-1: {name: "title"}, -2: {name: "detail"}, -3: {name: "instance"}, -4: {name: "response-code"}}},
	}
	s.keySet = &shape{each: s.key}
	s.keys = &shape{words: map[string]*shape{
		"note": {name: "verifier keys"}, "receipt": {name: "COSE Key Set", each: s.key}, "service": {name: "COSE Key Set", each: s.key},
		"recovery": {name: "COSE Key Thumbprints"}, "previous": {name: "entry id"}, "recovery_key": {name: "COSE_Key", labels: s.key.labels},
		"compromised": {name: "keys", each: &shape{items: []*shape{{name: "COSE Key Thumbprint"}, {name: "from index"}}}},
	}}
	if payload == nil {
		payload = &shape{}
	}
	p := *payload
	p.name = "payload"
	statementHeader.labels[394] = &shape{name: "receipts", each: &shape{name: "Receipt", inner: s.receipt}}
	s.statement = sign1Shape(statementHeader, &p)
	receiptHeader.labels[labelVDS] = &shape{name: "vds", note: names(map[int64]string{1: "RFC9162_SHA256", 2: "CCF_LEDGER_SHA256"})}
	proof := &shape{
		items: []*shape{{name: "tree size"}, {name: "leaf index"}, {name: "inclusion path", each: &shape{}}},
		labels: map[int64]*shape{ // of a CCF ledger
			1: {name: "leaf", items: []*shape{{name: "transaction hash"}, {name: "evidence"}, {name: "data hash"}}},
			2: {name: "path", each: &shape{items: []*shape{{name: "left"}, {name: "hash"}}}},
		},
	}
	receiptHeader.labels[396] = &shape{name: "proofs", labels: map[int64]*shape{
		-1: {name: "inclusion", each: &shape{inner: proof}},
		-2: {name: "consistency"},
	}}
	return s
}

func sign1Shape(header, payload *shape) *shape {
	return &shape{items: []*shape{
		{name: "protected", inner: header},
		{name: "unprotected", labels: header.labels},
		payload,
		{name: "signature"},
	}}
}

// headerShape are the header parameters (RFC 9052, 9360, 9597, 9596, 9995).
func headerShape() *shape {
	return &shape{labels: map[int64]*shape{
		1: {name: "alg", note: algorithmNote},
		2: {name: "crit"},
		3: {name: "content type"},
		4: {name: "kid", note: base64Note},
		5: {name: "IV"},
		15: {name: "CWT Claims", labels: map[int64]*shape{
			1: {name: "iss", note: issuerNote}, 2: {name: "sub"}, 3: {name: "aud"},
			4: {name: "exp", note: timeNote}, 5: {name: "nbf", note: timeNote}, 6: {name: "iat", note: timeNote}, 7: {name: "cti"},
		}},
		16:  {name: "typ"},
		33:  {name: "x5chain", note: certificateNote, each: &shape{note: certificateNote}},
		34:  {name: "x5t", items: []*shape{{name: "hash", note: hashNote}, {name: "digest"}}},
		258: {name: "payload-hash-alg", note: hashNote},
		259: {name: "preimage content type"},
		260: {name: "payload-location"},
	}, words: map[string]*shape{
		"chain": {name: "link to the previous statement", items: []*shape{{name: "name"}, {name: "seq"}, {name: "prev: entry id"}}},
	}}
}

// keyShape are the parameters of a COSE_Key (RFC 9052, 9053, 8230).
func keyShape() *shape {
	return &shape{labels: map[int64]*shape{
		1:  {name: "kty", note: names(map[int64]string{1: "OKP", 2: "EC2", 3: "RSA"})},
		2:  {name: "kid", note: base64Note},
		3:  {name: "alg", note: algorithmNote},
		-1: {name: "crv, or n of RSA", note: names(map[int64]string{1: "P-256", 2: "P-384", 3: "P-521", 6: "Ed25519"})},
		-2: {name: "x, or e of RSA"},
		-3: {name: "y"},
	}}
}

func names(of map[int64]string) func(leaf) string {
	return func(v leaf) string {
		if !v.isInt {
			return ""
		}
		return of[v.n]
	}
}

func algorithmNote(v leaf) string {
	if !v.isInt {
		return ""
	}
	return scitt.AlgorithmName(cose.Algorithm(v.n))
}

func hashNote(v leaf) string {
	return names(map[int64]string{-16: "SHA-256", -43: "SHA-384", -44: "SHA-512"})(v)
}

func timeNote(v leaf) string {
	if !v.isInt {
		return ""
	}
	return printable.Time(v.n)
}

// base64Note is the form in which a kid stands in URLs.
func base64Note(v leaf) string {
	if len(v.bytes) == 0 {
		return ""
	}
	return "base64url " + base64.RawURLEncoding.EncodeToString(v.bytes)
}

func issuerNote(v leaf) string {
	key, err := did.Key(v.text)
	if err != nil {
		return ""
	}
	jwk, err := did.MarshalJWK(key.Public)
	if err != nil {
		return ""
	}
	return string(jwk)
}

func certificateNote(v leaf) string {
	if v.bytes == nil {
		return ""
	}
	cert, err := x509.ParseCertificate(v.bytes)
	if err != nil {
		return "not a certificate: " + err.Error()
	}
	return fmt.Sprintf("%s, issued by %s, from %s to %s", cert.Subject, cert.Issuer, printable.Time(cert.NotBefore.Unix()), printable.Time(cert.NotAfter.Unix()))
}
