package search

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// key is a term in a segment: hi is its hash, or for a number the hash of its
// path, with the number in lo.
type key struct{ hi, lo uint64 }

func (a key) less(b key) bool { return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo) }

// posting says that an entry has a term. The entry is relative to the first
// one of its segment.
type posting struct {
	key
	entry uint32
}

// hashKey is the secret of a database, from which all its hashes are made.
type hashKey [2]uint64

func newHashKey(secret []byte) hashKey {
	return hashKey{binary.LittleEndian.Uint64(secret), binary.LittleEndian.Uint64(secret[8:])}
}

// postings is the emitter of the indexer.
type postings struct {
	secret hashKey
	entry  uint32
	list   []posting
	buf    []byte
}

func (p *postings) term(k kind, path, value string) {
	p.buf = appendTerm(p.buf[:0], k, path, value)
	p.list = append(p.list, posting{key{p.secret.sum(p.buf), 0}, p.entry})
}

func (p *postings) number(k kind, path string, v float64) {
	p.buf = appendTerm(p.buf[:0], k, path, "")
	p.list = append(p.list, posting{key{p.secret.sum(p.buf), ordered(v)}, p.entry})
}

// appendTerm writes a term so that no two have the same bytes.
func appendTerm(b []byte, k kind, path, value string) []byte {
	b = append(b, byte(k))
	b = binary.AppendUvarint(b, uint64(len(path)))
	b = append(b, path...)
	return append(b, value...)
}

func (s hashKey) of(t term) key {
	return key{s.sum(appendTerm(nil, t.kind, t.path, t.value)), 0}
}

// between are the keys at both ends of a span.
func (s hashKey) between(sp span) (low, high key) {
	path := s.sum(appendTerm(nil, sp.kind, sp.path, ""))
	return key{path, ordered(sp.low)}, key{path, ordered(sp.high)}
}

// ordered maps numbers to integers in the same order; both zeros are one.
func ordered(v float64) uint64 {
	if v == 0 {
		v = 0 // and not -0
	}
	b := math.Float64bits(v)
	if b>>63 == 1 {
		return ^b
	}
	return b | 1<<63
}

// sum is SipHash-1-3: fast on short input, and who does not know the key
// cannot make two terms collide.
func (s hashKey) sum(data []byte) uint64 {
	v0, v1 := s[0]^0x736f6d6570736575, s[1]^0x646f72616e646f6d
	v2, v3 := s[0]^0x6c7967656e657261, s[1]^0x7465646279746573
	last := uint64(len(data)) << 56
	for len(data) >= 8 {
		m := binary.LittleEndian.Uint64(data)
		data = data[8:]
		v3 ^= m
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0 ^= m
	}
	for i, c := range data {
		last |= uint64(c) << (8 * i)
	}
	v3 ^= last
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0 ^= last
	v2 ^= 0xff
	for range 3 {
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

func sipRound(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0 += v1
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v3
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 += v3
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 += v1
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v2 = bits.RotateLeft64(v2, 32)
	return v0, v1, v2, v3
}
