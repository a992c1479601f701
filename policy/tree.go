package policy

import (
	"math"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types/ref"
)

// tree is a parsed JSON text. encoding/json is not used because it keeps the
// last of two members with one name, repairs bad UTF-8 silently and does not
// say where a value stood.
type tree struct {
	src       string
	cells     []cell // in the order of the text, the first child of i at i+1
	unescaped []string
	index     map[int32]map[string]int32 // of the objects with many members
	values    map[int32]ref.Val          // of the arrays and objects that a rule has read
}

// cell is one value of a tree. It has no pointers: a tree is one allocation
// that the garbage collector need not look into.
type cell struct {
	kind     kind
	pos, end int32 // its bytes in the source
	// The bytes of a member's name without quotes; keyEnd is the complement of
	// the place in unescaped when it has escapes. keyPos is 0 for no member.
	keyPos, keyEnd int32
	next           int32 // the cell behind this one and all that is in it
	// The number of items of an array or object; of a string with escapes the
	// complement of the place in unescaped.
	count int32
}

func (t *tree) key(i int32) string {
	c := &t.cells[i]
	if c.keyEnd < 0 {
		return t.unescaped[^c.keyEnd]
	}
	return t.src[c.keyPos:c.keyEnd]
}

// text is that of a string, number or boolean.
func (t *tree) text(i int32) string {
	switch c := &t.cells[i]; {
	case c.kind != kindString:
		return t.src[c.pos:c.end]
	case c.count < 0:
		return t.unescaped[^c.count]
	default:
		return t.src[c.pos+1 : c.end-1]
	}
}

// indexed is the size from which an object gets an index, so that neither
// the search for duplicates nor a rule's lookups grow with its square.
const indexed = 32

// member finds a member of the object i; 0, which is nobody's member, when
// there is none.
func (t *tree) member(i int32, key string) int32 {
	if index, ok := t.index[i]; ok {
		return index[key]
	}
	for m := i + 1; m < t.cells[i].next; m = t.cells[m].next {
		if t.key(m) == key {
			return m
		}
	}
	return 0
}

// node is a value of a tree as a policy document is read: with its items.
type node struct {
	kind     kind
	pos, end int32
	keyPos   int32  // where the name of a member stands
	key      string // the name of a member
	text     string
	items    []node
}

func (t *tree) node(i int32) node {
	c := t.cells[i]
	n := node{kind: c.kind, pos: c.pos, end: c.end}
	if c.keyPos > 0 {
		n.keyPos, n.key = c.keyPos-1, t.key(i)
	}
	if c.kind != kindArray && c.kind != kindObject {
		n.text = t.text(i)
		return n
	}
	for m := i + 1; m < c.next; m = t.cells[m].next {
		n.items = append(n.items, t.node(m))
	}
	return n
}

// member finds a member of an object.
func (n *node) member(key string) *node {
	if n.kind != kindObject {
		return nil
	}
	for i := range n.items {
		if n.items[i].key == key {
			return &n.items[i]
		}
	}
	return nil
}

// parseNode is parseJSON for a policy document.
func parseNode(src string) (*node, *jsonError) {
	t, err := parseJSON(src)
	if err != nil {
		return nil, err
	}
	n := t.node(0)
	return &n, nil
}

// number gives an integral literal that fits as int64 or uint64, and every
// other number as float64.
func number(text string) any {
	if !strings.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return u
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil { // out of range: the parser has checked the form
		f = math.Copysign(math.Inf(1), f)
	}
	return f
}
