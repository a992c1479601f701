package scitt

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// Header parameter labels, beyond those that go-cose names.
const (
	labelX5Chain         = cose.HeaderLabelX5Chain               // RFC 9360
	labelX5T             = cose.HeaderLabelX5T                   // RFC 9360
	labelPayloadHashAlg  = int64(258)                            // RFC 9995
	labelPreimageType    = int64(259)                            // RFC 9995
	labelPayloadLocation = int64(260)                            // RFC 9995
	labelReceipts        = int64(394)                            // RFC 9942
	labelVDS             = int64(395)                            // RFC 9942
	labelVDP             = int64(396)                            // RFC 9942
	labelChain           = "chain"                               // our own, docs/formats.md
	labelCheckpoint      = "c2sp.org/tlog-checkpoint"            // our own, docs/formats.md
	vdsRFC9162SHA256     = int64(1)                              // RFC 9942 section 5.2
	vdsCCFLedgerSHA256   = int64(2)                              // draft-ietf-scitt-receipts-ccf-profile
	proofInclusion       = int64(-1)                             // RFC 9942 section 5.2
	hashSHA256           = int64(-16)                            // RFC 9054
	tagSign1             = byte(0xc0 | cose.CBORTagSign1Message) // 0xd2
	arrayOf4             = byte(0x84)
)

// The modes below are pure configuration. Outside bytes are always decoded
// strictly: Go's CBOR decoder otherwise accepts duplicate map keys.
var (
	encMode = must(cbor.EncOptions{
		Sort:        cbor.SortCoreDeterministic,
		IndefLength: cbor.IndefLengthForbidden,
	}.EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:       cbor.DupMapKeyEnforcedAPF,
		IndefLength:     cbor.IndefLengthForbidden,
		IntDec:          cbor.IntDecConvertSignedOrBigInt,
		MaxNestedLevels: maxHeaderDepth,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// encode is for values whose encoding cannot fail: maps, arrays, integers and
// strings that this package made itself.
func encode(v any) []byte { return must(encMode.Marshal(v)) }

// sign1 is a COSE_Sign1 as an array of four. Protected and Payload stay raw
// so that "absent" (nil) and "not a byte string" can be told from "empty".
type sign1 struct {
	_           struct{} `cbor:",toarray"`
	Protected   cbor.RawMessage
	Unprotected cbor.RawMessage
	Payload     cbor.RawMessage
	Signature   cbor.RawMessage
}

var cborNil = []byte{0xf6}

// The major types of CBOR (RFC 8949 section 3.1).
const majorUint, majorNegative, majorBytes, majorText, majorArray, majorMap = byte(0), byte(1), byte(2), byte(3), byte(4), byte(5)

// isMajor reports whether raw starts with a data item of a major type. The
// decoder looks through tags and takes nil for zero; outside bytes whose type
// is fixed are asked for it first.
func isMajor(raw []byte, major byte) bool { return len(raw) > 0 && raw[0]>>5 == major }

// parseSign1 takes a tagged COSE_Sign1 apart. It checks the outer form only.
func parseSign1(data []byte) (*sign1, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: the body is empty", ErrMalformed)
	}
	if data[0] == arrayOf4 {
		return nil, fmt.Errorf("%w: the COSE_Sign1 is untagged; prefix it with CBOR tag 18 (0xd2)", ErrMalformed)
	}
	if data[0] != tagSign1 {
		return nil, fmt.Errorf("%w: not a COSE_Sign1: want CBOR tag 18 (0xd2), got 0x%02x", ErrMalformed, data[0])
	}
	if !isMajor(data[1:], majorArray) {
		return nil, fmt.Errorf("%w: not a COSE_Sign1: tag 18 is not around an array of four", ErrMalformed)
	}
	var m sign1
	rest, err := decMode.UnmarshalFirst(data[1:], &m)
	if err != nil {
		return nil, fmt.Errorf("%w: not a COSE_Sign1: %w", ErrMalformed, err)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes trail the COSE_Sign1", ErrMalformed, len(rest))
	}
	return &m, nil
}

// parseBytes reads a CBOR byte string.
func parseBytes(what string, raw cbor.RawMessage) ([]byte, error) {
	if !isMajor(raw, majorBytes) {
		return nil, fmt.Errorf("%w: the %s is not a byte string", ErrMalformed, what)
	}
	b, rest, ok := cutBytes(raw)
	if ok && len(rest) == 0 {
		return b, nil // without the decoder, since an inclusion path has many
	}
	if err := decMode.Unmarshal(raw, &b); err != nil {
		return nil, fmt.Errorf("%w: the %s is not a byte string: %w", ErrMalformed, what, err)
	}
	return b, nil
}

// marshalSign1 encodes a tagged COSE_Sign1. A nil payload is CBOR nil.
func marshalSign1(protected []byte, unprotected map[any]any, payload, signature []byte) []byte {
	size := len(protected) + len(payload) + len(signature) + 32
	b := make([]byte, 0, size)
	b = append(b, tagSign1, arrayOf4)
	b = appendBytes(b, protected)
	if len(unprotected) == 0 {
		b = append(b, 0xa0)
	} else {
		b = append(b, encode(unprotected)...)
	}
	if payload == nil {
		b = append(b, cborNil...)
	} else {
		b = appendBytes(b, payload)
	}
	return appendBytes(b, signature)
}

// appendBytes appends s as a byte string with the shortest length.
func appendBytes(b, s []byte) []byte {
	return append(appendHead(b, 2, uint64(len(s))), s...)
}

// appendHead appends the head of a CBOR data item (RFC 8949 section 3) with
// the shortest argument.
func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return append(b, major|25, byte(n>>8), byte(n))
	case n < 1<<32:
		return append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32),
		byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// sigStructure is the ToBeSigned of a COSE_Sign1.
//
// RFC 9052 section 4.4: "Sig_structure = [ context, body_protected,
// external_aad, payload ]". A protected header that is an empty map is signed
// as an empty byte string; none of ours ever is.
func sigStructure(protected, payload []byte) []byte {
	return appendSigStructure(make([]byte, 0, len(protected)+len(payload)+len(sigContext)+24), protected, payload)
}

const sigContext = "Signature1"

func appendSigStructure(b, protected, payload []byte) []byte {
	b = append(b, arrayOf4, 0x60|byte(len(sigContext)))
	b = append(b, sigContext...)
	b = appendBytes(b, protected)
	b = append(b, 0x40) // no external_aad
	return appendBytes(b, payload)
}

// parseHeader reads one header bucket. Labels are integers or text (RFC 9052
// section 1.5) and come back as int64 and string; no label beyond 63 bits is
// registered, and one is refused. A value may be any integer of CBOR (RFC 8949
// section 3.1), which is a big.Int beyond 63 bits.
func parseHeader(what string, raw []byte) (map[any]any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if !isMajor(raw, majorMap) {
		return nil, fmt.Errorf("%w: the %s header is not a map", ErrMalformed, what)
	}
	r := items{raw, maxHeaderItems}
	if h, ok := r.item(maxHeaderDepth); ok && len(r.rest) == 0 {
		return h.(map[any]any), nil
	}
	if countItems(raw) > maxHeaderItems {
		return nil, malformed("the %s header has more than %d data items", what, maxHeaderItems)
	}
	var h map[any]any
	if err := decMode.Unmarshal(raw, &h); err != nil {
		return nil, fmt.Errorf("%w: the %s header: %w", ErrMalformed, what, err)
	}
	return h, checkLabels("the "+what+" header", h)
}

// maxHeaderItems and maxHeaderDepth bound what decoding a header can cost: nobody is
// known by then who would answer for it.
const maxHeaderItems, maxHeaderDepth = 2048, 16

// countItems counts the data items in well-formed CBOR of definite lengths, nested
// ones too, up to one more than a header may have. Of other bytes the decoder
// says what is wrong with them.
func countItems(data []byte) (n int) {
	for ; n <= maxHeaderItems; n++ {
		major, argument, rest, ok := cutHead(data)
		if !ok {
			return n
		}
		if data = rest; major == majorBytes || major == majorText {
			if argument > uint64(len(data)) {
				return n
			}
			data = data[argument:]
		}
	}
	return n
}

func checkLabels(what string, m map[any]any) error {
	for label := range m {
		switch label.(type) {
		case int64, string:
		default:
			return malformed("%s has a label that is neither an integer nor text", what)
		}
	}
	return nil
}

func isNil(raw cbor.RawMessage) bool { return bytes.Equal(raw, cborNil) }
