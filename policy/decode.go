package policy

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// ErrInvalid is wrapped by every error of [Parse].
var ErrInvalid = errors.New("not a valid Registration Policy")

// maxErrors is how many errors of a document are reported.
const maxErrors = 20

// SyntaxError is one error in a policy document.
type SyntaxError struct {
	Line    int    `json:"line,omitempty"`   // of the place, from 1
	Column  int    `json:"column,omitempty"` // from 1, in bytes
	Path    string `json:"path,omitempty"`   // of the member, such as rules[2].expr; "" for the document
	Message string `json:"message"`

	pos int
}

// In is the error with its place in a file, as compilers write it.
func (e *SyntaxError) In(file string) string {
	if e.Line > 0 {
		file = fmt.Sprintf("%s:%d:%d", file, e.Line, e.Column)
	}
	if e.Path != "" {
		file += ": " + e.Path
	}
	return file + ": " + e.Message
}

func (e *SyntaxError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	}
	return fmt.Sprintf("line %d, column %d: %s: %s", e.Line, e.Column, e.Path, e.Message)
}

// ParseError holds the errors that were found in a document, in its order. It
// wraps ErrInvalid.
type ParseError struct{ Errors []*SyntaxError }

func (e *ParseError) Error() string {
	if len(e.Errors) == 1 {
		return fmt.Sprintf("%v: %v", ErrInvalid, e.Errors[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %d errors", ErrInvalid, len(e.Errors))
	for _, err := range e.Errors {
		fmt.Fprintf(&b, "\n\t%v", err)
	}
	return b.String()
}

func (e *ParseError) Unwrap() error { return ErrInvalid }

// node is a value of a document.
type node struct {
	kind   jsonx.Kind
	pos    int    // in bytes
	key    string // the name of a member
	keyPos int
	text   string // of a string, number or boolean
	json   string // as it is written
	items  []node
}

func parseNode(doc []byte) (*node, error) {
	t, err := jsonx.Parse(bytes.Clone(doc))
	if err != nil {
		return nil, err
	}
	n := newNode(t, 0)
	return &n, nil
}

func newNode(t *jsonx.Tree, i int32) node {
	n := node{kind: t.Kind(i), pos: t.Pos(i), key: t.Name(i), keyPos: t.NamePos(i), text: t.Text(i), json: t.JSON(i)}
	for m := t.First(i); m != 0; m = t.Next(m) {
		n.items = append(n.items, newNode(t, m))
	}
	return n
}

// member finds a member of an object.
func (n *node) member(key string) *node {
	if n.kind != jsonx.Object {
		return nil
	}
	for i := range n.items {
		if n.items[i].key == key {
			return &n.items[i]
		}
	}
	return nil
}

// decoder reads a document and collects what is wrong with it.
type decoder struct {
	src  string
	errs []*SyntaxError
}

func (d *decoder) errorf(pos int, path, format string, args ...any) {
	if len(d.errs) >= maxErrors {
		return
	}
	line := 1 + strings.Count(d.src[:pos], "\n")
	column := pos - strings.LastIndexByte(d.src[:pos], '\n')
	d.errs = append(d.errs, &SyntaxError{line, column, path, fmt.Sprintf(format, args...), pos})
}

func (d *decoder) err() error {
	if len(d.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(d.errs, func(a, b *SyntaxError) int { return a.pos - b.pos })
	return &ParseError{d.errs}
}

// is reports whether a value has the kind that belongs there.
func (d *decoder) is(n *node, path string, k jsonx.Kind) bool {
	if n.kind != k {
		d.errorf(n.pos, path, "expected %s, found %s", article(k), article(n.kind))
	}
	return n.kind == k
}

func article(k jsonx.Kind) string {
	switch k {
	case jsonx.Null:
		return "null"
	case jsonx.Array, jsonx.Object:
		return "an " + k.String()
	}
	return "a " + k.String()
}

// fields say how each member of an object is read.
type fields map[string]func(n *node, path string)

// object reads an object that may have these members and no others.
func (d *decoder) object(n *node, path string, f fields, required ...string) {
	if !d.is(n, path, jsonx.Object) {
		return
	}
	for i := range n.items {
		m := &n.items[i]
		at := join(path, m.key)
		if read, ok := f[m.key]; ok {
			read(m, at)
		} else {
			d.errorf(m.keyPos, at, "unknown field%s", suggestion(m.key, f))
		}
	}
	for _, r := range required {
		if n.member(r) == nil {
			d.errorf(n.pos, join(path, r), "missing")
		}
	}
}

func join(path, key string) string {
	if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		key = quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// suggestion names the known field that is nearest to an unknown one.
func suggestion(key string, f fields) string {
	best, least := "", 3
	for known := range f {
		if n := distance(key, known); n < least || n == least && known < best {
			best, least = known, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the Levenshtein distance of two names.
func distance(a, b string) int {
	if len(a) > 40 {
		return math.MaxInt
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// each reads the elements of an array. An empty one is an error: it could
// mean "none" or "any", and the reader of a policy must not have to guess.
func (d *decoder) each(n *node, path string, f func(n *node, path string)) {
	if !d.is(n, path, jsonx.Array) {
		return
	}
	if len(n.items) == 0 {
		d.errorf(n.pos, path, "the array is empty; leave the field out instead")
	}
	for i := range n.items {
		f(&n.items[i], fmt.Sprintf("%s[%d]", path, i))
	}
}

func (d *decoder) text(to *string) func(n *node, path string) {
	return func(n *node, path string) {
		if !d.is(n, path, jsonx.String) {
			return
		}
		if *to = n.text; n.text == "" {
			d.errorf(n.pos, path, "the text is empty")
		}
	}
}

// texts reads an array of different texts, each of which check may refuse.
func (d *decoder) texts(to *[]string, check func(s string) error) func(n *node, path string) {
	return func(n *node, path string) {
		seen := map[string]bool{}
		d.each(n, path, func(n *node, path string) {
			var s string
			if d.text(&s)(n, path); s == "" {
				return
			}
			if seen[s] {
				d.errorf(n.pos, path, "%s is there twice", quote(s))
			} else if err := check(s); err != nil {
				d.errorf(n.pos, path, "%v", err)
			}
			seen[s] = true
			*to = append(*to, s)
		})
	}
}

func (d *decoder) integer(to *int64, least, most int64) func(n *node, path string) {
	return func(n *node, path string) {
		if !d.is(n, path, jsonx.Number) {
			return
		}
		v, ok := number(n.text).(int64)
		if !ok || v < least || v > most {
			d.errorf(n.pos, path, "expected an integer from %d to %d, found %s", least, most, n.text)
			return
		}
		*to = v
	}
}

// choice reads one of the allowed words.
func choice[T ~string](d *decoder, to *T, allowed ...T) func(n *node, path string) {
	return func(n *node, path string) {
		if !d.is(n, path, jsonx.String) {
			return
		}
		for _, a := range allowed {
			if string(a) == n.text {
				*to = a
				return
			}
		}
		d.errorf(n.pos, path, "expected one of %q, found %s", allowed, quote(n.text))
	}
}
