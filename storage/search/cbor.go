package search

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// readCBOR gives the values of one CBOR item to l.
func readCBOR(data []byte, l *leaves) error {
	v, err := jsonx.CBOR(data)
	if err != nil {
		return fmt.Errorf("%w: %w", errPayload, err)
	}
	l.cbor(v)
	return nil
}

func (l *leaves) cbor(v any) {
	switch v := v.(type) {
	case nil:
		l.literal("null")
	case bool:
		l.literal(strconv.FormatBool(v))
	case int64:
		l.number(strconv.FormatInt(v, 10))
	case uint64:
		l.number(strconv.FormatUint(v, 10))
	case big.Int:
		l.number(v.String())
	case float64:
		if !math.IsNaN(v) {
			l.value(kindNumber, v)
		}
	case string:
		l.text(v)
	case []byte:
		// RFC 8949 section 6.1: a byte string "is encoded in base64url without
		// padding and becomes a JSON string".
		l.term(kindText, base64.RawURLEncoding.EncodeToString(v))
	case time.Time:
		l.text(v.UTC().Format(time.RFC3339Nano))
	case cbor.Tag:
		l.cbor(v.Content)
	case []any:
		l.array++
		for i := range v {
			l.cbor(v[i])
		}
		l.array--
	case map[any]any:
		l.depth++
		// In a fixed order: what is indexed must not depend on Go's maps.
		keys := make(map[string]any, len(v))
		for key := range v {
			keys[fmt.Sprintf("%T%v", key, key)] = key
		}
		for _, text := range slices.Sorted(maps.Keys(keys)) {
			back := l.push(keyName(keys[text]))
			l.cbor(v[keys[text]])
			l.pop(back)
		}
		l.depth--
	}
}

// keyName is the name of a member of a map.
func keyName(key any) string {
	switch key := key.(type) {
	case string:
		return key
	case cbor.ByteString:
		return base64.RawURLEncoding.EncodeToString([]byte(key))
	}
	return fmt.Sprint(key)
}
