package jsonx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sync"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind is what a value is.
type Kind uint8

// The six kinds of RFC 8259 section 3, with true and false as one.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

func (k Kind) String() string {
	return [...]string{"null", "boolean", "number", "string", "array", "object"}[k]
}

// Tree is a parsed JSON text. Its values are numbered in the order of the
// text: the root is 0, and the first child of n is n+1. Strings that it
// returns alias the text, which must not change while they are in use.
type Tree struct {
	src       []byte
	nodes     []node
	unescaped map[uint32]string          // names and strings with escapes, by where they begin
	index     map[int32]map[string]int32 // the members of large objects that Member was asked for
}

// node is one value. It has no pointers, so that the garbage collector need
// not look into a Tree.
type node struct {
	pos, end         uint32 // its bytes, of a string with the quotes
	namePos, nameEnd uint32 // those of a member's name; an element has none
	next             int32  // the next member or element of the same parent, 0 behind the last
	len              int32  // how many members or elements there are
	kind             Kind
	escapes          bool // in its name or string: those are in unescaped
}

// Parse reads one JSON text. Errors are an *Error.
func Parse(src []byte) (*Tree, error) { return parse(src) }

// ParseLoose is Parse for texts whose objects may repeat a name.
func ParseLoose(src []byte) (*Tree, error) { return parse(src, jsontext.AllowDuplicateNames(true)) }

// decoders keeps decoders for reuse: a new one costs as much as a small text.
var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// nodes keeps those of trees that were freed.
var nodes sync.Pool

// Free gives the memory of a tree to the next one. Nothing can be read of it any more, and what was read before stays.
func (t *Tree) Free() {
	if kept := t.nodes; cap(kept) <= maxKept {
		nodes.Put(&kept)
	}
	*t = Tree{}
}

// maxKept is how many nodes are worth keeping: a large text has its own.
const maxKept = 1 << 12

func parse(src []byte, options ...jsontext.Options) (*Tree, error) {
	if len(src) > math.MaxInt32 {
		return nil, &Error{0, "the text is larger than 2 GiB"}
	}
	d := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(d)
	d.Reset(bytes.NewBuffer(src), options...)
	t := &Tree{src: src}
	if kept, ok := nodes.Get().(*[]node); ok {
		t.nodes = (*kept)[:0]
	} else {
		t.nodes = make([]node, 0, 16+len(src)/20)
	}
	if err := t.read(d); err != nil {
		return nil, err
	}
	end := d.InputOffset()
	if _, err := d.ReadToken(); err != io.EOF {
		rest := bytes.TrimLeft(src[end:], " \t\r\n")
		return nil, &Error{len(src) - len(rest), "something follows the JSON value"}
	}
	return t, nil
}

// read reads the tokens of one value.
func (t *Tree) read(d *jsontext.Decoder) error {
	var (
		open    [MaxDepth + 1]struct{ node, last int32 } // the objects and arrays that are not closed yet, from 1
		depth   int
		inside  Kind // what open[depth] is
		name    node // the next value as far as its name says, if it is a member
		src     = t.src
		pos     = 0
		escapes = bytes.IndexByte(src, '\\') >= 0
	)
	for {
		if _, err := d.ReadToken(); err != nil {
			return syntax(err, pos)
		}
		for separator(src[pos]) {
			pos++
		}
		n := name
		n.pos, n.end = uint32(pos), uint32(d.InputOffset())
		pos = int(n.end)
		switch c := src[n.pos]; c {
		case '}', ']':
			t.nodes[open[depth].node].end = n.end
			if depth--; depth == 0 {
				return nil
			}
			inside = t.nodes[open[depth].node].kind
			continue
		case '"':
			if escapes && bytes.IndexByte(src[n.pos:n.end], '\\') >= 0 {
				t.unescape(n.pos, n.end)
				n.escapes = true
			}
			if inside == Object && name.nameEnd == 0 {
				name = node{namePos: n.pos, nameEnd: n.end, escapes: n.escapes}
				continue
			}
			n.kind = String
		default:
			n.kind = kinds[c]
		}
		name = node{}
		i := int32(len(t.nodes))
		t.nodes = append(t.nodes, n)
		if depth > 0 {
			parent := &open[depth]
			t.nodes[parent.node].len++
			if parent.last != 0 {
				t.nodes[parent.last].next = i
			}
			parent.last = i
		} else if n.kind < Array {
			return nil
		}
		if n.kind >= Array {
			if depth == MaxDepth {
				return &Error{int(n.pos), fmt.Sprintf("nested deeper than %d levels", MaxDepth)}
			}
			depth++
			open[depth].node, open[depth].last = i, 0
			inside = n.kind
		}
	}
}

// kinds are those of the values that begin with a byte.
var kinds = [256]Kind{'t': Bool, 'f': Bool, '[': Array, '{': Object, '-': Number,
	'0': Number, '1': Number, '2': Number, '3': Number, '4': Number, '5': Number, '6': Number, '7': Number, '8': Number, '9': Number}

func separator(c byte) bool {
	return c == ',' || c == ':' || c == ' ' || c == '\n' || c == '\t' || c == '\r'
}

func (t *Tree) unescape(pos, end uint32) {
	text, err := jsontext.AppendUnquote(nil, t.src[pos:end])
	if err != nil {
		panic(err) // the decoder has read the string
	}
	if t.unescaped == nil {
		t.unescaped = map[uint32]string{}
	}
	t.unescaped[pos] = view(text)
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// text is the string between two quotes, the name or the value of v.
func (t *Tree) text(v *node, pos, end uint32) string {
	if v.escapes {
		if s, ok := t.unescaped[pos]; ok {
			return s
		}
	}
	return view(t.src[pos+1 : end-1])
}

// Kind is the kind of the value n.
func (t *Tree) Kind(n int32) Kind { return t.nodes[n].kind }

// Pos is the offset of n in bytes.
func (t *Tree) Pos(n int32) int { return int(t.nodes[n].pos) }

// NamePos is the offset of the name of member n.
func (t *Tree) NamePos(n int32) int { return int(t.nodes[n].namePos) }

// Name is the name of member n, "" of what is none.
func (t *Tree) Name(n int32) string {
	v := &t.nodes[n]
	if v.nameEnd == 0 {
		return ""
	}
	return t.text(v, v.namePos, v.nameEnd)
}

// Text is a string without quotes and escapes, the JSON of a number, boolean
// or null, and "" of an array or object.
func (t *Tree) Text(n int32) string {
	switch v := &t.nodes[n]; v.kind {
	case String:
		return t.text(v, v.pos, v.end)
	case Array, Object:
		return ""
	default:
		return view(t.src[v.pos:v.end])
	}
}

// JSON is n as it is written.
func (t *Tree) JSON(n int32) string { return view(t.src[t.nodes[n].pos:t.nodes[n].end]) }

// Len is how many members or elements n has.
func (t *Tree) Len(n int32) int { return int(t.nodes[n].len) }

// First is the first member or element of n, 0 if there is none.
func (t *Tree) First(n int32) int32 {
	if t.nodes[n].len == 0 {
		return 0
	}
	return n + 1
}

// Next is the member or element behind n, 0 if n is the last.
func (t *Tree) Next(n int32) int32 { return t.nodes[n].next }

// indexed is the size from which an object's members are indexed, so that
// looking all of them up does not take the square of the time.
const indexed = 32

// Member is the value of a member, 0 if n is not an object or has no such member.
func (t *Tree) Member(n int32, name string) int32 {
	if t.nodes[n].kind != Object {
		return 0
	}
	if t.nodes[n].len >= indexed {
		return t.members(n)[name]
	}
	for m := t.First(n); m != 0; m = t.nodes[m].next {
		if v := &t.nodes[m]; (v.escapes || int(v.nameEnd-v.namePos) == len(name)+2) && t.text(v, v.namePos, v.nameEnd) == name {
			return m
		}
	}
	return 0
}

// Find is the value at the end of a path of members from the root, 0 if there
// is none.
func (t *Tree) Find(path ...string) (n int32) {
	for _, name := range path {
		if n = t.Member(n, name); n == 0 {
			break
		}
	}
	return n
}

func (t *Tree) members(n int32) map[string]int32 {
	index, ok := t.index[n]
	if !ok {
		index = make(map[string]int32, t.nodes[n].len)
		for m := t.First(n); m != 0; m = t.nodes[m].next {
			index[t.Name(m)] = m
		}
		if t.index == nil {
			t.index = map[int32]map[string]int32{}
		}
		t.index[n] = index
	}
	return index
}

// Any is n as encoding/json decodes it with UseNumber. Its strings are parts of one copy of the text.
func (t *Tree) Any(n int32) any {
	own := *t
	own.src = bytes.Clone(t.src)
	return own.value(n)
}

func (t *Tree) value(n int32) any {
	switch t.nodes[n].kind {
	case Bool:
		return t.src[t.nodes[n].pos] == 't'
	case Number:
		return json.Number(t.Text(n))
	case String:
		return t.Text(n)
	case Array:
		list := make([]any, 0, t.nodes[n].len)
		for m := t.First(n); m != 0; m = t.nodes[m].next {
			list = append(list, t.value(m))
		}
		return list
	case Object:
		object := make(map[string]any, t.nodes[n].len)
		for m := t.First(n); m != 0; m = t.nodes[m].next {
			object[t.Name(m)] = t.value(m)
		}
		return object
	}
	return nil
}
