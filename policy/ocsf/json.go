package ocsf

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrMalformed is wrapped by every error of Check and Summarize: the bytes are not one JSON text that has a single
// meaning. That covers syntax, bytes after the text, invalid UTF-8, unpaired surrogates, a member name that occurs
// twice in one object, and nesting beyond MaxDepth.
var ErrMalformed = errors.New("malformed JSON")

// MaxDepth is how many objects and arrays may stand inside each other. OCSF events are around ten deep; the rest is
// room for the free-form parts.
const MaxDepth = 64

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "boolean", "number", "string", "array", "object"}[k]
}

// span is a range of bytes in doc.src, or in doc.unescaped where esc is set.
type span struct {
	off, len uint32
	esc      bool
}

// node is one JSON value. Nodes stand in document order, so the first child of node i, if it has any, is node i+1.
type node struct {
	key, val span // val: a scalar's text, a string's without quotes and escapes
	next     int32
	kids     int32
	kind     kind
}

// doc is a parsed JSON text. encoding/json is not used because it accepts duplicate names, turns bad UTF-8 into
// U+FFFD, and its maps cost several times the whole check.
type doc struct {
	src, unescaped []byte
	nodes          []node
}

func (d *doc) text(s span) []byte {
	if s.esc {
		return d.unescaped[s.off : s.off+s.len]
	}
	return d.src[s.off : s.off+s.len]
}

func (d *doc) key(n int32) []byte { return d.text(d.nodes[n].key) }
func (d *doc) val(n int32) []byte { return d.text(d.nodes[n].val) }

// first returns the first child of n, 0 if there is none. The root is node 0 and nobody's child.
func (d *doc) first(n int32) int32 {
	if d.nodes[n].kids == 0 {
		return 0
	}
	return n + 1
}

// member returns the value of a member of object n, 0 if n is not an object or has no such member.
func (d *doc) member(n int32, name string) int32 {
	if d.nodes[n].kind != kindObject {
		return 0
	}
	for m := d.first(n); m != 0; m = d.nodes[m].next {
		if string(d.key(m)) == name {
			return m
		}
	}
	return 0
}

// str returns the text of string n, "" where n is no string.
func (d *doc) str(n int32) string {
	if n == 0 || d.nodes[n].kind != kindString {
		return ""
	}
	return string(d.val(n))
}

// int returns the value of n and whether n is a JSON integer that fits 64 bits. 1.0 and 1e3 are not integers here, as
// in the OCSF server.
func (d *doc) int(n int32) (int64, bool) {
	if n == 0 || d.nodes[n].kind != kindNumber {
		return 0, false
	}
	v, err := strconv.ParseInt(string(d.val(n)), 10, 64)
	return v, err == nil
}

type parser struct {
	doc
	pos int
}

func parse(src []byte) (*doc, error) {
	if len(src) > math.MaxInt32 {
		return nil, fmt.Errorf("ocsf: %w: %d bytes are more than 2 GiB", ErrMalformed, len(src))
	}
	p := &parser{doc: doc{src: src, nodes: make([]node, 0, 16+len(src)/20)}}
	if !utf8.Valid(src) {
		return nil, p.fail("invalid UTF-8")
	}
	if err := p.value(span{}, MaxDepth); err != nil {
		return nil, err
	}
	p.space()
	if p.pos != len(src) {
		return nil, p.fail("bytes after the JSON text")
	}
	return &p.doc, nil
}

func (p *parser) fail(format string, args ...any) error {
	return fmt.Errorf("ocsf: %w: byte %d: %s", ErrMalformed, p.pos, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end; a 0 byte is valid nowhere outside a string, nor inside one.
func (p *parser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *parser) value(key span, depth int) error {
	p.space()
	n := len(p.nodes)
	p.nodes = append(p.nodes, node{key: key})
	switch c := p.peek(); c {
	case '{', '[':
		if depth == 0 {
			return p.fail("nested deeper than %d levels", MaxDepth)
		}
		p.pos++
		if c == '[' {
			p.nodes[n].kind = kindArray
			return p.children(n, depth-1, ']')
		}
		p.nodes[n].kind = kindObject
		if err := p.children(n, depth-1, '}'); err != nil {
			return err
		}
		return p.unique(int32(n))
	case '"':
		s, err := p.stringText()
		p.nodes[n].kind, p.nodes[n].val = kindString, s
		return err
	case 't':
		return p.literal(n, "true", kindBool)
	case 'f':
		return p.literal(n, "false", kindBool)
	case 'n':
		return p.literal(n, "null", kindNull)
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return p.number(n)
		}
		return p.fail("expected a JSON value")
	}
}

// children reads the members of an object or the elements of an array, after its opening bracket.
func (p *parser) children(n, depth int, end byte) error {
	p.space()
	if p.peek() == end {
		p.pos++
		return nil
	}
	for prev := 0; ; {
		var key span
		if end == '}' {
			p.space()
			if p.peek() != '"' {
				return p.fail("expected a member name in quotes")
			}
			var err error
			if key, err = p.stringText(); err != nil {
				return err
			}
			if p.space(); p.peek() != ':' {
				return p.fail("expected ':' after a member name")
			}
			p.pos++
		}
		child := len(p.nodes)
		if err := p.value(key, depth); err != nil {
			return err
		}
		if prev != 0 {
			p.nodes[prev].next = int32(child)
		}
		prev = child
		p.nodes[n].kids++
		p.space()
		switch p.peek() {
		case end:
			p.pos++
			return nil
		case ',':
			p.pos++
		default:
			return p.fail("expected ',' or '%c'", end)
		}
	}
}

// unique refuses an object that has a member name twice: readers disagree on which of them counts.
func (p *parser) unique(n int32) error {
	dup := func(m int32) error {
		return p.fail("member name %s occurs twice in the object that ends here", quote(p.key(m)))
	}
	if p.nodes[n].kids <= 32 {
		for a := p.first(n); a != 0; a = p.nodes[a].next {
			key := p.key(a)
			for b := p.nodes[a].next; b != 0; b = p.nodes[b].next {
				if int(p.nodes[b].key.len) == len(key) && bytes.Equal(key, p.key(b)) {
					return dup(b)
				}
			}
		}
		return nil
	}
	seen := make(map[string]struct{}, p.nodes[n].kids)
	for m := p.first(n); m != 0; m = p.nodes[m].next {
		if _, ok := seen[string(p.key(m))]; ok {
			return dup(m)
		}
		seen[string(p.key(m))] = struct{}{}
	}
	return nil
}

func (p *parser) literal(n int, want string, k kind) error {
	if !bytes.HasPrefix(p.src[p.pos:], []byte(want)) {
		return p.fail("expected a JSON value")
	}
	p.nodes[n].kind, p.nodes[n].val = k, span{off: uint32(p.pos), len: uint32(len(want))}
	p.pos += len(want)
	return nil
}

func (p *parser) digits() bool {
	start := p.pos
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	return p.pos > start
}

func (p *parser) number(n int) error {
	start := p.pos
	if p.peek() == '-' {
		p.pos++
	}
	if p.peek() == '0' {
		p.pos++
	} else if !p.digits() {
		return p.fail("expected a digit")
	}
	if p.peek() == '.' {
		if p.pos++; !p.digits() {
			return p.fail("expected a digit")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if !p.digits() {
			return p.fail("expected a digit")
		}
	}
	p.nodes[n].kind, p.nodes[n].val = kindNumber, span{off: uint32(start), len: uint32(p.pos - start)}
	return nil
}

func (p *parser) stringText() (span, error) {
	p.pos++
	start := p.pos
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '"':
			p.pos++
			return span{off: uint32(start), len: uint32(p.pos - 1 - start)}, nil
		case c == '\\':
			return p.escapedText(start)
		case c < 0x20:
			return span{}, p.fail("control character in a string")
		}
		p.pos++
	}
	return span{}, p.fail("string without end")
}

// escapedText reads on from the first backslash of a string and stores the string without escapes.
func (p *parser) escapedText(start int) (span, error) {
	from := len(p.unescaped)
	p.unescaped = append(p.unescaped, p.src[start:p.pos]...)
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		switch {
		case c == '"':
			p.pos++
			return span{off: uint32(from), len: uint32(len(p.unescaped) - from), esc: true}, nil
		case c < 0x20:
			return span{}, p.fail("control character in a string")
		case c != '\\':
			p.unescaped = append(p.unescaped, c)
			p.pos++
			continue
		}
		p.pos++
		if p.peek() == 'u' {
			r, err := p.escapedRune()
			if err != nil {
				return span{}, err
			}
			p.unescaped = utf8.AppendRune(p.unescaped, r)
			continue
		}
		i := bytes.IndexByte([]byte(`"\/bfnrt`), p.peek())
		if i < 0 {
			return span{}, p.fail("unknown escape in a string")
		}
		p.unescaped = append(p.unescaped, "\"\\/\b\f\n\r\t"[i])
		p.pos++
	}
	return span{}, p.fail("string without end")
}

// escapedRune reads the uXXXX of an escape, and the low surrogate that must follow a high one.
func (p *parser) escapedRune() (rune, error) {
	unit := func() (rune, bool) {
		if len(p.src)-p.pos < 5 || p.src[p.pos] != 'u' {
			return 0, false
		}
		v, err := strconv.ParseUint(string(p.src[p.pos+1:p.pos+5]), 16, 16)
		p.pos += 5
		return rune(v), err == nil
	}
	r, ok := unit()
	if !ok {
		return 0, p.fail("bad \\u escape in a string")
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if p.peek() == '\\' {
		p.pos++
		if low, ok := unit(); ok {
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				return r, nil
			}
		}
	}
	return 0, p.fail("unpaired surrogate in a string")
}

// quote prints text from outside in a message: quoted, and cut so that no event can blow up its own report.
func quote(b []byte) string {
	const limit = 64
	if len(b) > limit {
		return strconv.Quote(string(bytes.ToValidUTF8(b[:limit], nil))) + "..."
	}
	return strconv.Quote(string(b))
}
