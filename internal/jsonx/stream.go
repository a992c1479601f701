package jsonx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrStream is wrapped where input cannot be divided into values any more.
var ErrStream = errors.New("input cannot be divided into items")

// errLarge ends a read, not the input.
var errLarge = errors.New("the value is too large")

// Place is where a value begins.
type Place struct {
	Line   int64 // from 1
	Offset int64 // in bytes, from 0
}

func (p Place) String() string { return fmt.Sprintf("line %d, byte %d", p.Line, p.Offset) }

// Stream divides input into JSON values: those that follow each other, and the
// elements of an array in its place. Of an object whose members of given names
// are arrays, the values are the elements of these. It reads names that are there
// twice and bad UTF-8, which are for [Parse] to refuse, and keeps some multiples
// of the largest value that is allowed.
type Stream struct {
	d     *jsontext.Decoder
	in    source
	max   int
	names []string
	base  int64 // where d began

	// Beside is told of members with these names that stand beside arrays of values, as they come by. The bytes are
	// valid during the call.
	Beside map[string]func(value []byte)
}

// NewStream makes a Stream of values of at most max bytes. The first array of
// a given name is looked for in as many bytes of its object.
func NewStream(r io.Reader, max int, names ...string) *Stream {
	s := &Stream{d: new(jsontext.Decoder), in: source{r: r}, max: max, names: names}
	s.start(nil, Place{Line: 1})
	return s
}

// start reads on with a text that was read before, and began there.
func (s *Stream) start(text []byte, at Place) {
	s.base = at.Offset
	s.in.again, s.in.lines, s.in.left = append(text, s.in.again...), at.Line-1, s.max
	s.d.Reset(&s.in, lenient...)
}

// lenient are the options of a Stream's decoders.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// source counts lines, and gives so many bytes only.
type source struct {
	again []byte // what comes before r
	r     io.Reader
	left  int
	lines int64
}

func (s *source) Read(p []byte) (n int, err error) {
	if s.left == 0 {
		return 0, errLarge
	}
	p = p[:min(len(p), s.left, 4096)] // what is read ahead is small
	if n = copy(p, s.again); n > 0 {
		s.again = s.again[n:]
	} else {
		n, err = s.r.Read(p)
	}
	s.left -= n
	s.lines += lines(p[:n])
	return n, err
}

func lines(b []byte) int64 { return int64(bytes.Count(b, []byte("\n"))) }

// rest is what was read of the next value, and perhaps more.
func (s *Stream) rest() []byte {
	before := " \t\r\n"
	if s.d.StackDepth() > 0 {
		before += ",:"
	}
	return bytes.TrimLeft(s.d.UnreadBuffer(), before)
}

func (s *Stream) place() Place {
	all, rest := s.d.UnreadBuffer(), s.rest()
	return Place{1 + s.in.lines - lines(rest), s.base + s.d.InputOffset() + int64(len(all)-len(rest))}
}

// Next returns the next value and where it begins. The bytes are valid until
// the next call. An *Error concerns this value alone: the next call goes on
// behind it, which behind one that is not JSON is at the next line that begins
// with an object or array. io.EOF is the end, any other error is too.
func (s *Stream) Next() (value []byte, at Place, err error) {
	for {
		s.in.left = s.max
		next := s.d.PeekKind()
		at = s.place()
		depth := s.d.StackDepth()
		inside, _ := s.d.StackIndex(depth)
		s.in.left = s.max
		switch {
		case next == '}' || next == ']' || next == '[' && depth == 0:
			_, err = s.d.ReadToken()
		case inside == '{':
			var found bool
			var name string
			if name, found, err = s.opens(s.d); found {
				_, err = s.d.ReadToken()
			} else if err == nil && s.Beside[name] != nil {
				if value, err = s.d.ReadValue(); err == nil {
					s.Beside[name](value)
				}
			} else if err == nil {
				err = s.skip()
			}
		default:
			value, err = s.d.ReadValue()
			if next == '{' && depth == 0 && s.descend(value, at) {
				continue
			}
			if err == nil && len(value) > s.max {
				return nil, at, s.large(at)
			}
			if err == nil {
				return value, at, nil
			}
		}
		if err != nil {
			return nil, at, s.broken(err, at, depth == 0)
		}
	}
}

// opens reads a member's name, and reports whether an array of values follows.
func (s *Stream) opens(d *jsontext.Decoder) (name string, found bool, err error) {
	token, err := d.ReadToken()
	if err != nil {
		return "", false, err
	}
	name = token.String()
	return name, slices.Contains(s.names, name) && d.PeekKind() == '[', nil
}

// descend goes into an object, of which a value was read or not, if it has
// arrays of values.
func (s *Stream) descend(value []byte, at Place) bool {
	text := s.rest()
	if value != nil {
		text = value
	}
	if !slices.ContainsFunc(s.names, func(name string) bool { return bytes.Contains(text, []byte(name)) }) {
		return false
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(text), lenient...)
	_, found, err := s.opens(d) // the bracket
	for !found && err == nil {
		if _, found, err = s.opens(d); !found && err == nil {
			err = d.SkipValue()
		}
	}
	if found {
		text = bytes.Clone(text)
		if value != nil {
			text = append(text, s.d.UnreadBuffer()...)
		}
		s.start(text, at)
		_, err = s.d.ReadToken()
	}
	return found && err == nil
}

// skip goes over a value of any size, each of whose parts is not too large.
func (s *Stream) skip() error {
	for depth := s.d.StackDepth(); ; {
		s.in.left = s.max
		if _, err := s.d.ReadToken(); err != nil || s.d.StackDepth() == depth {
			return err
		}
	}
}

func (s *Stream) large(at Place) *Error {
	return &Error{int(at.Offset), fmt.Sprintf("larger than %d bytes", s.max)}
}

// broken continues after what could not be read, if that is possible.
func (s *Stream) broken(err error, at Place, top bool) error {
	reason := syntax(err, int(at.Offset))
	_, isSyntax := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, errLarge):
		if reason = s.large(at); s.skip() == nil {
			return reason
		}
	case !isSyntax:
		return err // the end, or an error of the reader
	}
	if top && (s.resume() || !errors.Is(err, io.ErrUnexpectedEOF)) {
		return reason
	}
	return fmt.Errorf("%s: %w", reason.Message, ErrStream)
}

// resume goes to the next line that begins with an object or array, or to the
// end.
func (s *Stream) resume() bool {
	at := s.place()
	s.start(bytes.Clone(s.rest()), at)
	next := make([]byte, 1)
	for last := byte(0); ; {
		s.in.left = 1
		if n, err := s.in.Read(next); n == 0 && err != nil {
			s.start(nil, at)
			return false
		}
		if last == '\n' && (next[0] == '{' || next[0] == '[') {
			s.start(next, at)
			return true
		}
		last = next[0]
		at.Offset++
		at.Line += lines(next)
	}
}
