package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

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
		for raw, err := range items(r, o, layout{}, nil) {
			if raw.JSON = bytes.Clone(raw.JSON); !yield(raw, err) {
				return
			}
		}
	}
}

// layout is how a format's files hold its items. The members are those of a top-level object.
type layout struct {
	containers []string // arrays of items
	more       []string // that say there is more: a token of the next page, keys that were not processed
	read       string   // when it was read
}

// items are the values of the input, or the elements of an array, or of the containers. Bytes are valid until the next
// one. After an error that is no *Problem there is none. read is told when the source says that the items were read.
func items(r io.Reader, o Options, l layout, read func(time.Time)) iter.Seq2[Raw, error] {
	return func(yield func(Raw, error) bool) {
		if o.MaxItem <= 0 {
			o.MaxItem = DefaultMaxItem
		}
		in, err := plain(r)
		if err != nil {
			yield(Raw{}, err)
			return
		}
		s := jsonx.NewStream(in, o.MaxItem, l.containers...)
		more, end := l.watch(s, read), false
		for {
			raw, place, err := s.Next()
			if end = err == io.EOF; end && *more == "" {
				return
			}
			if end { // the headers can stand behind the items
				yield(Raw{}, &Problem{Position: Position(place), Reason: *more, More: true})
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

// watch looks at what stands beside the containers. The text says why the input is not all.
func (l layout) watch(s *jsonx.Stream, read func(time.Time)) (more *string) {
	more, s.Beside = new(string), map[string]func([]byte){}
	for _, name := range l.more {
		s.Beside[name] = func(value []byte) {
			if v := string(value); v != "null" && v != `""` && v != "[]" {
				*more = name + ": this is one page, or a part, and not all that the source has"
			}
		}
	}
	if l.read != "" {
		s.Beside[l.read] = func(value []byte) {
			if ms, ok := millis(strings.Trim(string(value), `"`)); ok {
				read(time.UnixMilli(ms).UTC())
			}
		}
	}
	return more
}
