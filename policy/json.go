package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
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

// jsonError is a violation of RFC 8259 at an offset.
type jsonError struct {
	pos int
	msg string
}

func (e *jsonError) Error() string { return fmt.Sprintf("byte %d: %s", e.pos, e.msg) }

// parseJSON reads one JSON text strictly (RFC 8259): valid UTF-8, no member
// twice, no unpaired surrogate, nothing behind it. The error is a *jsonError.
func parseJSON(src string) (*tree, *jsonError) {
	if i := invalidUTF8(src); i >= 0 {
		return nil, &jsonError{i, "the text is not valid UTF-8"}
	}
	p := jsonParser{tree: &tree{src: src, cells: make([]cell, 0, 16+len(src)/24)}}
	if err := p.value(0, 0, 0); err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(src) {
		return nil, p.fail("something follows the JSON value")
	}
	return p.tree, nil
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
	*tree
	pos int
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

// value reads a value; keyPos and keyEnd are those of its cell.
func (p *jsonParser) value(depth int, keyPos, keyEnd int32) (err *jsonError) {
	ch := p.peek()
	i := int32(len(p.cells))
	p.cells = append(p.cells, cell{pos: int32(p.pos), keyPos: keyPos, keyEnd: keyEnd})
	k, count := kindNull, int32(0)
	switch {
	case depth > maxDepth:
		return p.fail("more than %d objects and arrays inside each other", maxDepth)
	case ch == '{':
		k = kindObject
		count, err = p.object(i, depth)
	case ch == '[':
		k = kindArray
		count, err = p.array(depth)
	case ch == '"':
		k = kindString
		_, count, err = p.str()
		count = min(count, 0)
	case ch == '-' || isDigit(ch):
		k, err = kindNumber, p.num()
	case p.word("true"), p.word("false"):
		k = kindBool
	case p.word("null"):
	case ch == 0 && p.pos >= len(p.src):
		err = p.fail("the text ends where a value is expected")
	default:
		err = p.fail("expected a value, found %q", firstRune(p.src[p.pos:]))
	}
	c := &p.cells[i]
	c.kind, c.count, c.end, c.next = k, count, int32(p.pos), int32(len(p.cells))
	return err
}

func firstRune(s string) rune { r, _ := utf8.DecodeRuneInString(s); return r }

func (p *jsonParser) word(w string) bool {
	if strings.HasPrefix(p.src[p.pos:], w) {
		p.pos += len(w)
		return true
	}
	return false
}

func (p *jsonParser) object(i int32, depth int) (count int32, err *jsonError) {
	p.pos++
	if p.peek() == '}' {
		p.pos++
		return 0, nil
	}
	for {
		if p.peek() != '"' {
			return 0, p.fail("expected the name of a member")
		}
		keyPos, m := p.pos, int32(len(p.cells))
		key, keyEnd, err := p.str()
		if err != nil {
			return 0, err
		}
		// So far the object reaches up to here.
		p.cells[i].next = m
		if p.member(i, key) != 0 {
			return 0, &jsonError{keyPos, fmt.Sprintf("the member %s is there twice", quote(key))}
		}
		if p.peek() != ':' {
			return 0, p.fail("expected a colon behind the name %s", quote(key))
		}
		p.pos++
		if err := p.value(depth+1, int32(keyPos+1), keyEnd); err != nil {
			return 0, err
		}
		count++
		p.addToIndex(i, m, count, key)
		switch p.peek() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			return count, nil
		default:
			return 0, p.fail("expected a comma or the end of the object")
		}
	}
}

// addToIndex takes the member m of the object i, its count-th, into its index
// once it has one.
func (p *jsonParser) addToIndex(i, m, count int32, key string) {
	switch {
	case count > indexed:
		p.index[i][key] = m
	case count == indexed:
		index := make(map[string]int32, 2*indexed)
		p.cells[i].next = int32(len(p.cells))
		for m := i + 1; m < p.cells[i].next; m = p.cells[m].next {
			index[p.key(m)] = m
		}
		if p.index == nil {
			p.index = map[int32]map[string]int32{}
		}
		p.index[i] = index
	}
}

func (p *jsonParser) array(depth int) (count int32, err *jsonError) {
	p.pos++
	if p.peek() == ']' {
		p.pos++
		return 0, nil
	}
	for {
		if err := p.value(depth+1, 0, 0); err != nil {
			return 0, err
		}
		count++
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return count, nil
		default:
			return 0, p.fail("expected a comma or the end of the array")
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

func (p *jsonParser) num() *jsonError {
	p.accept("-")
	zero := p.accept("0")
	switch {
	case zero && p.pos < len(p.src) && isDigit(p.src[p.pos]):
		return p.fail("a number does not begin with 0")
	case !zero && !p.digits(), p.accept(".") && !p.digits():
		return p.fail("expected a digit")
	}
	if p.accept("eE") {
		p.accept("+-")
		if !p.digits() {
			return p.fail("expected a digit")
		}
	}
	return nil
}

// str reads a string. end is where its bytes end in the source or, when it has
// escapes, the complement of its place in unescaped.
func (p *jsonParser) str() (s string, end int32, err *jsonError) {
	p.pos++
	start := p.pos
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '"':
			p.pos++
			return p.src[start : p.pos-1], int32(p.pos - 1), nil
		case c == '\\':
			if s, err = p.escaped(start); err != nil {
				return "", 0, err
			}
			p.unescaped = append(p.unescaped, s)
			return s, ^int32(len(p.unescaped) - 1), nil
		case c < ' ':
			return "", 0, p.fail("a control character in a string must be escaped")
		}
		p.pos++
	}
	return "", 0, p.fail("the string has no end")
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
