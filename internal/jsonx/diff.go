package jsonx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Diff lists the paths at which two JSON texts differ, at most so many of them
// in the order of the members' names, and how many more there are. Numbers are
// compared as they are written. A path is "$" and .name, ["name"] or [index]
// for each level (RFC 9535); "$" alone stands for texts that cannot be
// compared, or differ in nothing but their spelling.
func Diff(a, b []byte, most int) (paths []string, more int) {
	paths, more, _ = DiffBut(a, b, most, func(*Tree, int32) bool { return false })
	return paths, more
}

// DiffBut is Diff where some values stand for others that are not known. Where one
// of two values does and they are not the same, their path is among unknown, at most so
// many, and not among paths.
func DiffBut(a, b []byte, most int, stands func(*Tree, int32) bool) (paths []string, more int, unknown []string) {
	x, errX := Parse(a)
	y, errY := Parse(b)
	if errX != nil || errY != nil {
		return []string{"$"}, 0, nil
	}
	d := differ{x: x, y: y, most: most, stands: stands}
	d.compare("$", 0, 0)
	if len(d.paths)+len(d.unknown) == 0 && !bytes.Equal(a, b) {
		return []string{"$"}, 0, nil
	}
	return d.paths, d.more, d.unknown
}

type differ struct {
	x, y  *Tree
	paths []string
	most  int
	more  int

	stands  func(*Tree, int32) bool
	unknown []string
}

func (d *differ) add(path string) {
	if len(d.paths) == d.most {
		d.more++
		return
	}
	d.paths = append(d.paths, path)
}

func (d *differ) compare(path string, n, m int32) {
	switch kind := d.x.Kind(n); {
	case d.stands(d.x, n) || d.stands(d.y, m):
		if d.x.JSON(n) != d.y.JSON(m) && len(d.unknown) < d.most {
			d.unknown = append(d.unknown, path)
		}
	case kind != d.y.Kind(m):
		d.add(path)
	case kind == Object:
		d.members(path, n, m)
	case kind == Array:
		i := 0
		for e, f := d.x.First(n), d.y.First(m); e != 0 || f != 0; i++ {
			if at := fmt.Sprintf("%s[%d]", path, i); e != 0 && f != 0 {
				d.compare(at, e, f)
			} else {
				d.add(at)
			}
			e, f = d.x.after(e), d.y.after(f)
		}
	case d.x.Text(n) != d.y.Text(m):
		d.add(path)
	}
}

// after is Next that stays at the end.
func (t *Tree) after(n int32) int32 {
	if n == 0 {
		return 0
	}
	return t.Next(n)
}

func (d *differ) members(path string, n, m int32) {
	names := make([]string, 0, d.x.Len(n)+d.y.Len(m))
	for e := d.x.First(n); e != 0; e = d.x.Next(e) {
		names = append(names, d.x.Name(e))
	}
	for e := d.y.First(m); e != 0; e = d.y.Next(e) {
		names = append(names, d.y.Name(e))
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		e, f := d.x.Member(n, name), d.y.Member(m, name)
		if at := path + Segment(name); e != 0 && f != 0 {
			d.compare(at, e, f)
		} else {
			d.add(at)
		}
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

// Segment is a member of an object in a JSON path (RFC 9535).
func Segment(name string) string {
	if PlainName(name) {
		return "." + name
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return "[" + string(quoted) + "]"
}
