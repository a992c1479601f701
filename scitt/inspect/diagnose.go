package inspect

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/conmotion/conmotion/internal/printable"
)

// shape says what a CBOR item means, so that it can be annotated. All of it
// may be missing: what has no shape is printed without annotation.
type shape struct {
	name   string            // of the item
	labels map[int64]*shape  // values of a map by integer label
	words  map[string]*shape // values of a map by text label
	items  []*shape          // items of an array by position
	each   *shape            // every other item of an array
	inner  *shape            // what a byte string holds encoded
	note   func(leaf) string // what a value means; "" when there is nothing to say
}

// leaf is a value without parts.
type leaf struct {
	n     int64 // integer
	isInt bool
	text  string
	bytes []byte
}

const (
	majorUint, majorNegative, majorBytes, majorText = 0, 1, 2, 3
	majorArray, majorMap, majorTag                  = 4, 5, 6

	mostEmbedded = 8 // byte strings in byte strings that are opened
)

// diagnose writes one well-formed CBOR item in diagnostic notation (RFC 8949
// section 8) with comments.
func diagnose(data []byte, s *shape) string {
	d := &diagnosis{}
	d.item(data, s, 0, 0)
	return d.String()
}

// wellFormed reports whether data is exactly one CBOR item. The walk below
// relies on it.
func wellFormed(data []byte) bool { return cbor.Wellformed(data) == nil }

type diagnosis struct {
	strings.Builder
}

// head is the beginning of an item.
type head struct {
	major      byte
	arg        uint64
	indefinite bool
	raw        []byte // with the argument
}

func readHead(data []byte) (head, []byte) {
	h := head{major: data[0] >> 5}
	size := 1
	switch info := data[0] & 31; {
	case info < 24:
		h.arg = uint64(info)
	case info == 24:
		h.arg, size = uint64(data[1]), 2
	case info == 25:
		h.arg, size = uint64(binary.BigEndian.Uint16(data[1:])), 3
	case info == 26:
		h.arg, size = uint64(binary.BigEndian.Uint32(data[1:])), 5
	case info == 27:
		h.arg, size = binary.BigEndian.Uint64(data[1:]), 9
	default:
		h.indefinite = true
	}
	h.raw = data[:size]
	return h, data[size:]
}

const breakByte = 0xff

// item writes the item at the start of data and gives what follows it.
func (d *diagnosis) item(data []byte, s *shape, indent, embedded int) []byte {
	if s == nil {
		s = &shape{}
	}
	h, rest := readHead(data)
	switch h.major {
	case majorUint, majorNegative:
		d.integer(h, s)
		return rest
	case majorBytes, majorText:
		return d.str(h, rest, s, indent, embedded)
	case majorArray:
		return d.list(h, rest, "[", "]", indent, func(i uint64, data []byte) []byte {
			each := s.each
			if i < uint64(len(s.items)) {
				each = s.items[i]
			}
			d.name(each)
			return d.item(data, each, indent+1, embedded)
		})
	case majorMap:
		return d.list(h, rest, "{", "}", indent, func(_ uint64, data []byte) []byte {
			var value *shape
			switch k, rest := readHead(data); {
			case k.major <= majorNegative && k.arg <= math.MaxInt64:
				value = s.labels[intOf(k)]
			case k.major == majorText && !k.indefinite:
				value = s.words[string(rest[:k.arg])]
			}
			d.name(value)
			data = d.item(data, nil, indent+1, embedded)
			d.WriteString(": ")
			return d.item(data, value, indent+1, embedded)
		})
	case majorTag:
		fmt.Fprintf(d, "%d(", h.arg)
		rest = d.item(rest, s, indent, embedded)
		d.WriteString(")")
		return rest
	}
	d.simple(h)
	return rest
}

// list writes an array or a map, one item to a line.
func (d *diagnosis) list(h head, data []byte, open, shut string, indent int, item func(uint64, []byte) []byte) []byte {
	d.WriteString(open)
	if h.indefinite {
		d.WriteString("_ ")
	}
	more := func(i uint64) bool {
		if h.indefinite {
			return data[0] != breakByte
		}
		return i < h.arg
	}
	i := uint64(0)
	for ; more(i); i++ {
		if i > 0 {
			d.WriteString(",")
		}
		d.line(indent + 1)
		data = item(i, data)
	}
	if i > 0 {
		d.line(indent)
	}
	d.WriteString(shut)
	if h.indefinite {
		data = data[1:]
	}
	return data
}

// line begins a line. Deeply nested items move no further to the right.
func (d *diagnosis) line(indent int) {
	d.WriteString("\n")
	d.WriteString(strings.Repeat("  ", min(indent, 20)))
}

func (d *diagnosis) name(s *shape) {
	if s != nil && s.name != "" {
		d.WriteString(comment(s.name) + " ")
	}
}

func (d *diagnosis) note(s *shape, v leaf) {
	if s.note == nil {
		return
	}
	if text := s.note(v); text != "" {
		d.WriteString(" " + comment(text))
	}
}

// comment writes text as a comment, which ends at the next slash.
func comment(text string) string {
	return "/ " + strings.ReplaceAll(printable.Line(strings.ReplaceAll(text, "\n", " ")), "/", "|") + " /"
}

func intOf(h head) int64 {
	if h.major == majorNegative {
		return -1 - int64(h.arg)
	}
	return int64(h.arg)
}

func (d *diagnosis) integer(h head, s *shape) {
	if h.arg > math.MaxInt64 {
		if h.major == majorNegative && h.arg == math.MaxUint64 {
			d.WriteString("-18446744073709551616")
		} else if h.major == majorNegative {
			d.WriteString("-" + strconv.FormatUint(h.arg+1, 10))
		} else {
			d.WriteString(strconv.FormatUint(h.arg, 10))
		}
		return
	}
	n := intOf(h)
	d.WriteString(strconv.FormatInt(n, 10))
	d.note(s, leaf{n: n, isInt: true})
}

// str writes a byte or text string.
func (d *diagnosis) str(h head, data []byte, s *shape, indent, embedded int) []byte {
	if h.indefinite {
		d.WriteString("(_ ")
		for i := 0; data[0] != breakByte; i++ {
			if i > 0 {
				d.WriteString(", ")
			}
			data = d.item(data, nil, indent, embedded)
		}
		d.WriteString(")")
		return data[1:]
	}
	content, rest := data[:h.arg], data[h.arg:]
	if h.major == majorText {
		d.WriteString(quote(string(content), '"'))
		d.note(s, leaf{text: string(content)})
		return rest
	}
	if s.inner != nil && embedded < mostEmbedded && wellFormed(content) {
		d.WriteString("<< ")
		d.item(content, s.inner, indent, embedded+1)
		d.WriteString(" >>")
		return rest
	}
	if readable(content) {
		d.WriteString(quote(string(content), '\''))
	} else {
		d.WriteString("h'" + hex.EncodeToString(content) + "'")
	}
	d.note(s, leaf{bytes: content})
	return rest
}

// readable reports whether bytes are better shown as text.
func readable(b []byte) bool {
	if len(b) == 0 || !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			return false
		}
	}
	return true
}

// quote writes a string literal; whatever a terminal might obey is escaped.
func quote(s string, mark rune) string {
	var b strings.Builder
	b.WriteRune(mark)
	for _, r := range s {
		switch {
		case r == mark || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	b.WriteRune(mark)
	return b.String()
}

func (d *diagnosis) simple(h head) {
	var v any
	switch {
	case len(h.raw) > 2: // a float of 16, 32 or 64 bits
		if err := cbor.Unmarshal(h.raw, &v); err != nil {
			fmt.Fprintf(d, "simple(%d)", h.arg)
			return
		}
		f, _ := v.(float64)
		d.WriteString(float(f))
	case h.arg == 20, h.arg == 21:
		d.WriteString(strconv.FormatBool(h.arg == 21))
	case h.arg == 22:
		d.WriteString("null")
	case h.arg == 23:
		d.WriteString("undefined")
	default:
		fmt.Fprintf(d, "simple(%d)", h.arg)
	}
}

func float(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}
