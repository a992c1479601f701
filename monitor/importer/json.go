package importer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/policy/ocsf"
)

// object is a decoded JSON object, list a decoded array. Numbers are json.Number, as the source wrote them: many an
// identifier is larger than a float64 can tell apart.
type (
	object = map[string]any
	list   = []any
)

// decode reads one JSON text strictly. The error wraps ocsf.ErrMalformed.
func decode(raw []byte) (any, error) {
	t, err := ocsf.Parse(raw)
	if err != nil {
		return nil, err
	}
	defer t.Free()
	return t.Any(0), nil
}

// encode writes what decode returns, and Go's integers.
func encode(v any) []byte { return jsonx.Append(make([]byte, 0, 2048), v) }

// digest is what an event's identifier depends on of its source item.
func digest(item any) [sha256.Size]byte { return sha256.Sum256(encode(item)) }

// spellIntegers makes text of the integers in an event's resources beyond 2^53-1, which JCS refuses and most readers
// would round, and notes them with their paths in unmapped.integers.
func spellIntegers(event object) {
	if !hasLarge(event["resources"]) { // nearly always
		return
	}
	spelled := object{}
	var spell func(v any, path *jsonx.Path) any
	spell = func(v any, path *jsonx.Path) any {
		switch v := v.(type) {
		case object:
			for k := range v {
				v[k] = spell(v[k], path.Member(k))
			}
		case list:
			for i := range v {
				v[i] = spell(v[i], path.Element(i))
			}
		case json.Number:
			if isLarge(v) {
				spelled[path.String()] = v.String()
				return v.String()
			}
		}
		return v
	}
	spell(event["resources"], jsonx.At("$.resources"))
	unmapped, _ := event["unmapped"].(object)
	if unmapped = maps.Clone(unmapped); unmapped == nil {
		unmapped = object{}
	}
	unmapped["integers"] = spelled
	event["unmapped"] = unmapped
}

func isLarge(v json.Number) bool {
	digits := strings.TrimPrefix(v.String(), "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	return strings.Trim(digits, "0123456789") == "" && (err != nil || n > jsonx.MaxInteger)
}

// hasLarge reports whether an integer in a value is large.
func hasLarge(v any) bool {
	switch v := v.(type) {
	case object:
		for _, inner := range v {
			if hasLarge(inner) {
				return true
			}
		}
	case list:
		return slices.ContainsFunc(v, hasLarge)
	case json.Number:
		return isLarge(v)
	}
	return false
}

// identify gives an identifier in the form of ServiceNow's sys_id, 32 hexadecimal digits, to the event named label of a
// source item: the first half of a SHA-256 over both.
func identify(label string, item [sha256.Size]byte) string {
	h := sha256.Sum256(append([]byte(label+"\n"), item[:]...))
	return hex.EncodeToString(h[:16])
}
