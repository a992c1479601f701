package jsonx

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Append writes what [Tree.Any] returns, and Go's integers: without white
// space, members sorted by the bytes of their names, numbers as they are,
// strings as in RFC 8785 section 3.2.2.2. It takes a third of the time of
// encoding/json, which would be half the time of importing an event.
func Append(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case json.Number:
		return append(b, v...)
	case string:
		return appendString(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = Append(b, e)
		}
		return append(b, ']')
	case map[string]any:
		var few [24]string // on the stack
		names := slices.AppendSeq(few[:0], maps.Keys(v))
		slices.Sort(names)
		b = append(b, '{')
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, name), ':')
			b = Append(b, v[name])
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("jsonx: a %T is not JSON", v)) // a mistake of the caller: no input can lead here
}

func appendString(b []byte, s string) []byte {
	b, err := jsontext.AppendQuote(b, s)
	if err != nil {
		panic(err) // a mistake of the caller: no reader takes what is not UTF-8
	}
	return b
}
