package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// Raw is an item of the input as it stands there.
type Raw struct {
	JSON     []byte
	Position Position
}

// Split divides input into its items and converts nothing: JSON values one after the other, as in JSON lines, or in an
// array; in UTF-8 or UTF-16, with gzip or without. That an item has a single meaning is not checked. Errors are those of the other functions
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
	total      []string // how many there are in all pages
	read       string   // when it was read
}

// page is one of several: how many items it has of all, and what it says of the next.
type page struct {
	items, total int64
	next         string
}

// items are the values of the input, or the elements of an array, or of the containers. Bytes are valid until the next
// one. After an error that is no *Problem there is none. read is told when the source says that the items were read.
func items(r io.Reader, o Options, l layout, read func(time.Time)) iter.Seq2[Raw, error] {
	return func(yield func(Raw, error) bool) {
		if o.maxItem <= 0 {
			o.maxItem = defaultMaxItem
		}
		in, err := unpacked(r)
		if err != nil {
			yield(Raw{}, err)
			return
		}
		s := jsonx.NewStream(in, o.maxItem, l.containers...)
		var n int64
		more, page := l.watch(s, read)
		for {
			raw, at, err := s.Next()
			if err == io.EOF { // the headers can stand behind the items
				if page.items = n; page.total > n && *more == "" {
					*more = fmt.Sprintf("%d of %d: this is one page, and not all that the source has", n, page.total)
				}
				if *more != "" {
					yield(Raw{}, &Problem{Position: at, Reason: *more, More: true, page: *page})
				}
				return
			}
			n++
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

// watch looks at what stands beside the containers. The text says why the input is not all. A name with a dot is that of
// a member of a member.
func (l layout) watch(s *jsonx.Stream, read func(time.Time)) (more *string, p *page) {
	more, p, s.Beside = new(string), new(page), map[string]func([]byte){}
	for _, name := range l.more {
		beside(s, name, func(value []byte) {
			switch v := string(value); v {
			case "null", `""`, "[]", "false", `"false"`:
			default:
				*more, p.next = name+": this is one page, or a part, and not all that the source has", v
			}
		})
	}
	for _, name := range l.total {
		beside(s, name, func(value []byte) { _ = json.Unmarshal(value, &p.total) }) // text says nothing
	}
	if l.read != "" {
		beside(s, l.read, func(value []byte) {
			if ms, ok := millis(strings.Trim(string(value), `"`)); ok {
				read(time.UnixMilli(ms).UTC())
			}
		})
	}
	return more, p
}

// beside has f called for a member that stands beside the containers, or for a member of it: metadata.timestamp.
func beside(s *jsonx.Stream, name string, f func(value []byte)) {
	outer, inner, nested := strings.Cut(name, ".")
	s.Beside[outer] = func(value []byte) {
		if nested {
			var o map[string]json.RawMessage
			if json.Unmarshal(value, &o) != nil || o[inner] == nil {
				return
			}
			value = o[inner]
		}
		f(value)
	}
}
