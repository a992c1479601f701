// Package jsonx reads JSON texts that have a single meaning, with jsontext:
// RFC 8259 in UTF-8, no name twice in one object, no unpaired surrogate,
// nothing behind the value. encoding/json keeps the last of two members with
// one name, repairs bad UTF-8 and does not say where a value stood.
package jsonx

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal stores a JSON text in a Go value. Unlike encoding/json's it tells
// names apart by case and refuses one that is there twice.
func Unmarshal(src []byte, v any) error { return json.Unmarshal(src, v) }

// MaxDepth is how many objects and arrays may be inside each other. OCSF
// events are around ten deep; the rest is room for their free-form parts.
const MaxDepth = 64

// Error is why a text cannot be read, and where.
type Error struct {
	Offset  int // in bytes
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Message) }

// syntax makes an Error of what a decoder returned behind pos.
func syntax(err error, pos int) *Error {
	var s *jsontext.SyntacticError
	switch {
	case err == io.EOF:
		return &Error{pos, "the text ends where a value is expected"}
	case !errors.As(err, &s):
		return &Error{pos, err.Error()}
	case errors.Is(err, jsontext.ErrDuplicateName):
		return &Error{int(s.ByteOffset), "the member " + Quote(s.JSONPointer.LastToken(), 64) + " is there twice"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{int(s.ByteOffset), "the text ends inside a value"}
	}
	return &Error{int(s.ByteOffset), Cut(s.Err.Error(), 200)}
}
