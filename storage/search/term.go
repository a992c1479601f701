package search

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"math"
)

// A token is what FTS5 finds. A word is its own token. Every other term is "="
// and 64 bits of its SHA-256 with the secret of the database in front, so that
// nobody who does not know the secret can make two terms meet, and so that any
// text can be a term. FTS5 cuts text into tokens at everything that is neither
// a letter or digit of ASCII, nor beyond ASCII, nor "=".
const hashed = '='

var tokenEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// terms is the emitter of the indexer: it collects what there is to find in
// one entry.
type terms struct {
	secret  []byte
	seen    map[string]struct{} // tokens of text
	text    []byte              // tokens with spaces between them
	numbers []number
	buf     []byte
}

func (t *terms) term(k kind, path, value string) {
	if k == kindWord {
		t.add(value)
		return
	}
	var token [14]byte
	t.add(view(appendToken(token[:0], t.hash(k, path, value))))
}

func (t *terms) number(k kind, path string, v float64) {
	t.numbers = append(t.numbers, number{t.path(k, path), v})
	if k == kindNumber {
		var token [14]byte
		t.add(view(appendToken(token[:0], t.hash(k, path, exact(v)))))
	}
}

func (t *terms) add(token string) {
	if _, ok := t.seen[token]; ok {
		return
	}
	at := len(t.text)
	t.text = append(append(t.text, token...), ' ')
	t.seen[view(t.text[at:len(t.text)-1])] = struct{}{}
}

// exact is a number as a term: two are equal when their values are.
func exact(v float64) string {
	if v == 0 {
		v = 0 // and not -0
	}
	return string(binary.BigEndian.AppendUint64(nil, math.Float64bits(v)))
}

func (t *terms) hash(k kind, path, value string) [8]byte {
	t.buf = appendTerm(append(t.buf[:0], t.secret...), k, path, value)
	sum := sha256.Sum256(t.buf)
	return [8]byte(sum[:])
}

// path is where the numbers of a path are kept.
func (t *terms) path(k kind, path string) int64 {
	h := t.hash(k, path, "")
	return int64(binary.BigEndian.Uint64(h[:]))
}

func appendToken(b []byte, hash [8]byte) []byte {
	return tokenEncoding.AppendEncode(append(b, hashed), hash[:])
}

// appendTerm writes a term so that no two have the same bytes.
func appendTerm(b []byte, k kind, path, value string) []byte {
	b = append(b, byte(k))
	b = binary.AppendUvarint(b, uint64(len(path)))
	b = append(b, path...)
	return append(b, value...)
}

// token is what FTS5 has for a term.
func (t *terms) token(q term) string {
	if q.kind == kindWord {
		return q.value
	}
	return string(appendToken(nil, t.hash(q.kind, q.path, q.value)))
}
