package ocsf

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// maxSchema bounds what Load reads. OCSF 1.8.0 compiled has 3.5 MB.
const maxSchema = 64 << 20

// rawSchema is a compiled OCSF schema as it stands in a file: what https://schema.ocsf.io/export/schema serves and
// what ocsf-schema-compiler writes, in its present layout or with --legacy-mode. Other members are ignored.
type rawSchema struct {
	Version    string                     `json:"version"`
	Classes    map[string]*rawItem        `json:"classes"`
	Objects    map[string]*rawItem        `json:"objects"`
	Types      map[string]*rawType        `json:"types"`
	Profiles   map[string]json.RawMessage `json:"profiles"`
	Dictionary struct {
		Types struct {
			Attributes map[string]*rawType `json:"attributes"`
		} `json:"types"`
	} `json:"dictionary"`
}

// rawItem is a class or an object; UID and CategoryUID are a class's.
type rawItem struct {
	UID         int64               `json:"uid"`
	CategoryUID int64               `json:"category_uid"`
	Deprecated  since               `json:"@deprecated"`
	Constraints map[string][]string `json:"constraints"`
	Profiles    []string            `json:"profiles"`
	Attributes  map[string]*rawAttr `json:"attributes"`
}

type rawAttr struct {
	Type        string             `json:"type"`
	ObjectType  string             `json:"object_type"`
	Requirement string             `json:"requirement"`
	Sibling     string             `json:"sibling"`
	IsArray     bool               `json:"is_array"`
	Enum        map[string]rawEnum `json:"enum"`
	Deprecated  since              `json:"@deprecated"`
	Profile     string             `json:"profile"`  // one profile (or null): the legacy layout
	Profiles    []string           `json:"profiles"` // any of these: the present layout
}

type rawType struct {
	Type   string            `json:"type"`
	Regex  string            `json:"regex"`
	MaxLen int               `json:"max_len"`
	Range  []json.RawMessage `json:"range"`
	Values []json.RawMessage `json:"values"`
}

// rawEnum is an enum value: its caption alone, or an object that has it.
type rawEnum struct {
	Caption    string `json:"caption"`
	Deprecated since  `json:"@deprecated"`
}

func (e *rawEnum) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return jsonx.Unmarshal(b, &e.Caption)
	}
	type plain rawEnum
	return jsonx.Unmarshal(b, (*plain)(e))
}

// since is the version that deprecated something: a string, or an object that has it beside a message.
type since string

func (s *since) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return jsonx.Unmarshal(b, (*string)(s))
	}
	var o struct {
		Since *string `json:"since"`
	}
	if err := jsonx.Unmarshal(b, &o); err != nil {
		return err
	}
	if *s = "?"; o.Since != nil {
		*s = since(*o.Since)
	}
	return nil
}

// readJSON decodes one compiled schema and refuses bytes after it.
func readJSON(r io.Reader) (*rawSchema, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSchema+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSchema {
		return nil, fmt.Errorf("larger than %d bytes", maxSchema)
	}
	var raw rawSchema
	if err := jsonx.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	if raw.Types == nil {
		raw.Types = raw.Dictionary.Types.Attributes
	}
	for name, it := range raw.items() {
		if it == nil {
			return nil, fmt.Errorf("%s is null", name)
		}
		for attr, a := range it.Attributes {
			if a == nil {
				return nil, fmt.Errorf("%s.%s is null", name, attr)
			}
		}
	}
	return &raw, nil
}

// applyProfiles marks the attributes that exist only under a profile, by the rules of profiles-1.5.0.txt. It is for
// schemas that do not say so themselves: reduced exports, which drop the member, such as our own.
func applyProfiles(raw *rawSchema, rules string) error {
	if raw.Profiles == nil {
		raw.Profiles = map[string]json.RawMessage{}
	}
	for line := range strings.Lines(rules) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		head, names, ok := strings.Cut(line, ":")
		words := strings.Fields(head)
		if !ok || len(words) == 0 {
			return fmt.Errorf("profile rule %q", line)
		}
		raw.Profiles[words[0]] = nil
		for name, it := range raw.items() {
			everyClass := slices.Contains(words[1:], "*") && raw.Classes[name] == it
			if !everyClass && !slices.Contains(words[1:], name) {
				continue
			}
			for attr := range strings.FieldsSeq(names) {
				if a := it.Attributes[attr]; a != nil {
					a.Profile = words[0]
				}
			}
		}
	}
	// The schema compiler adds these to every timestamp when the profile datetime is there.
	for _, it := range raw.items() {
		for name, a := range it.Attributes {
			base, ok := strings.CutSuffix(name, "_dt")
			if t := it.Attributes[base]; ok && a.Type == "datetime_t" && t != nil && t.Type == "timestamp_t" {
				a.Profile = "datetime"
			}
		}
	}
	return nil
}

// items yields all classes and objects by name.
func (raw *rawSchema) items() iter.Seq2[string, *rawItem] {
	return func(yield func(string, *rawItem) bool) {
		for _, items := range []map[string]*rawItem{raw.Classes, raw.Objects} {
			for name, it := range items {
				if !yield(name, it) {
					return
				}
			}
		}
	}
}

// hasProfiles reports whether any attribute names its profile.
func (raw *rawSchema) hasProfiles() bool {
	for _, it := range raw.items() {
		for _, a := range it.Attributes {
			if a.Profile != "" || len(a.Profiles) > 0 {
				return true
			}
		}
	}
	return false
}
