package jsonx

import (
	"encoding/json"
	"strconv"
)

// Path leads to a value in a JSON text. It is written out only where somebody asks for
// it: a text may have a name of megabytes with millions of values below it.
type Path struct {
	parent *Path
	name   string // of a member; of the root what the path begins with
	index  int    // of an element; -1 for a member
}

// At is the path of the root, which is written so: "$" as of RFC 9535.
func At(root string) *Path { return &Path{name: root} }

// Member leads to a member of the object there.
func (p *Path) Member(name string) *Path { return &Path{p, name, -1} }

// Element leads to an element of the array there.
func (p *Path) Element(index int) *Path { return &Path{p, "", index} }

// String writes the path: what it begins with, and .name, ["name"] or [index] for each
// level (RFC 9535).
func (p *Path) String() string { return string(p.append(nil)) }

func (p *Path) append(b []byte) []byte {
	switch {
	case p.parent == nil:
		return append(b, p.name...)
	case p.index < 0:
		return append(p.parent.append(b), segment(p.name)...)
	}
	return append(strconv.AppendInt(append(p.parent.append(b), '['), int64(p.index), 10), ']')
}

// segment is a member of an object in a path.
func segment(name string) string {
	if PlainName(name) {
		return "." + name
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return "[" + string(quoted) + "]"
}
