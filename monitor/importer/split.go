package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/conmotion/conmotion/internal/jsonx"
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

// Raw is an item of the input as it stands there.
type Raw struct {
	JSON     []byte
	Position Position
}

// Split divides input into its items and converts nothing: JSON values one after the other, as in JSON lines, or in an
// array; with gzip or without. That an item has a single meaning is not checked. Errors are those of the other functions
// of this package.
func Split(r io.Reader, o Options) iter.Seq2[Raw, error] {
	return func(yield func(Raw, error) bool) {
		for raw, err := range items(r, o, nil) {
			if raw.JSON = bytes.Clone(raw.JSON); !yield(raw, err) {
				return
			}
		}
	}
}

// items are the values of the input, or the elements of an array, or of the arrays that are the members containers of a
// top-level object. Bytes are valid until the next one. After an error that is no *Problem there is none.
func items(r io.Reader, o Options, containers []string) iter.Seq2[Raw, error] {
	return func(yield func(Raw, error) bool) {
		if o.MaxItem <= 0 {
			o.MaxItem = DefaultMaxItem
		}
		in, err := plain(r)
		if err != nil {
			yield(Raw{}, err)
			return
		}
		for s := jsonx.NewStream(in, o.MaxItem, containers...); ; {
			raw, place, err := s.Next()
			if err == io.EOF {
				return
			}
			at := Position(place)
			bad, isProblem := errors.AsType[*jsonx.Error](err)
			if isProblem {
				err = &Problem{Position: at, Reason: bad.Message}
			} else if err != nil {
				err = fmt.Errorf("importer: %s: %w", at, err)
			}
			if !yield(Raw{raw, at}, err) || err != nil && !isProblem {
				return
			}
		}
	}
}
