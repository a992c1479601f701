package monitor

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Events are read in their hundreds of thousands, and encoding/json reads each
// byte several times. What is here takes a checked JSON text apart in one
// pass. It knows the usual form of events; of anything else it says "not ok",
// and encoding/json decides.

// splitter takes one JSON text apart that is known to be well-formed.
type splitter struct {
	data []byte
	pos  int
}

func (s *splitter) space() {
	for s.pos < len(s.data) && strings.IndexByte(" \t\n\r", s.data[s.pos]) >= 0 {
		s.pos++
	}
}

func (s *splitter) next(c byte) bool {
	if s.space(); s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// text reads a string without escapes.
func (s *splitter) text() (text []byte, ok bool) {
	if !s.next('"') {
		return nil, false
	}
	end := bytes.IndexByte(s.data[s.pos:], '"')
	if end < 0 {
		return nil, false
	}
	text = s.data[s.pos : s.pos+end]
	s.pos += end + 1
	return text, bytes.IndexByte(text, '\\') < 0
}

// value passes over a value and gives its bytes.
func (s *splitter) value() (raw []byte, ok bool) {
	s.space()
	start, depth := s.pos, 0
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case '"':
			for s.pos++; s.pos < len(s.data) && s.data[s.pos] != '"'; s.pos++ {
				if s.data[s.pos] == '\\' {
					s.pos++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return s.data[start:s.pos], s.pos > start
			}
			depth--
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return s.data[start:s.pos], s.pos > start
			}
			s.pos++
			continue
		default:
			s.pos++
			continue
		}
		if s.pos++; depth == 0 {
			break
		}
	}
	end := min(s.pos, len(s.data))
	return s.data[start:end], depth == 0 && s.pos <= len(s.data) && end > start
}

// members gives the members of an object to yield. It says whether the text
// was one of the usual form.
func members(object []byte, yield func(name string, raw []byte) bool) bool {
	s := splitter{data: object}
	if !s.next('{') {
		return false
	}
	if s.next('}') {
		return true
	}
	for {
		name, ok := s.text()
		if !ok || !s.next(':') {
			return false
		}
		raw, ok := s.value()
		if !ok || !yield(string(name), raw) {
			return false
		}
		if s.next('}') {
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

// elements are those of an array.
func elements(array []byte) (list []json.RawMessage, ok bool) {
	s := splitter{data: array}
	if !s.next('[') {
		return nil, false
	}
	list = []json.RawMessage{}
	if s.next(']') {
		return list, true
	}
	for {
		raw, ok := s.value()
		if !ok {
			return nil, false
		}
		list = append(list, raw)
		if s.next(']') {
			return list, true
		}
		if !s.next(',') {
			return nil, false
		}
	}
}

// readRaw is json.Unmarshal into the raw event, which has aliases of the data.
func readRaw(data []byte) (*rawEvent, error) {
	var r rawEvent
	if members(data, r.member) {
		return &r, nil
	}
	r = rawEvent{}
	return &r, json.Unmarshal(data, &r)
}

// member notes one member of the event; false leaves the event to encoding/json,
// which says in its own words what is wrong.
func (r *rawEvent) member(name string, raw []byte) bool {
	ok := true
	switch name {
	case "resources":
		r.Resources, ok = elements(raw)
	case "device":
		r.Device = &rawEntity{}
		ok = r.Device.read(raw)
	case "entity":
		r.Entity = raw
	case "entity_result":
		r.EntityResult = raw
	case "unmapped":
		ok = json.Unmarshal(raw, &r.Unmapped) == nil
	case "state_id":
		ok = json.Unmarshal(raw, &r.StateID) == nil
	case "security_level_id":
		ok = json.Unmarshal(raw, &r.SecurityLevelID) == nil
	case "security_states":
		ok = json.Unmarshal(raw, &r.SecurityStates) == nil
	}
	return ok
}

// readEntity is json.Unmarshal into an entity, which has aliases of the data.
func readEntity(data []byte) (rawEntity, error) {
	var e rawEntity
	if e.read(data) {
		return e, nil
	}
	e = rawEntity{}
	return e, json.Unmarshal(data, &e)
}

func (e *rawEntity) read(data []byte) bool {
	return members(data, func(name string, raw []byte) bool {
		switch name {
		case "uid":
			s := splitter{data: raw}
			text, ok := s.text()
			e.UID = string(text)
			return ok
		case "data":
			e.Data = raw
		}
		return true
	})
}

// isCanonical says of some JSON texts that they are in JCS form: objects and
// arrays of printable ASCII without escapes, integers up to 2^53-1, true,
// false and null. Of all others it does not know. The text is known to be
// well-formed.
func isCanonical(data []byte) bool {
	if len(data) == 0 || data[0] != '{' && data[0] != '[' {
		return false
	}
	s := splitter{data: data}
	return s.canonical() && s.pos == len(data)
}

func (s *splitter) canonical() bool {
	if s.pos >= len(s.data) {
		return false
	}
	switch c := s.data[s.pos]; {
	case c == '{':
		return s.canonicalObject()
	case c == '[':
		return s.canonicalArray()
	case c == '"':
		_, ok := s.canonicalText()
		return ok
	case c == '-' || c >= '0' && c <= '9':
		return s.canonicalInteger()
	}
	for _, literal := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.data[s.pos:], []byte(literal)) {
			s.pos += len(literal)
			return true
		}
	}
	return false
}

func (s *splitter) is(c byte) bool {
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *splitter) canonicalText() (text []byte, ok bool) {
	if !s.is('"') {
		return nil, false
	}
	for start := s.pos; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return s.data[start : s.pos-1], true
		case c == '\\' || c < 0x20 || c > 0x7e:
			return nil, false
		}
	}
	return nil, false
}

// canonicalInteger takes integers of up to 15 digits, which are all below 2^53.
func (s *splitter) canonicalInteger() bool {
	negative := s.is('-')
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	n := s.pos - start
	if n == 0 || n > 15 || s.data[start] == '0' && (n > 1 || negative) {
		return false
	}
	return s.pos == len(s.data) || strings.IndexByte(",]}", s.data[s.pos]) >= 0
}

func (s *splitter) canonicalObject() bool {
	s.pos++
	if s.is('}') {
		return true
	}
	for before := []byte(nil); ; {
		name, ok := s.canonicalText()
		// RFC 8785 section 3.2.3 sorts by UTF-16 code units, which for ASCII are the bytes.
		if !ok || before != nil && bytes.Compare(before, name) >= 0 || !s.is(':') || !s.canonical() {
			return false
		}
		before = name
		if s.is('}') {
			return true
		}
		if !s.is(',') {
			return false
		}
	}
}

func (s *splitter) canonicalArray() bool {
	s.pos++
	if s.is(']') {
		return true
	}
	for {
		if !s.canonical() {
			return false
		}
		if s.is(']') {
			return true
		}
		if !s.is(',') {
			return false
		}
	}
}
