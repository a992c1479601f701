// Package clitest holds what the tools print with --json to the schemas in
// docs/schemas/tool, which it makes from Go's types.
package clitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// Printed are the documents of each command, by the command without the
// program's name: values of Go's types, or a [Document]. Commands below share
// what their parent prints.
type Printed map[string][]any

// Document is a document that has a schema already: its name in docs/schemas.
type Document string

const base = "https://github.com/conmotion/conmotion/docs/schemas/"

// fileOf is the schema's name in docs/schemas.
func fileOf(program, command string) string {
	return path.Join("tool", strings.ReplaceAll(program+" "+command, " ", "-")+".schema.json")
}

// find finds what prints for a command: itself, or a parent.
func (p Printed) find(command string) (string, bool) {
	for {
		if _, ok := p[command]; ok {
			return command, true
		}
		i := strings.LastIndex(command, " ")
		if i < 0 {
			return "", false
		}
		command = command[:i]
	}
}

// Check holds the schemas, and the table in docs/tool.md, to the types, and each
// command of the program to have one. With UPDATE_SCHEMAS=1 in the environment it
// writes the schemas.
func (p Printed) Check(t *testing.T, root *cobra.Command, docs string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(docs, "tool.md"))
	if err != nil {
		t.Fatal(err)
	}
	program := root.Name()
	for command := range p {
		made, err := p.schema(program, command)
		if err != nil {
			t.Errorf("%s: %v", command, err)
			continue
		}
		name := fileOf(program, command)
		file := filepath.Join(docs, "schemas", filepath.FromSlash(name))
		if os.Getenv("UPDATE_SCHEMAS") != "" {
			if err := os.WriteFile(file, made, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, made) {
			t.Errorf("%s is not what is printed (UPDATE_SCHEMAS=1 go test -run %s writes it): %v", file, t.Name(), err)
		}
		if row := fmt.Sprintf("| `%s %s` | [schema](schemas/%s) |", program, command, name); !bytes.Contains(page, []byte(row)) {
			t.Errorf("docs/tool.md does not have the line\n%s", row)
		}
	}
	var all func(cmd *cobra.Command)
	all = func(cmd *cobra.Command) {
		command := strings.TrimPrefix(cmd.CommandPath(), program+" ")
		if _, ok := p.find(command); !ok && len(cmd.Commands()) == 0 && cmd.Runnable() && !cmd.Hidden {
			t.Errorf("nothing says what %s prints with --json", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			all(sub)
		}
	}
	all(root)
}

// schema makes the schema of a command.
func (p Printed) schema(program, command string) ([]byte, error) {
	s := &jsonschema.Schema{
		Schema: "https://json-schema.org/draft/2020-12/schema", ID: base + fileOf(program, command),
		Title: program + " " + command + " --json", Description: "Each JSON document that the command prints.",
		Defs: map[string]*jsonschema.Schema{},
	}
	for _, v := range p[command] {
		if d, ok := v.(Document); ok {
			s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Ref: base + string(d) + ".schema.json"})
			continue
		}
		t := reflect.TypeOf(v)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		own := map[reflect.Type]*jsonschema.Schema{
			reflect.TypeFor[[]byte]():          {Types: []string{"null", "string"}, ContentEncoding: "base64"},
			reflect.TypeFor[json.RawMessage](): {},
			reflect.TypeFor[reader.Digest]():   {Type: "string"},
			reflect.TypeFor[map[int]int]():     {Type: "object", AdditionalProperties: &jsonschema.Schema{Type: "integer"}},
		}
		recursive(t, t, own, map[reflect.Type]bool{})
		one, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: own})
		if err != nil {
			return nil, err
		}
		if one.Type == "object" { // see cli.App.Print
			one.Properties["names"] = &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Type: "string"},
				Description: "What the user calls the issuers and logs in the document (--name)."}
		}
		s.Defs[t.Name()] = one
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Ref: "#/$defs/" + t.Name()})
	}
	data, err := json.MarshalIndent(s, "", "  ")
	return append(data, '\n'), err
}

// recursive finds slices of a type within itself, which become references.
func recursive(root, t reflect.Type, own map[reflect.Type]*jsonschema.Schema, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem() == root {
			own[t] = &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Ref: "#/$defs/" + root.Name()}}
			return
		}
		fallthrough
	case reflect.Pointer, reflect.Array, reflect.Map:
		recursive(root, t.Elem(), own, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			recursive(root, t.Field(i).Type, own, seen)
		}
	}
}

// Validate checks what a command printed with --json against its schema below
// docs.
func (p Printed) Validate(docs, program, command string, printed []byte) error {
	command, ok := p.find(command)
	if !ok {
		return fmt.Errorf("there is no schema for %s %s", program, command)
	}
	schema, err := load(docs, fileOf(program, command))
	if err != nil {
		return err
	}
	resolved, err := schema.Resolve(&jsonschema.ResolveOptions{Loader: func(uri *url.URL) (*jsonschema.Schema, error) {
		return load(docs, strings.TrimPrefix(uri.String(), base))
	}})
	if err != nil {
		return err
	}
	for dec := json.NewDecoder(bytes.NewReader(printed)); ; {
		var v any
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := resolved.Validate(v); err != nil {
			return err
		}
	}
}

func load(docs, name string) (*jsonschema.Schema, error) {
	data, err := fs.ReadFile(os.DirFS(filepath.Join(docs, "schemas")), name)
	if err != nil {
		return nil, err
	}
	var s jsonschema.Schema
	return &s, json.Unmarshal(data, &s)
}
