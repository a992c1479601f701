// Package ocsf checks JSON events against a schema of the Open Cybersecurity Schema Framework, https://schema.ocsf.io:
// by default the inventory, configuration and finding classes of OCSF 1.5.0 (5001, 5002, 5019, 5023, 2003, 2004, 3004),
// or any compiled schema that Load reads.
//
// The grading follows the validator of the OCSF server (ocsf/ocsf-server, lib/schema/validator2.ex), whose codes the
// findings carry: an unmet constraint is an error; a doubtful but permitted value, such as an enum sibling that is not
// the enum's caption or a string that does not match its type's pattern, is a warning. It differs in these points:
//
//   - null counts as absent everywhere, so it cannot satisfy a constraint.
//   - an enum value 99 (Other) without its sibling is a warning: the sibling is where the source's own value belongs.
//   - a timestamp that cannot be in milliseconds is an error (CodeTimestampUnit says why).
//   - a float_t may be written without a fraction: in JSON 9 and 9.0 are the same number.
//   - long_t has 64 bits, as its description says; the server takes up to 128.
//   - max_len counts code points, not grapheme clusters.
//   - a constraint's name with dots (device.os.version) is the path of a nested attribute, and an observable may name
//     a path below a free-form object: the server can satisfy neither.
package ocsf

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:generate go run gen.go schema-1.5.0.json.gz schema-1.5.0.json.gz

// builtIn is the source and the product of gen.go, which reduces another schema to it too.
//
//go:embed schema-1.5.0.json.gz
var builtIn []byte

//go:embed profiles-1.5.0.txt
var profilesText string

const objectType = "object_t"

// Schema holds the compiled constraints of one OCSF version. It is immutable: any number of goroutines may check
// events with one Schema.
type Schema struct {
	version  string
	parsed   version
	classes  map[int64]*item
	profiles map[string]uint64 // each profile's bit
	stacks   sync.Pool         // of *stacks
}

// item is a class or an object.
type item struct {
	name        string
	deprecated  string
	attrs       []attr // sorted by name
	index       map[string]int32
	wanted      []wanted
	enums       []int32 // those with an enum and a sibling
	constraints []constraint
}

// wanted is an attribute that is required or recommended, with what deciding on its absence takes, close together.
type wanted struct {
	profiles uint64
	attr     int32
	required bool
}

// constraint is at_least_one or just_one.
type constraint struct {
	attrs   []constrained
	justOne bool
	message string
}

// constrained is an attribute that a constraint names, or a member further below it: device.os.version in patch_state.
type constrained struct {
	attr  int32
	below []string
}

type attr struct {
	name         string
	array        bool
	object       *item   // of an object_t
	scalar       *scalar // of any other type
	enum         map[string]rawEnum
	allowed      string // the enum's values for a message, where they are few
	sibling      int32  // -1: none
	deprecated   string
	profiles     uint64 // 0: no profile needed
	profileNames string
}

// scalar is a type of the data dictionary.
type scalar struct {
	name, base string
	low, high  int64
	maxLen     int
	regex      func() *regexp.Regexp // compiled when it is first asked for; nil: none
	values     []string              // a string's text, else the JSON
	timestamp  bool
}

var defaultSchema = sync.OnceValue(func() *Schema {
	z, err := gzip.NewReader(bytes.NewReader(builtIn))
	if err == nil {
		var s *Schema
		if s, err = Load(z); err == nil {
			return s
		}
	}
	panic(fmt.Sprintf("ocsf: embedded schema: %v", err)) // a broken build: the tests read it
})

// Default returns the embedded schema: the seven classes of OCSF 1.5.0 with all that they refer to.
func Default() *Schema { return defaultSchema() }

// Load reads a compiled OCSF schema of any version, at most 64 MiB: the JSON that https://schema.ocsf.io/export/schema
// serves or that ocsf-schema-compiler writes. A schema with rules that Check could not apply, such as an unknown
// type or constraint, is an error, because it would be enforced only in part. A type's pattern that Go's regexp cannot
// compile (ip_t of OCSF 1.0.0 is recursive) is left out: it could only have led to warnings. A schema whose attributes
// never name a profile is read with the profiles of OCSF 1.5.0.
func Load(r io.Reader) (*Schema, error) {
	raw, err := readJSON(r)
	if err != nil {
		return nil, fmt.Errorf("ocsf: schema: %w", err)
	}
	s, err := compile(raw)
	if err != nil {
		return nil, fmt.Errorf("ocsf: schema: %w", err)
	}
	return s, nil
}

// Version returns the schema's OCSF version, such as "1.5.0".
func (s *Schema) Version() string { return s.version }

// Classes returns the class_uid of every class in the schema, sorted.
func (s *Schema) Classes() []int64 { return slices.Sorted(maps.Keys(s.classes)) }

func compile(raw *rawSchema) (*Schema, error) {
	s := &Schema{version: raw.Version, classes: map[int64]*item{}, profiles: map[string]uint64{}}
	var ok bool
	if s.parsed, ok = parseVersion(raw.Version); !ok {
		return nil, fmt.Errorf("version %q is not MAJOR.MINOR.PATCH", raw.Version)
	}
	if !raw.hasProfiles() {
		if err := applyProfiles(raw, profilesText); err != nil {
			return nil, err
		}
	}
	if err := s.numberProfiles(raw); err != nil {
		return nil, err
	}
	scalars := map[string]*scalar{}
	for name := range raw.Types {
		t, err := compileType(raw.Types, name)
		if err != nil {
			return nil, fmt.Errorf("type %s: %w", name, err)
		}
		scalars[name] = t
	}
	// Objects refer to each other in circles, so all of them exist before any is filled. Exports with scoped keys call
	// an extension's object extension/name.
	objects := map[string]*item{}
	for name := range raw.Objects {
		it := &item{name: name}
		objects[name] = it
		if _, plain, ok := strings.Cut(name, "/"); ok && raw.Objects[plain] == nil {
			objects[plain] = it
		}
	}
	for name, ro := range raw.Objects {
		if err := s.fill(objects[name], ro, scalars, objects); err != nil {
			return nil, fmt.Errorf("object %s: %w", name, err)
		}
	}
	for name, rc := range raw.Classes {
		it := &item{name: name}
		if err := s.fill(it, rc, scalars, objects); err != nil {
			return nil, fmt.Errorf("class %s: %w", name, err)
		}
		if other := s.classes[rc.UID]; other != nil {
			return nil, fmt.Errorf("classes %s and %s have the same uid %d", min(name, other.name), max(name, other.name), rc.UID)
		}
		s.classes[rc.UID] = it
	}
	if len(s.classes) == 0 {
		return nil, errors.New("it has no classes")
	}
	return s, nil
}

// numberProfiles gives each profile that the schema mentions a bit.
func (s *Schema) numberProfiles(raw *rawSchema) error {
	add := func(names ...string) {
		for _, name := range names {
			if _, ok := s.profiles[name]; !ok && name != "" {
				s.profiles[name] = 1 << len(s.profiles)
			}
		}
	}
	add(slices.Collect(maps.Keys(raw.Profiles))...)
	for _, it := range raw.items() {
		add(it.Profiles...)
		for _, a := range it.Attributes {
			add(a.Profile)
			add(a.Profiles...)
		}
	}
	if len(s.profiles) > 64 {
		return fmt.Errorf("%d profiles; at most 64 are supported", len(s.profiles))
	}
	return nil
}

func compileType(types map[string]*rawType, name string) (*scalar, error) {
	t := &scalar{name: name, base: name, low: math.MinInt64, high: math.MaxInt64}
	// The nearest type that has a constraint decides on it, as in the server: a subtype's own comes before its base's.
	seen := 0
	var patterns []string
	for raw := types[name]; ; raw = types[t.base] {
		if raw == nil || seen > len(types) {
			return nil, fmt.Errorf("its base %q is not a type or leads back to it", t.base)
		}
		seen++
		t.timestamp = t.timestamp || t.base == "timestamp_t"
		if t.maxLen == 0 {
			t.maxLen = raw.MaxLen
		}
		if t.values == nil {
			for _, v := range raw.Values {
				var text string
				if json.Unmarshal(v, &text) != nil {
					text = string(v)
				}
				t.values = append(t.values, text)
			}
		}
		if len(raw.Range) > 0 && t.low == math.MinInt64 && t.high == math.MaxInt64 {
			if len(raw.Range) != 2 {
				return nil, fmt.Errorf("its range has %d ends", len(raw.Range))
			}
			var err error
			if t.low, err = strconv.ParseInt(string(raw.Range[0]), 10, 64); err != nil {
				return nil, fmt.Errorf("range: %w", err)
			}
			if t.high, err = strconv.ParseInt(string(raw.Range[1]), 10, 64); err != nil {
				return nil, fmt.Errorf("range: %w", err)
			}
		}
		if raw.Regex != "" {
			patterns = append(patterns, raw.Regex)
		}
		if raw.Type == "" {
			break
		}
		t.base = raw.Type
	}
	if primitive(t.base) == "" {
		return nil, fmt.Errorf("unknown primitive type %q", t.base)
	}
	t.regex = sync.OnceValue(func() *regexp.Regexp {
		for _, p := range patterns {
			if compiled, err := regexp.Compile(p); err == nil { // see Load
				return compiled
			}
		}
		return nil
	})
	return t, nil
}

func (s *Schema) fill(it *item, raw *rawItem, scalars map[string]*scalar, objects map[string]*item) error {
	it.deprecated = string(raw.Deprecated)
	it.index = make(map[string]int32, len(raw.Attributes))
	for i, name := range slices.Sorted(maps.Keys(raw.Attributes)) {
		it.index[name] = int32(i)
		ra := raw.Attributes[name]
		a := attr{
			name: name, array: ra.IsArray, enum: ra.Enum, allowed: allowed(ra.Enum), sibling: -1, deprecated: string(ra.Deprecated),
		}
		names := ra.Profiles
		if ra.Profile != "" {
			names = []string{ra.Profile}
		}
		for _, p := range names {
			a.profiles |= s.profiles[p]
		}
		a.profileNames = strings.Join(names, " or ")
		if ra.Type == objectType {
			name := ra.ObjectType
			if objects[name] == nil {
				_, name, _ = strings.Cut(name, "/")
			}
			if a.object = objects[name]; a.object == nil {
				return fmt.Errorf("attribute %s: unknown object %q", a.name, ra.ObjectType)
			}
		} else if a.scalar = scalars[ra.Type]; a.scalar == nil {
			return fmt.Errorf("attribute %s: unknown type %q", a.name, ra.Type)
		}
		it.attrs = append(it.attrs, a)
		if required := ra.Requirement == "required"; required || ra.Requirement == "recommended" {
			it.wanted = append(it.wanted, wanted{a.profiles, int32(i), required})
		}
	}
	for i := range it.attrs {
		a := &it.attrs[i]
		if sib, ok := it.index[raw.Attributes[a.name].Sibling]; ok && a.enum != nil {
			a.sibling = sib
			it.enums = append(it.enums, int32(i))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(raw.Constraints)) {
		c := constraint{message: it.name + " needs at least one of "}
		switch kind {
		case "at_least_one":
		case "just_one":
			c.justOne, c.message = true, it.name+" needs exactly one of "
		default:
			return fmt.Errorf("unknown constraint %q", kind)
		}
		c.message += strings.Join(raw.Constraints[kind], ", ")
		for _, name := range raw.Constraints[kind] {
			path := strings.Split(name, ".")
			if i, ok := it.index[path[0]]; ok {
				c.attrs = append(c.attrs, constrained{i, path[1:]})
			}
		}
		if len(c.attrs) == 0 {
			return fmt.Errorf("constraint %s names no attribute of it", kind)
		}
		it.constraints = append(it.constraints, c)
	}
	return nil
}

// allowed lists the values of a small enum for messages.
func allowed(enum map[string]rawEnum) string {
	const few = 12
	if len(enum) == 0 || len(enum) > few {
		return ""
	}
	keys := slices.SortedFunc(maps.Keys(enum), func(a, b string) int {
		i, errA := strconv.Atoi(a)
		j, errB := strconv.Atoi(b)
		if errA != nil || errB != nil {
			return strings.Compare(a, b)
		}
		return i - j
	})
	for i, k := range keys {
		if c := enum[k].Caption; c != k && c != "" {
			keys[i] = k + " (" + c + ")"
		}
	}
	return "; allowed: " + strings.Join(keys, ", ")
}

// primitive says which JSON a primitive type takes, "" if there is no such type.
func primitive(base string) string {
	switch base {
	case "boolean_t":
		return "a boolean"
	case "float_t":
		return "a number"
	case "integer_t", "long_t":
		return "a 64-bit integer"
	case "string_t":
		return "a string"
	case "json_t":
		return "any JSON"
	}
	return ""
}
