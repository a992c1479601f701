package policy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// Diff says what changes from one policy to another, a line for each value:
// "+" what b adds, "-" what it takes away. "previous" differs always and is
// left out; so Diff is empty when both mean the same.
func Diff(a, b *Policy) []string {
	before, after := a.values(), b.values()
	var out []string
	for _, l := range before {
		if !slices.Contains(after, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range after {
		if !slices.Contains(before, l) {
			out = append(out, "+ "+l)
		}
	}
	// The first pattern that fits an issuer counts, so their order matters too.
	if order := b.order(); order != a.order() && len(b.patterns) > 1 {
		out = append(out, "+ issuers = in the order "+order)
	}
	slices.SortStableFunc(out, func(x, y string) int { return cmp.Compare(pathOf(x), pathOf(y)) })
	return out
}

func pathOf(line string) string {
	path, _, _ := strings.Cut(line[2:], " = ")
	return path
}

// values are the leaves of the document with their paths.
func (p *Policy) values() []string {
	root, err := parseNode(p.text)
	if err != nil {
		return nil // the text was made by the canonicalization
	}
	var out []string
	var walk func(n *node, path string)
	walk = func(n *node, path string) {
		switch n.kind {
		case jsonx.Object:
			for i := range n.items {
				if at := join(path, n.items[i].key); at != "previous" {
					walk(&n.items[i], at)
				}
			}
		case jsonx.Array:
			for i := range n.items {
				walk(&n.items[i], path+"["+identity(&n.items[i])+"]")
			}
		default:
			out = append(out, path+" = "+n.json)
		}
	}
	walk(root, "")
	return out
}

// identity names an element of an array by what it is and not by its place.
func identity(n *node) string {
	for _, key := range []string{"id", "issuer"} {
		if m := n.member(key); m != nil {
			return m.text
		}
	}
	return ""
}

func (p *Policy) order() string {
	var out []string
	for _, g := range p.patterns {
		out = append(out, g.issuer)
	}
	return strings.Join(out, ", ")
}
