package jsonx

import "github.com/fxamacker/cbor/v2"

// decMode decodes outside bytes strictly: Go's CBOR decoder otherwise accepts
// duplicate map keys.
var decMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:       cbor.DupMapKeyEnforcedAPF,
		IntDec:          cbor.IntDecConvertNone,
		MaxNestedLevels: MaxDepth,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return m
}()

// CBOR decodes one CBOR item with a single meaning (RFC 8949), as deep as a
// JSON text may be. A payload is one or the other.
func CBOR(data []byte) (v any, err error) {
	err = decMode.Unmarshal(data, &v)
	return v, err
}
