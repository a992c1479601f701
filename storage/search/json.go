package search

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// readJSON gives the values of one JSON text (RFC 8259) to l. encoding/json
// takes ten times as long to walk a text, and repairs bad UTF-8 silently.
func readJSON(text []byte, l *leaves) error {
	if !utf8.Valid(text) {
		return errPayload
	}
	r := jsonReader{src: view(text), leaves: l}
	if !r.value() {
		return errPayload
	}
	if r.peek(); r.pos < len(r.src) {
		return errPayload
	}
	return nil
}

type jsonReader struct {
	src     string
	pos     int
	scratch []byte // a string without its escapes
	*leaves
}

// peek is the next byte that is not white space, 0 at the end.
func (r *jsonReader) peek() byte {
	for r.pos < len(r.src) {
		switch c := r.src[r.pos]; c {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

func (r *jsonReader) value() bool {
	switch c := r.peek(); {
	case c == '{':
		return r.object()
	case c == '[':
		return r.list()
	case c == '"':
		s, ok := r.str()
		if ok {
			r.text(s)
		}
		return ok
	case c == '-' || (c >= '0' && c <= '9'):
		n := scanNumber(r.src[r.pos:])
		if n == 0 {
			return false
		}
		r.number(r.src[r.pos : r.pos+n])
		r.pos += n
		return true
	}
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(r.src[r.pos:], word) {
			r.literal(word)
			r.pos += len(word)
			return true
		}
	}
	return false
}

func (r *jsonReader) object() bool {
	if r.depth+r.array >= maxDepth {
		return false
	}
	r.depth++
	defer func() { r.depth-- }()
	r.pos++
	if r.peek() == '}' {
		r.pos++
		return true
	}
	for {
		if r.peek() != '"' {
			return false
		}
		name, ok := r.str()
		if !ok || r.peek() != ':' {
			return false
		}
		r.pos++
		back := r.push(name)
		if !r.value() {
			return false
		}
		r.pop(back)
		switch r.peek() {
		case ',':
			r.pos++
		case '}':
			r.pos++
			return true
		default:
			return false
		}
	}
}

func (r *jsonReader) list() bool {
	if r.depth+r.array >= maxDepth {
		return false
	}
	r.array++
	defer func() { r.array-- }()
	r.pos++
	if r.peek() == ']' {
		r.pos++
		return true
	}
	for {
		if !r.value() {
			return false
		}
		switch r.peek() {
		case ',':
			r.pos++
		case ']':
			r.pos++
			return true
		default:
			return false
		}
	}
}

// str reads a string; what it gives is good until the next one is read.
func (r *jsonReader) str() (string, bool) {
	r.pos++
	start := r.pos
	for i := start; i < len(r.src); i++ {
		switch c := r.src[i]; {
		case c == '"':
			r.pos = i + 1
			return r.src[start:i], true
		case c == '\\':
			return r.escaped(start, i)
		case c < ' ':
			return "", false
		}
	}
	return "", false
}

// escaped reads the rest of a string that has an escape at i.
func (r *jsonReader) escaped(start, i int) (string, bool) {
	r.scratch = append(r.scratch[:0], r.src[start:i]...)
	for i < len(r.src) {
		c := r.src[i]
		i++
		switch {
		case c == '"':
			r.pos = i
			return view(r.scratch), true
		case c < ' ':
			return "", false
		case c != '\\':
			r.scratch = append(r.scratch, c)
			continue
		case i >= len(r.src):
			return "", false
		}
		c = r.src[i]
		i++
		if c == 'u' {
			char, n, ok := unescape(r.src[i:])
			if !ok {
				return "", false
			}
			r.scratch = utf8.AppendRune(r.scratch, char)
			i += n
			continue
		}
		at := strings.IndexByte(`"\/bfnrt`, c)
		if at < 0 {
			return "", false
		}
		r.scratch = append(r.scratch, "\"\\/\b\f\n\r\t"[at])
	}
	return "", false
}

// unescape reads what stands behind \u, with the second half of a surrogate
// pair. An unpaired surrogate is no character.
func unescape(s string) (char rune, n int, ok bool) {
	first, ok := hex4(s)
	if !ok || !utf16.IsSurrogate(first) {
		return first, 4, ok
	}
	if len(s) < 10 || s[4] != '\\' || s[5] != 'u' {
		return 0, 0, false
	}
	second, ok := hex4(s[6:])
	char = utf16.DecodeRune(first, second)
	return char, 10, ok && char != utf8.RuneError
}

func hex4(s string) (v rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for i := range 4 {
		digit := strings.IndexByte("0123456789abcdef", s[i]|0x20)
		if digit < 0 || (s[i] < '0') {
			return 0, false
		}
		v = v<<4 | rune(digit)
	}
	return v, true
}
