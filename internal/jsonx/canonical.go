package jsonx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxInteger is the largest integer that every JSON reader takes for itself.
// RFC 7493 section 2.2: "an I-JSON sender cannot expect a receiver to treat an
// integer whose absolute value is greater than 9007199254740991 ... as an exact
// value".
const MaxInteger = 1<<53 - 1

// Canonical returns a JSON text in its JCS form (RFC 8785). JCS writes numbers
// as IEEE 754 doubles: a number that none stands for is an error, and so is an
// integer that would become another one. Errors are an *Error.
func Canonical(src []byte) ([]byte, error) {
	t, err := Parse(src)
	if err != nil {
		return nil, err
	}
	defer t.Free()
	return t.Canonical(0)
}

// Canonical returns n in its JCS form, with the errors of the function of the
// same name.
func (t *Tree) Canonical(n int32) ([]byte, error) {
	v := t.nodes[n]
	if size, ok := t.isCanonical(n); ok && size == v.end-v.pos {
		return bytes.Clone(t.src[v.pos:v.end]), nil // as what programs write mostly is
	}
	for m := n; int(m) < len(t.nodes) && t.nodes[m].pos < v.end; m++ {
		if t.nodes[m].kind == Number {
			if why := inexact(t.Text(m)); why != "" {
				return nil, &Error{t.Pos(m), why}
			}
		}
	}
	out := jsontext.Value(bytes.Clone(t.src[v.pos:v.end]))
	if err := out.Canonicalize(); err != nil {
		return nil, syntax(err, 0)
	}
	return out, nil
}

// isCanonical reports whether each token of n is in its JCS form and stands in its order, and how many bytes n has then
// without white space. It is false, too, of what takes longer to tell: numbers that are no short integer, and names with
// characters from U+E000 on, whose order in UTF-16 is another one than in UTF-8.
func (t *Tree) isCanonical(n int32) (size uint32, ok bool) {
	v := &t.nodes[n]
	switch v.kind {
	case Number:
		digits := strings.TrimPrefix(t.Text(n), "-")
		return v.end - v.pos, len(digits) <= 15 && strings.Trim(digits, "0123456789") == "" && t.Text(n) != "-0"
	case Array, Object:
		size = 1 + max(1, uint32(v.len)) // brackets and commas
	case String:
		return v.end - v.pos, !v.escapes || string(appendString(nil, t.Text(n))) == t.JSON(n)
	default:
		return v.end - v.pos, true
	}
	before := ""
	for m := t.First(n); m != 0; m = t.Next(m) {
		if v.kind == Object {
			c, name := &t.nodes[m], t.Name(m)
			raw := view(t.src[c.namePos:c.nameEnd])
			if m != t.First(n) && before >= name || c.escapes && string(appendString(nil, name)) != raw ||
				strings.IndexFunc(name, func(r rune) bool { return r >= 0xe000 }) >= 0 {
				return 0, false
			}
			size += uint32(len(raw)) + 1
			before = name
		}
		s, ok := t.isCanonical(m)
		if !ok {
			return 0, false
		}
		size += s
	}
	return size, true
}

// inexact says why JCS has no form for a number, "" if it has.
func inexact(number string) string {
	if len(number) < len("1e309") {
		return ""
	}
	digits := strings.TrimPrefix(number, "-")
	if strings.Trim(digits, "0123456789") == "" {
		if v, err := strconv.ParseUint(digits, 10, 64); err != nil || v > MaxInteger {
			return "the integer " + Cut(digits, 40) + " is beyond 2^53-1, which JSON readers round: write it as a string"
		}
	} else if v, _ := strconv.ParseFloat(number, 64); math.IsInf(v, 0) {
		return "the number " + Cut(number, 40) + " is beyond an IEEE 754 double: write it as a string"
	}
	return ""
}

// Members returns the members of one JSON object. They alias src. Errors are
// an *Error.
func Members(src []byte) (map[string]json.RawMessage, error) {
	t, err := Parse(src)
	switch {
	case err != nil:
		return nil, err
	case t.Kind(0) != Object:
		return nil, &Error{t.Pos(0), fmt.Sprintf("expected an object, found %s", t.Kind(0))}
	}
	members := make(map[string]json.RawMessage, t.Len(0))
	for m := t.First(0); m != 0; m = t.Next(m) {
		members[strings.Clone(t.Name(m))] = t.src[t.nodes[m].pos:t.nodes[m].end:t.nodes[m].end]
	}
	return members, nil
}
