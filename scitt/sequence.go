package scitt

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// The limits of a sequence of Signed Statements that is registered in one
// request (docs/formats.md).
const (
	MaxSequence      = 1000    // statements
	MaxSequenceBytes = 4 << 20 // of the whole body
)

// SplitSequence takes a CBOR sequence (RFC 8742) apart: items joined again are
// the data. It returns what comes before the first byte that is not part of a
// well-formed data item, and then an error, which wraps ErrMalformed. More than
// MaxSequence statements and a problem are one too. Items are slices of data, and
// may be any CBOR without indefinite lengths.
func SplitSequence(data []byte) (items [][]byte, err error) {
	for rest := data; len(rest) > 0; {
		if len(items) > MaxSequence {
			return items, fmt.Errorf("%w: the CBOR sequence has more than %d items", ErrMalformed, len(items))
		}
		var item cbor.RawMessage
		next, err := decMode.UnmarshalFirst(rest, &item)
		if err != nil {
			return items, fmt.Errorf("%w: item %d of the CBOR sequence, at byte %d: %w", ErrMalformed, len(items), len(data)-len(rest), err)
		}
		items = append(items, rest[:len(rest)-len(next):len(rest)-len(next)])
		rest = next
	}
	return items, nil
}
