package importer

import (
	"bytes"
	"errors"
	"io"
	"iter"
)

// Raw is an item of the input as it stands there.
type Raw struct {
	JSON     []byte
	Position Position
}

// Split divides input into its items and converts nothing: JSON values one
// after the other, as in JSON lines, or in an array; with gzip or without. That
// an item is JSON is not checked. Errors are those of the other functions of this
// package.
func Split(r io.Reader, o Options) iter.Seq2[Raw, error] {
	return func(yield func(Raw, error) bool) {
		if o.MaxItem <= 0 {
			o.MaxItem = DefaultMaxItem
		}
		r, err := plain(r)
		if err != nil {
			yield(Raw{}, err)
			return
		}
		s := newSplitter(r, o.MaxItem, nil)
		for {
			raw, at, err := s.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				if _, ok := errors.AsType[*Problem](err); !yield(Raw{Position: at}, err) || !ok {
					return
				}
				continue
			}
			if !yield(Raw{bytes.Clone(raw), at}, nil) {
				return
			}
		}
	}
}
