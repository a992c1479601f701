//go:build ignore

// Command gen reduces a compiled OCSF schema to what the package embeds: the classes below, what they refer to, and
// the members that Load reads.
//
//	go run gen.go FROM TO
//
// FROM is a compiled schema, such as https://schema.ocsf.io/export/schema serves for a version, with gzip or without; TO
// is written as JSON with gzip. The same schema gives the same bytes, and so does what gen has written.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

var classes = []string{"2003", "2004", "3004", "5001", "5002", "5019", "5023"}

type object = map[string]any

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go run gen.go FROM TO")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	schema, err := read(from)
	if err != nil {
		return err
	}
	var out, packed bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(reduce(schema)); err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(out.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(to, packed.Bytes(), 0o644)
}

func read(name string) (schema object, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if bytes.HasPrefix(data, []byte("\x1f\x8b")) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		d = json.NewDecoder(z)
	}
	d.UseNumber()
	return schema, d.Decode(&schema)
}

func reduce(schema object) object {
	types, ok := schema["types"].(object)
	if !ok { // the present layout
		types = schema["dictionary"].(object)["types"].(object)["attributes"].(object)
	}
	out := object{"version": schema["version"], "types": object{}, "classes": object{}, "objects": object{}}
	for name, t := range types {
		out["types"].(object)[name] = keep(t.(object), "type", "regex", "max_len", "range", "values")
	}
	if profiles, ok := schema["profiles"].(object); ok {
		names := object{}
		for name := range profiles {
			names[name] = object{}
		}
		out["profiles"] = names
	}
	for name, c := range schema["classes"].(object) {
		if slices.Contains(classes, fmt.Sprint(c.(object)["uid"])) {
			out["classes"].(object)[name] = item(schema, out, c.(object))
		}
	}
	return out
}

// item reduces a class or an object, and the objects that it refers to.
func item(schema, out, it object) object {
	reduced := keep(it, "uid", "category_uid", "@deprecated", "constraints", "profiles")
	attributes := object{}
	for name, a := range it["attributes"].(object) {
		attr := keep(a.(object), "type", "object_type", "requirement", "sibling", "is_array", "enum", "@deprecated", "profile", "profiles")
		if enum, ok := attr["enum"].(object); ok {
			values := object{}
			for value, e := range enum {
				if o, ok := e.(object); ok {
					e = keep(o, "caption", "@deprecated")
				}
				values[value] = e
			}
			attr["enum"] = values
		}
		attributes[name] = attr
		if to, ok := attr["object_type"].(string); ok {
			refer(schema, out, to)
		}
	}
	reduced["attributes"] = attributes
	return reduced
}

// refer adds the object of a name to out. An extension's object may be called extension/name where it stands, and where
// it is referred to.
func refer(schema, out object, to string) {
	_, plain, _ := strings.Cut(to, "/")
	for name, o := range schema["objects"].(object) {
		_, scoped, _ := strings.Cut(name, "/")
		if name != to && name != plain && scoped != to || out["objects"].(object)[name] != nil {
			continue
		}
		out["objects"].(object)[name] = object{} // objects refer to each other in circles
		out["objects"].(object)[name] = item(schema, out, o.(object))
	}
}

// keep is o with these members only, and with the version alone that deprecated it.
func keep(o object, names ...string) object {
	out := object{}
	for _, name := range names {
		if v := o[name]; v != nil {
			out[name] = v
		}
	}
	if d, ok := out["@deprecated"].(object); ok {
		out["@deprecated"] = keep(d, "since")
	}
	return out
}
