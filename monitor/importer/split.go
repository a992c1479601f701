package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"

	"github.com/conmotion/conmotion/policy/ocsf"
)

// plain undoes gzip, in which AWS Config delivers its files, and takes off a byte order mark.
func plain(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	if magic, _ := b.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("importer: gzip: %w", err)
		}
		b = bufio.NewReader(z)
	}
	if mark, _ := b.Peek(3); string(mark) == "\xef\xbb\xbf" {
		if _, err := b.Discard(3); err != nil {
			return nil, fmt.Errorf("importer: %w", err)
		}
	}
	return b, nil
}

// splitter divides input into items without decoding them: the top-level values, or the elements of a top-level array
// or of an array that is one of the containers. It finds where a value ends by counting brackets outside strings, so a
// value that is balanced and still not JSON is one broken item, and the next one is found. json.Decoder can do neither
// that nor pass over an item that is too large.
//
// Between top-level values (JSON lines) it also recovers from a line that is cut off: the next item begins at the next
// line that begins with an opening brace.
type splitter struct {
	r          io.Reader
	max        int
	containers []string

	buf      []byte // what was read; buf[start:] is not given out yet
	start    int    // where the current value begins
	pos      int    // the next byte to look at; start <= pos <= len(buf)
	at       Position
	err      error // of the reader; sticky
	idle     int   // how many reads in a row gave nothing
	inArray  bool  // between the elements of an array of items
	inObject bool  // that array is a member of a top-level object
}

func newSplitter(r io.Reader, max int, containers []string) *splitter {
	return &splitter{r: r, max: max, containers: containers, at: Position{Line: 1}}
}

// peek returns the byte at pos. After the end, ok is false and s.err says why.
func (s *splitter) peek() (c byte, ok bool) {
	for s.pos == len(s.buf) {
		if s.err != nil {
			return 0, false
		}
		s.fill()
	}
	return s.buf[s.pos], true
}

func (s *splitter) fill() {
	if s.start > 0 {
		n := copy(s.buf, s.buf[s.start:])
		s.buf, s.pos, s.start = s.buf[:n], s.pos-s.start, 0
	}
	s.buf = slices.Grow(s.buf, max(64<<10, len(s.buf)))
	var n int
	n, s.err = s.r.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	if s.idle++; n > 0 {
		s.idle = 0
	} else if s.err == nil && s.idle == 100 {
		s.err = io.ErrNoProgress
	}
}

// drop gives up the bytes before buf[p].
func (s *splitter) drop(p int) {
	s.at.Line += int64(bytes.Count(s.buf[s.start:p], []byte("\n")))
	s.at.Offset += int64(p - s.start)
	s.start, s.pos = p, p
}

// fatal is an error that ends the sequence: the reader's own, or one of the input's form.
func (s *splitter) fatal(reason string) error {
	if s.err != nil && s.err != io.EOF {
		return fmt.Errorf("importer: %s: %w", s.at, s.err)
	}
	return fmt.Errorf("importer: %s: %s: %w", s.at, reason, ErrInput)
}

// next returns the next value and where it begins. The bytes are valid until the next call. A *Problem concerns one
// value; io.EOF is the end; any other error ends the input too.
func (s *splitter) next() ([]byte, Position, error) {
	for {
		c, ok := s.space()
		switch {
		case !ok && s.err == io.EOF && !s.inArray && !s.inObject:
			return nil, s.at, io.EOF
		case !ok:
			return nil, s.at, s.fatal("the input ends inside an array or object of items")
		case s.inArray && c == ']':
			s.pos++
			s.inArray = false
			continue
		case !s.inArray && !s.inObject && c == '[':
			s.pos++
			s.inArray = true
			continue
		case !s.inArray && !s.inObject && c != '{':
			return nil, s.at, s.resync("not a JSON object or array")
		}
		at := s.at
		end, reason := s.scan()
		switch {
		case end == endContainer:
			s.pos++
			s.inArray, s.inObject = true, true
		case end == endBroken && (s.inArray || s.inObject):
			return nil, at, s.fatal(reason)
		case end == endBroken:
			return nil, at, s.resync(reason)
		case s.inObject && !s.inArray:
			s.inObject = false // the end of a container's object
		case end == endDropped:
			return nil, at, &Problem{Position: at, Reason: reason}
		default:
			raw := s.buf[s.start:s.pos]
			s.drop(s.pos)
			return raw, at, nil
		}
	}
}

// space drops white space, and between elements commas, and returns the next byte.
func (s *splitter) space() (c byte, ok bool) {
	for c, ok = s.peek(); ok && (isSpace(c) || c == ',' && s.inArray); c, ok = s.peek() {
		s.pos++
	}
	s.drop(s.pos)
	return c, ok
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

type scanEnd int

const (
	endValue     scanEnd = iota // the value is buf[start:pos]
	endContainer                // at the opening bracket of a container's array
	endDropped                  // after an element that is larger than max
	endBroken                   // where the value cannot be one any more
)

// scan goes over one value from start: a top-level object, what is left of one after a container's array, or an element
// of an array.
func (s *splitter) scan() (scanEnd, string) {
	top := !s.inArray
	depth := 0
	if top && s.inObject {
		depth = 1
	}
	var (
		text, escaped bool   // inside a string; after a backslash
		named         bool   // the member's name has been read
		name          int    // where the latest string begins, relative to start; -1 if dropped
		container     bool   // that name is a container's
		dropped       string // the reason
	)
	for {
		c, ok := s.peek()
		if !ok {
			return endBroken, "the input ends inside this item"
		}
		if s.pos-s.start >= s.max {
			if dropped = fmt.Sprintf("larger than %d bytes", s.max); top && !s.inObject {
				return endBroken, dropped
			}
			s.drop(s.pos)
			name = -1
		}
		switch {
		case text && escaped:
			escaped = false
		case text && c == '\\':
			escaped = true
		case text && c == '"':
			text = false
			if depth == 1 && !named {
				named = true
				container = name >= 0 && slices.Contains(s.containers, string(s.buf[s.start+name:s.pos]))
			}
		case text && c < 0x20:
			return endBroken, "a string does not end in its line"
		case text:
		case c == '"':
			text = true
			name = s.pos + 1 - s.start
		case c == ',' && depth == 1:
			named, container = false, false
		case c == '[' && depth == 1 && top && container:
			s.drop(s.pos)
			return endContainer, ""
		case c == '{' || c == '[':
			if depth++; depth > ocsf.MaxDepth && top {
				return endBroken, fmt.Sprintf("nested deeper than %d levels", ocsf.MaxDepth)
			}
		case c == '}' || c == ']':
			if depth--; depth < 0 {
				return endBroken, "a bracket closes that nothing opened"
			}
		}
		s.pos++
		if depth > 0 || text {
			continue
		}
		if c != '}' && c != ']' { // a number, a word or a string: up to what separates elements
			if c, ok := s.peek(); !ok || c != ',' && c != ']' && !isSpace(c) {
				continue
			}
		}
		if dropped != "" {
			s.drop(s.pos)
			return endDropped, dropped
		}
		return endValue, ""
	}
}

// resync goes from a broken top-level value to the next line that begins with an opening brace. Where there is none, and
// the input just ends, the error is fatal.
func (s *splitter) resync(reason string) error {
	p := &Problem{Position: s.at, Reason: reason}
	if i := bytes.Index(s.buf[s.start:s.pos], []byte("\n{")); i >= 0 {
		p.Reason = "does not end before the next line that begins with an object"
		s.drop(s.start + i + 1)
		return p
	}
	if _, ok := s.peek(); !ok {
		return s.fatal(reason)
	}
	for {
		c, ok := s.peek()
		if !ok {
			s.drop(s.pos)
			return p
		}
		if s.pos++; c == '\n' {
			if c, ok := s.peek(); ok && (c == '{' || c == '[') {
				s.drop(s.pos)
				return p
			}
		}
		if s.pos-s.start > s.max {
			s.drop(s.pos)
		}
	}
}
