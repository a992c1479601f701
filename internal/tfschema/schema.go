// Package tfschema holds the Terraform modules in terraform/ to the schemas of the
// providers that they use, without the providers. schemas.json is an extract of the
// schemas; the program in extract makes it, and the one in provider serves it to
// tofu, whose validate and test then work without a network.
package tfschema

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// Block is what a resource, a data source or a block in it may have.
type Block struct {
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	Blocks     map[string]*Nested   `json:"blocks,omitempty"`
}

// Attribute is a type in Terraform's language, such as set(string), and one letter
// before it: r for required, o for optional, c for one that only the provider sets.
type Attribute string

// Required reports whether a configuration must have it.
func (a Attribute) Required() bool { return a[0] == 'r' }

// Settable reports whether a configuration may have it.
func (a Attribute) Settable() bool { return a[0] != 'c' }

// Type is the type without the letter.
func (a Attribute) Type() string { return string(a[2:]) }

// Nested is a block that another one has.
type Nested struct {
	Nesting  string `json:"nesting"` // list, set or single
	Required bool   `json:"required,omitempty"`
	One      bool   `json:"one,omitempty"` // at most one
	Block
}

// Provider is the extract of one provider.
type Provider struct {
	Version   string            `json:"version"`
	Resources map[string]*Block `json:"resources"`
	Data      map[string]*Block `json:"data,omitempty"`
}

//go:embed schemas.json
var schemas []byte

// Providers reads the extract; the keys are aws and google.
func Providers() (map[string]*Provider, error) {
	var p map[string]*Provider
	if err := json.Unmarshal(schemas, &p); err != nil {
		return nil, fmt.Errorf("schemas.json: %w", err)
	}
	return p, nil
}
