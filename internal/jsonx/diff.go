package jsonx

import (
	"bytes"
	"slices"
)

// Difference is where two JSON texts differ.
type Difference struct {
	Paths   []string
	Values  [][2]string // of both texts at Paths, as they are written; "" where one has nothing there
	More    int         // paths beyond those
	Unknown []string    // where a value stands for another one that is not known
}

// Diff lists the paths at which two JSON texts differ, at most so many of them
// in the order of the members' names, and how many more there are. Numbers are
// compared as they are written. A path is "$" and .name, ["name"] or [index]
// for each level (RFC 9535); "$" alone stands for texts that cannot be
// compared, or differ in nothing but their spelling.
func Diff(a, b []byte, most int) (paths []string, more int) {
	d := DiffBut(a, b, most, func(*Tree, int32) bool { return false })
	return d.Paths, d.More
}

// DiffBut is Diff where some values stand for others that are not known. Where one
// of two values does and they are not the same, their path is among Unknown, at most so
// many, and not among Paths. The values are parts of the texts.
func DiffBut(a, b []byte, most int, stands func(*Tree, int32) bool) Difference {
	x, errX := Parse(a)
	y, errY := Parse(b)
	all := Difference{Paths: []string{"$"}, Values: [][2]string{{view(a), view(b)}}}
	if errX != nil || errY != nil {
		return all
	}
	d := differ{x: x, y: y, most: most, stands: stands}
	d.compare(At("$"), 0, 0)
	if len(d.Paths)+len(d.Unknown) == 0 && !bytes.Equal(a, b) {
		return all
	}
	return d.Difference
}

type differ struct {
	Difference
	x, y   *Tree
	most   int
	stands func(*Tree, int32) bool
}

// add notes a path and the values there, or "" for the one that is not.
func (d *differ) add(path *Path, a, b string) {
	if len(d.Paths) == d.most {
		d.More++
		return
	}
	d.Paths, d.Values = append(d.Paths, path.String()), append(d.Values, [2]string{a, b})
}

// both compares the values at a path, of which one may be missing: 0.
func (d *differ) both(path *Path, n, m int32) {
	switch {
	case n != 0 && m != 0:
		d.compare(path, n, m)
	case n != 0:
		d.add(path, d.x.JSON(n), "")
	default:
		d.add(path, "", d.y.JSON(m))
	}
}

func (d *differ) compare(path *Path, n, m int32) {
	switch kind := d.x.Kind(n); {
	case d.stands(d.x, n) || d.stands(d.y, m):
		if d.x.JSON(n) != d.y.JSON(m) && len(d.Unknown) < d.most {
			d.Unknown = append(d.Unknown, path.String())
		}
	case kind == Object && d.y.Kind(m) == Object:
		d.members(path, n, m)
	case kind == Array && d.y.Kind(m) == Array:
		i := 0
		for e, f := d.x.First(n), d.y.First(m); e != 0 || f != 0; i++ {
			d.both(path.Element(i), e, f)
			e, f = d.x.after(e), d.y.after(f)
		}
	case kind != d.y.Kind(m) || d.x.Text(n) != d.y.Text(m):
		d.add(path, d.x.JSON(n), d.y.JSON(m))
	}
}

// after is Next that stays at the end.
func (t *Tree) after(n int32) int32 {
	if n == 0 {
		return 0
	}
	return t.Next(n)
}

func (d *differ) members(path *Path, n, m int32) {
	names := make([]string, 0, d.x.Len(n)+d.y.Len(m))
	for e := d.x.First(n); e != 0; e = d.x.Next(e) {
		names = append(names, d.x.Name(e))
	}
	for e := d.y.First(m); e != 0; e = d.y.Next(e) {
		names = append(names, d.y.Name(e))
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		d.both(path.Member(name), d.x.Member(n, name), d.y.Member(m, name))
	}
}

// PlainName reports whether a member's name stands after a dot in a path.
func PlainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9' || i == 0) {
			return false
		}
	}
	return name != ""
}
