package importer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/conmotion/conmotion/policy/ocsf"
)

// object is a decoded JSON object, list a decoded array. Numbers are json.Number, as the source wrote them: many an
// identifier is larger than a float64 can tell apart.
type (
	object = map[string]any
	list   = []any
)

// decode reads one JSON text strictly: encoding/json would drop all but the last of the members that share a name, and
// replace what is not UTF-8. The error wraps ocsf.ErrMalformed.
func decode(raw []byte) (v any, err error) {
	if _, err := ocsf.Summarize(raw); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return v, d.Decode(&v)
}

// encode writes what decode returns, and Go's integers, without white space and with members sorted by the bytes of
// their names. It takes a third of the time of encoding/json, which would be half the time of a conversion.
func encode(v any) []byte { return appendJSON(make([]byte, 0, 2048), v) }

func appendJSON(b []byte, v any) []byte {
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
	case list:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case object:
		b = append(b, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, name), ':')
			b = appendJSON(b, v[name])
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("importer: a %T is no JSON", v)) // a mistake in this package: no input can lead here
}

// appendString escapes what RFC 8259 section 7 says must be, the way RFC 8785 section 3.2.2.2 does it.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		if j := bytes.IndexByte([]byte("\"\\\b\f\n\r\t"), c); j >= 0 {
			b = append(b, '\\', `"\bfnrt`[j])
		} else {
			b = fmt.Appendf(b, `\u%04x`, c)
		}
	}
	return append(append(b, s[from:]...), '"')
}

// digest is what an event's identifier depends on of its source item.
func digest(item any) [sha256.Size]byte { return sha256.Sum256(encode(item)) }

// identify gives an identifier in the form of ServiceNow's sys_id, 32 hexadecimal digits, to the event named label of a
// source item: the first half of a SHA-256 over both.
func identify(label string, item [sha256.Size]byte) string {
	h := sha256.Sum256(append([]byte(label+"\n"), item[:]...))
	return hex.EncodeToString(h[:16])
}
