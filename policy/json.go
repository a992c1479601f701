package policy

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"cel.dev/cel-go/common/types/ref"
)

// maxDepth is how many objects and arrays may stand inside each other, in a
// policy document and in a payload that a rule reads.
const maxDepth = 64

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
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// node is one JSON value. encoding/json is not used because it keeps the last
// of two members with one name, repairs bad UTF-8 silently and does not say
// where a value stood.
type node struct {
	kind     kind
	pos, end int32  // its bytes in the source
	keyPos   int32  // where the name of a member stands
	key      string // the name of a member
	text     string // of a string, number or boolean
	items    []node // of an array or object
	more     *more  // what only large or much used values have
}

type more struct {
	index map[string]int // of an object of many members
	list  ref.Val        // of an array that a rule has read
}

// indexed is the size from which an object gets an index, so that neither
// the search for duplicates nor a rule's lookups grow with its square.
const indexed = 32

// member finds a member of an object.
func (n *node) member(key string) *node {
	if n.more != nil {
		if i, ok := n.more.index[key]; ok {
			return &n.items[i]
		}
		return nil
	}
	return find(n.items, key)
}

func find(members []node, key string) *node {
	for i := range members {
		if members[i].key == key {
			return &members[i]
		}
	}
	return nil
}

// number gives an integral literal that fits as int64 or uint64, and every
// other number as float64.
func (n *node) number() any {
	if !strings.ContainsAny(n.text, ".eE") {
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(n.text, 10, 64); err == nil {
			return u
		}
	}
	f, err := strconv.ParseFloat(n.text, 64)
	if err != nil { // out of range: the parser has checked the form
		f = math.Copysign(math.Inf(1), f)
	}
	return f
}

// jsonError is a violation of RFC 8259 at an offset.
type jsonError struct {
	pos int
	msg string
}

func (e *jsonError) Error() string { return fmt.Sprintf("byte %d: %s", e.pos, e.msg) }

// parseJSON reads one JSON text strictly (RFC 8259): valid UTF-8, no member
// twice, no unpaired surrogate, nothing behind it. The error is a *jsonError.
func parseJSON(src string) (*node, *jsonError) {
	p := jsonParser{src: src, stack: make([]node, 0, 32)}
	if i := invalidUTF8(src); i >= 0 {
		return nil, &jsonError{i, "the text is not valid UTF-8"}
	}
	n, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(src) {
		return nil, p.fail("something follows the JSON value")
	}
	return &n, nil
}

func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}

type jsonParser struct {
	src   string
	pos   int
	stack []node // the items of the arrays and objects that are open
}

// take gives an array or object its items, all those from start on.
func (p *jsonParser) take(n *node, start int) *jsonError {
	p.pos++
	n.items = slices.Clone(p.stack[start:])
	clear(p.stack[start:])
	p.stack = p.stack[:start]
	return nil
}

func (p *jsonParser) fail(format string, args ...any) *jsonError {
	return &jsonError{p.pos, fmt.Sprintf(format, args...)}
}

func (p *jsonParser) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek is the next byte that is not white space, 0 at the end.
func (p *jsonParser) peek() byte {
	if p.space(); p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *jsonParser) value(depth int) (n node, err *jsonError) {
	c := p.peek()
	n.pos = int32(p.pos)
	switch {
	case depth > maxDepth:
		return n, p.fail("more than %d objects and arrays inside each other", maxDepth)
	case c == '{':
		n.kind, err = kindObject, p.object(&n, depth)
	case c == '[':
		n.kind, err = kindArray, p.array(&n, depth)
	case c == '"':
		n.kind = kindString
		n.text, err = p.str()
	case c == '-' || isDigit(c):
		n.kind = kindNumber
		n.text, err = p.num()
	case p.word("true"), p.word("false"):
		n.kind, n.text = kindBool, p.src[n.pos:p.pos]
	case p.word("null"):
	case c == 0 && p.pos >= len(p.src):
		err = p.fail("the text ends where a value is expected")
	default:
		err = p.fail("expected a value, found %q", firstRune(p.src[p.pos:]))
	}
	n.end = int32(p.pos)
	return n, err
}

func firstRune(s string) rune { r, _ := utf8.DecodeRuneInString(s); return r }

func (p *jsonParser) word(w string) bool {
	if strings.HasPrefix(p.src[p.pos:], w) {
		p.pos += len(w)
		return true
	}
	return false
}

func (p *jsonParser) object(n *node, depth int) *jsonError {
	start := len(p.stack)
	p.pos++
	if p.peek() == '}' {
		return p.take(n, start)
	}
	for {
		if p.peek() != '"' {
			return p.fail("expected the name of a member")
		}
		keyPos := p.pos
		key, err := p.str()
		if err != nil {
			return err
		}
		if p.repeated(n, key, start) {
			return &jsonError{keyPos, fmt.Sprintf("the member %s is there twice", quote(key))}
		}
		if p.peek() != ':' {
			return p.fail("expected a colon behind the name %s", quote(key))
		}
		p.pos++
		v, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		v.key, v.keyPos = key, int32(keyPos)
		p.stack = append(p.stack, v)
		switch p.peek() {
		case ',':
			p.pos++
		case '}':
			return p.take(n, start)
		default:
			return p.fail("expected a comma or the end of the object")
		}
	}
}

// repeated looks for a name among the members that an object has so far.
func (p *jsonParser) repeated(n *node, key string, start int) bool {
	members := p.stack[start:]
	if n.more == nil {
		if len(members) < indexed {
			return find(members, key) != nil
		}
		n.more = &more{index: make(map[string]int, 2*indexed)}
		for i := range members {
			n.more.index[members[i].key] = i
		}
	}
	_, ok := n.more.index[key]
	n.more.index[key] = len(members)
	return ok
}

func (p *jsonParser) array(n *node, depth int) *jsonError {
	start := len(p.stack)
	p.pos++
	if p.peek() == ']' {
		return p.take(n, start)
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		p.stack = append(p.stack, v)
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			return p.take(n, start)
		default:
			return p.fail("expected a comma or the end of the array")
		}
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (p *jsonParser) digits() bool {
	start := p.pos
	for p.pos < len(p.src) && isDigit(p.src[p.pos]) {
		p.pos++
	}
	return p.pos > start
}

// accept takes the next byte when it is one of set.
func (p *jsonParser) accept(set string) bool {
	if p.pos < len(p.src) && strings.IndexByte(set, p.src[p.pos]) >= 0 {
		p.pos++
		return true
	}
	return false
}

func (p *jsonParser) num() (string, *jsonError) {
	start := p.pos
	p.accept("-")
	zero := p.accept("0")
	switch {
	case zero && p.pos < len(p.src) && isDigit(p.src[p.pos]):
		return "", p.fail("a number does not begin with 0")
	case !zero && !p.digits(), p.accept(".") && !p.digits():
		return "", p.fail("expected a digit")
	}
	if p.accept("eE") {
		p.accept("+-")
		if !p.digits() {
			return "", p.fail("expected a digit")
		}
	}
	return p.src[start:p.pos], nil
}

func (p *jsonParser) str() (string, *jsonError) {
	p.pos++
	start := p.pos
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '"':
			p.pos++
			return p.src[start : p.pos-1], nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.fail("a control character in a string must be escaped")
		}
		p.pos++
	}
	return "", p.fail("the string has no end")
}

// escaped goes on with a string at its first escape.
func (p *jsonParser) escaped(start int) (string, *jsonError) {
	b := []byte(p.src[start:p.pos])
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		p.pos++
		switch {
		case c == '"':
			return string(b), nil
		case c < ' ':
			return "", p.fail("a control character in a string must be escaped")
		case c != '\\':
			b = append(b, c)
			continue
		}
		if p.pos >= len(p.src) {
			break
		}
		c = p.src[p.pos]
		p.pos++
		if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
			b = append(b, "\"\\/\b\f\n\r\t"[i])
			continue
		}
		if c != 'u' {
			return "", p.fail("unknown escape in a string")
		}
		r, ok := p.hex4()
		if ok && utf16.IsSurrogate(r) {
			var low rune
			if ok = p.word(`\u`); ok {
				low, ok = p.hex4()
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				ok = false
			}
		}
		if !ok {
			return "", p.fail("bad \\u escape or unpaired surrogate in a string")
		}
		b = utf8.AppendRune(b, r)
	}
	return "", p.fail("the string has no end")
}

func (p *jsonParser) hex4() (rune, bool) {
	if p.pos+4 > len(p.src) {
		return 0, false
	}
	v, err := strconv.ParseUint(p.src[p.pos:p.pos+4], 16, 16)
	p.pos += 4
	return rune(v), err == nil
}
