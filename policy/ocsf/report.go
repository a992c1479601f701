package ocsf

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// maxFindings is how many errors, and how many warnings, a Report lists; more are counted.
const maxFindings = 64

// A Finding is one deviation from the schema.
type Finding struct {
	Path    string // where, as a JSON path: $.resources[0].owner.type_id
	Code    string // one of the Code constants
	Message string // what is wrong and what would be right
}

func (f Finding) String() string { return f.Path + ": " + f.Message + " (" + f.Code + ")" }

// A Report is the result of checking one event. It depends on nothing but the schema and the event's bytes.
type Report struct {
	Summary                            // what the event says of itself
	Class                    string    // the class's name in the schema, "" if the class is not in the schema
	Errors                   []Finding // in the order of the event, each object's missing attributes after its members
	Warnings                 []Finding // in the same order, but all missing recommended attributes at the end
	MoreErrors, MoreWarnings int       // how many there are beyond maxFindings
}

// OK reports whether the event is valid; it may have warnings.
func (r Report) OK() bool { return len(r.Errors) == 0 }

// The codes of errors. All but CodeNotObject, CodeVersionMalformed, CodeProfileMissing and CodeTimestampUnit are those
// of the OCSF server's validator.
const (
	CodeNotObject          = "event_not_object"
	CodeClassUnknown       = "class_uid_unknown"
	CodeRequiredMissing    = "attribute_required_missing"
	CodeUnknown            = "attribute_unknown"
	CodeWrongType          = "attribute_wrong_type"
	CodeRange              = "attribute_value_exceeds_range"
	CodeMaxLen             = "attribute_value_exceeds_max_len"
	CodeNotInValues        = "attribute_value_not_in_type_values"
	CodeEnumUnknown        = "attribute_enum_value_unknown"
	CodeArrayEnumUnknown   = "attribute_enum_array_value_unknown"
	CodeArraySiblingAbsent = "attribute_enum_array_sibling_missing"
	CodeArraySibling       = "attribute_enum_array_sibling_incorrect"
	CodeTypeUID            = "type_uid_incorrect"
	CodeConstraint         = "constraint_failed"
	CodeProfileUnknown     = "profile_unknown"
	CodeObservable         = "observable_name_invalid_reference"
	CodeVersionLater       = "version_incompatible_later"
	CodeVersionInitial     = "version_incompatible_initial_development"
	CodeVersionPrerelease  = "version_incompatible_prerelease"
	CodeVersionMalformed   = "version_malformed"

	// CodeProfileMissing: the attribute belongs to a profile that metadata.profiles does not list. (The server calls
	// these attribute_unknown.)
	CodeProfileMissing = "attribute_profile_missing"

	// CodeTimestampUnit: OCSF's timestamp_t counts milliseconds since the Unix epoch, and the value lies before
	// 1973-03-03 with a magnitude of seconds, or after the year 9999 with that of micro- or nanoseconds. It is an error
	// although the number has the right type: a signed record stays in the log, and one that says 1970 for 2025 is in
	// the wrong place for every comparison by time that a reader will ever make.
	CodeTimestampUnit = "timestamp_not_milliseconds"
)

// The codes of warnings. All but CodeSiblingMissing are those of the OCSF server's validator.
const (
	CodeRecommendedMissing  = "attribute_recommended_missing"
	CodeClassDeprecated     = "class_deprecated"
	CodeObjectDeprecated    = "object_deprecated"
	CodeDeprecated          = "attribute_deprecated"
	CodeEnumDeprecated      = "attribute_enum_value_deprecated"
	CodeArrayEnumDeprecated = "attribute_enum_array_value_deprecated"
	CodeSibling             = "attribute_enum_sibling_incorrect"
	CodeSiblingOther        = "attribute_enum_sibling_suspicious_other"
	CodeSiblingMissing      = "attribute_enum_sibling_missing"
	CodeRegex               = "attribute_value_regex_not_matched"
	CodeVersionEarlier      = "version_earlier"
)

// segment is one step of a path: a member's name, or an index where name is "".
type segment struct {
	name  string
	index int
}

func (c *checker) push(name string) { c.at = append(c.at, segment{name: name}) }
func (c *checker) pop()             { c.at = c.at[:len(c.at)-1] }

func (c *checker) path() string { return string(c.appendPath(make([]byte, 0, 64))) }

func (c *checker) appendPath(b []byte) []byte {
	b = append(b, '$')
	for _, s := range c.at {
		switch {
		case s.name == "":
			b = strconv.AppendInt(append(b, '['), int64(s.index), 10)
			b = append(b, ']')
		case s.name[0] == '"': // quoted by unknown
			b = append(append(append(b, '['), s.name...), ']')
		default:
			b = append(append(b, '.'), s.name...)
		}
	}
	return b
}

// plainName reports whether a name may stand after a dot in a JSON path.
func plainName(s string) bool { return len(s) <= 64 && jsonx.PlainName(s) }

func (c *checker) errorf(code, format string, args ...any) {
	if len(c.rep.Errors) == maxFindings {
		c.rep.MoreErrors++
		return
	}
	c.rep.Errors = append(c.rep.Errors, Finding{c.path(), code, sprintf(format, args)})
}

func (c *checker) warnf(code, format string, args ...any) {
	if c.quiet {
		return
	}
	if c.warned++; len(c.rep.Warnings) < maxFindings {
		c.rep.Warnings = append(c.rep.Warnings, Finding{c.path(), code, sprintf(format, args)})
	}
}

// recommend warns of a missing recommended attribute. There may be dozens of these in a good event, so they are kept
// apart, in little memory, and come after all other warnings, which they cannot push over the limit.
func (c *checker) recommend(name string) {
	if c.warned++; len(c.missing) < maxFindings {
		if c.missing == nil {
			c.missing, c.paths = make([]int32, 0, maxFindings), make([]byte, 0, 1536)
		}
		c.push(name)
		c.paths = c.appendPath(c.paths)
		c.missing = append(c.missing, int32(len(c.paths)))
		c.pop()
	}
}

func (c *checker) addMissing() {
	c.missing = c.missing[:min(len(c.missing), maxFindings-len(c.rep.Warnings))]
	c.rep.Warnings = slices.Grow(c.rep.Warnings, len(c.missing))
	paths, start := string(c.paths), int32(0)
	for _, end := range c.missing {
		c.rep.Warnings = append(c.rep.Warnings, Finding{paths[start:end], CodeRecommendedMissing, "recommended attribute is missing"})
		start = end
	}
	c.rep.MoreWarnings = c.warned - len(c.rep.Warnings)
}

func sprintf(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}
