package scitt

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// splitEntry takes an Entry apart that is in its one encoding: see [Statement.Entry].
// Readers of whole logs meet hardly anything else. Of other bytes it says "not
// ok", and the CBOR decoder decides.
func splitEntry(data []byte) (protected, payload, signature []byte, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte{tagSign1, arrayOf4})
	if !ok {
		return nil, nil, nil, false
	}
	if protected, rest, ok = cutBytes(rest); !ok {
		return nil, nil, nil, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte{0xa0}); !ok {
		return nil, nil, nil, false
	}
	if payload, rest, ok = cutBytes(rest); !ok {
		return nil, nil, nil, false
	}
	signature, rest, ok = cutBytes(rest)
	return protected, payload, signature, ok && len(rest) == 0
}

// cutBytes takes a byte string with the shortest length from the front, of up
// to 65,535 bytes.
func cutBytes(data []byte) (s, rest []byte, ok bool) {
	major, n, rest, ok := cutHead(data)
	var shortest [9]byte
	if !ok || major != majorBytes || n > math.MaxUint16 || n > uint64(len(rest)) || !bytes.HasPrefix(data, appendHead(shortest[:0], majorBytes, n)) {
		return nil, nil, false
	}
	return rest[:n:n], rest[n:], true
}

// cutHead takes the head of a data item from the front, unless its length is indefinite. RFC 8949 section 3: "The initial
// byte of each encoded data item contains both information about the major type (the high-order 3 bits) and additional
// information (the low-order 5 bits)"; of that 24 to 27 say that the argument is in the next 1, 2, 4 or 8 bytes.
func cutHead(data []byte) (major byte, argument uint64, rest []byte, ok bool) {
	if len(data) == 0 {
		return 0, 0, nil, false
	}
	major, argument, rest = data[0]>>5, uint64(data[0]&0x1f), data[1:]
	if argument < 24 {
		return major, argument, rest, true
	}
	size := 1 << (argument - 24)
	if argument > 27 || len(rest) < size {
		return 0, 0, nil, false
	}
	argument = 0
	for _, b := range rest[:size] {
		argument = argument<<8 | uint64(b)
	}
	return major, argument, rest[size:], true
}

// items reads data items of what nearly every header is made of: integers of up to 63 bits, strings, arrays, maps in which no
// label is twice, false, true and null. Of others it says "not ok", and the CBOR decoder, which is several times
// slower, decides.
type items struct {
	rest []byte
	more int // how many there may still be
}

// item reads one with up to depth levels inside of it.
func (r *items) item(depth int) (value any, ok bool) {
	first := r.rest
	major, n, rest, ok := cutHead(first)
	if r.rest = rest; !ok || r.more == 0 || depth < 0 {
		return nil, false
	}
	r.more--
	switch major {
	case majorUint:
		return int64(n), n <= math.MaxInt64
	case majorNegative:
		return -1 - int64(n), n <= math.MaxInt64
	case majorBytes, majorText:
		if n > uint64(len(rest)) {
			return nil, false
		}
		if r.rest = rest[n:]; major == majorBytes {
			return bytes.Clone(rest[:n]), true
		}
		return string(rest[:n]), utf8.Valid(rest[:n])
	case majorArray:
		if n > uint64(r.more) {
			return nil, false
		}
		array := make([]any, n)
		for i := range array {
			if array[i], ok = r.item(depth - 1); !ok {
				return nil, false
			}
		}
		return array, true
	case majorMap:
		if n > uint64(r.more)/2 {
			return nil, false
		}
		m := make(map[any]any, n)
		for len(m) < int(n) {
			before := len(m)
			label, ok := r.item(0)
			value, okValue := r.item(depth - 1)
			switch label.(type) {
			case int64, string:
				m[label] = value
			}
			if !ok || !okValue || len(m) == before {
				return nil, false
			}
		}
		return m, true
	}
	switch first[0] {
	case 0xf4, 0xf5:
		return first[0] == 0xf5, true
	case 0xf6:
		return nil, true
	}
	return nil, false
}
