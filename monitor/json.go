package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gowebpki/jcs"
)

// ErrMalformed is wrapped by errors about bytes that are not in one of this
// package's formats.
var ErrMalformed = errors.New("malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

// maxInteger is the largest integer that every JSON reader takes for itself;
// RFC 7493 section 2.2: "an I-JSON sender cannot expect a receiver to treat an
// integer whose absolute value is greater than 9007199254740991 ... as an exact
// value".
const maxInteger = 1<<53 - 1

// canonical is the JCS form (RFC 8785) of a JSON text that has been checked to
// have one meaning. JCS writes numbers as IEEE 754 doubles: an integer that
// would become another one is refused.
func canonical(data []byte) ([]byte, error) {
	if isCanonical(data) {
		return bytes.Clone(data), nil
	}
	if n := wideInteger(data); n != "" {
		return nil, malformed("the integer %.40s is beyond 2^53-1, which JSON readers round: write it as a string", n)
	}
	out, err := jcs.Transform(data)
	if err != nil {
		return nil, malformed("%w", err)
	}
	return out, nil
}

// wideInteger finds an integer beyond 2^53-1 in a JSON text, "" if there is none.
func wideInteger(data []byte) string {
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case c >= '0' && c <= '9':
			start := i
			for i < len(data) && strings.IndexByte("0123456789.eE+-", data[i]) >= 0 {
				i++
			}
			n := string(data[start:i])
			i--
			if v, err := strconv.ParseUint(n, 10, 64); strings.Trim(n, "0123456789") == "" && (err != nil || v > maxInteger) {
				return n
			}
		}
	}
	return ""
}

// marshal is the JCS form of a value.
func marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return canonical(data)
}

// unmarshal reads what marshal wrote and nothing else: the bytes must be the
// canonical form of what was understood. So there are no unknown, repeated or
// differently spelled members and no second spelling of the same document.
func unmarshal(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return malformed("%w", err)
	}
	again, err := marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, again) {
		paths, _ := differences(data, again)
		return malformed("not the canonical form (RFC 8785) of this document: look at %s", strings.Join(paths, ", "))
	}
	return nil
}

// maxPaths is how many differences are listed; more are counted.
const maxPaths = 32

// differences lists the JSON paths at which two JSON texts differ, in the
// order of the members' names, and how many there are beyond maxPaths.
func differences(a, b []byte) (paths []string, more int) {
	x, errX := decode(a)
	y, errY := decode(b)
	if errX != nil || errY != nil {
		return []string{"$"}, 0
	}
	d := differ{}
	d.compare("$", x, y)
	if len(d.paths) == 0 && !bytes.Equal(a, b) {
		return []string{"$"}, 0 // the same values in another spelling
	}
	return d.paths, d.more
}

func decode(data []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

type differ struct {
	paths []string
	more  int
}

func (d *differ) add(path string) {
	if len(d.paths) == maxPaths {
		d.more++
		return
	}
	d.paths = append(d.paths, path)
}

func (d *differ) compare(path string, x, y any) {
	switch a := x.(type) {
	case map[string]any:
		if b, ok := y.(map[string]any); ok {
			d.members(path, a, b)
			return
		}
	case []any:
		if b, ok := y.([]any); ok {
			for i := range max(len(a), len(b)) {
				at := fmt.Sprintf("%s[%d]", path, i)
				if i >= len(a) || i >= len(b) {
					d.add(at)
				} else {
					d.compare(at, a[i], b[i])
				}
			}
			return
		}
	default:
		switch y.(type) {
		case map[string]any, []any:
		default:
			if x == y { // strings, json.Numbers, booleans and nil
				return
			}
		}
	}
	d.add(path)
}

func (d *differ) members(path string, a, b map[string]any) {
	names := make([]string, 0, len(a)+len(b))
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		x, inA := a[name]
		y, inB := b[name]
		if at := path + member(name); inA != inB {
			d.add(at)
		} else {
			d.compare(at, x, y)
		}
	}
}

// member is the path segment of a member (RFC 9535): .name, or ["name"] where
// the name is not a plain one.
func member(name string) string {
	plain := name != "" && (name[0] < '0' || name[0] > '9')
	for i := 0; plain && i < len(name); i++ {
		c := name[i]
		plain = c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	if plain {
		return "." + name
	}
	quoted, err := json.Marshal(name)
	if err != nil { // a string always has a JSON form
		return "[" + strconv.Quote(name) + "]"
	}
	return "[" + string(quoted) + "]"
}
