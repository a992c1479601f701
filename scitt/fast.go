package scitt

import (
	"bytes"
	"encoding/binary"
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
	if len(data) == 0 || data[0]>>5 != majorBytes {
		return nil, nil, false
	}
	n, size := int(data[0]&0x1f), 1
	switch {
	case n < 24:
	case n == 24 && len(data) > 1 && data[1] >= 24:
		n, size = int(data[1]), 2
	case n == 25 && len(data) > 2 && data[1] > 0:
		n, size = int(binary.BigEndian.Uint16(data[1:])), 3
	default:
		return nil, nil, false
	}
	if len(data) < size+n {
		return nil, nil, false
	}
	return data[size : size+n : size+n], data[size+n:], true
}
