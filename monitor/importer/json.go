package importer

import (
	"crypto/sha256"
	"encoding/hex"

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
	return t.Any(0), nil
}

// encode writes what decode returns, and Go's integers.
func encode(v any) []byte { return jsonx.Append(make([]byte, 0, 2048), v) }

// digest is what an event's identifier depends on of its source item.
func digest(item any) [sha256.Size]byte { return sha256.Sum256(encode(item)) }

// identify gives an identifier in the form of ServiceNow's sys_id, 32 hexadecimal digits, to the event named label of a
// source item: the first half of a SHA-256 over both.
func identify(label string, item [sha256.Size]byte) string {
	h := sha256.Sum256(append([]byte(label+"\n"), item[:]...))
	return hex.EncodeToString(h[:16])
}
