package ocsf

import (
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// scalar checks a value against its dictionary type and, if the type is right, against its enum.
func (c *checker) scalar(a *attr, n int32) {
	t := a.scalar
	text := c.d.Text(n)
	k := c.d.Kind(n)
	ok := true
	switch t.base {
	case "json_t":
		return
	case "boolean_t":
		ok = k == jsonx.Bool
	case "string_t":
		if ok = k == jsonx.String; ok {
			c.stringType(t, text)
		}
	case "float_t":
		_, err := strconv.ParseFloat(text, 64)
		ok = k == jsonx.Number && err == nil
	default: // integer_t, long_t
		var v int64
		if v, ok = integer(c.d, n); ok {
			c.integer(t, v)
		}
	}
	if !ok {
		c.wrongType(n, a.typeName())
		return
	}
	if t.values != nil && !slices.ContainsFunc(t.values, func(v string) bool { return v == text }) {
		c.errorf(CodeNotInValues, "%s is not a value of %s", jsonx.Cut(text, bare), t.name)
	}
	if a.enum == nil {
		return
	}
	unknown, old := CodeEnumUnknown, CodeEnumDeprecated
	if a.array {
		unknown, old = CodeArrayEnumUnknown, CodeArrayEnumDeprecated
	}
	e, ok := a.enum[text]
	if !ok {
		c.errorf(unknown, "%s is not in the enum %s%s", jsonx.Cut(text, bare), a.name, a.allowed)
	} else if e.Deprecated != "" {
		c.warnf(old, "value %s (%s) is deprecated since %s", jsonx.Cut(text, bare), e.Caption, string(e.Deprecated))
	}
}

func (c *checker) stringType(t *scalar, text string) {
	if t.maxLen > 0 && len(text) > t.maxLen {
		if runes := utf8.RuneCountInString(text); runes > t.maxLen {
			c.errorf(CodeMaxLen, "%d characters exceed the %d of %s", runes, t.maxLen, t.name)
		}
	}
	if c.quiet {
		return
	}
	if re := t.regex(); re != nil && !re.MatchString(text) {
		c.warnf(CodeRegex, "%s does not match the pattern of %s", jsonx.Quote(text, quoted), t.name)
	}
}

const (
	// Milliseconds below this lie before 1973-03-03; as seconds they lie between then and the year 5138.
	minPlausible = 100_000_000_000
	// Below this a value in seconds would lie before 1973 too, so it cannot be told from one in milliseconds: 0, say.
	minSeconds = 100_000_000
	// 9999-12-31T23:59:59.999Z, the last time that RFC 3339 can write and the "no end" of X.509.
	maxPlausible = 253_402_300_799_999
)

func (c *checker) integer(t *scalar, v int64) {
	switch {
	case v < t.low || v > t.high:
		c.errorf(CodeRange, "%d is outside %d to %d, the range of %s", v, t.low, t.high, t.name)
	case t.timestamp && v >= minSeconds && v < minPlausible:
		c.errorf(CodeTimestampUnit, "%d looks like seconds (%s); timestamps are in milliseconds, where it is %s: write %d",
			v, date(time.Unix(v, 0)), date(time.UnixMilli(v)), v*1000)
	case t.timestamp && v > maxPlausible:
		c.errorf(CodeTimestampUnit, "%d is after the year 9999 in milliseconds, the unit of timestamps; it looks like micro- or nanoseconds", v)
	}
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// siblings compares an enum value with the text that stands beside it, such as activity_id with activity_name. text is
// 0 where the sibling is absent.
func (c *checker) siblings(a *attr, n int32, sib *attr, text int32) {
	if a.array {
		c.arraySiblings(a, n, sib, text)
		return
	}
	value := c.d.Text(n)
	e, ok := a.enum[value]
	if !ok || c.d.Kind(n) == jsonx.Array {
		return // reported with the value
	}
	other := value == "99" && e.Caption == "Other"
	c.push(sib.name)
	defer c.pop()
	switch {
	case text == 0:
		if other {
			c.warnf(CodeSiblingMissing, "%s 99 (Other) says that the source's own value stands here, but it is missing", a.name)
		}
	case c.d.Kind(text) != jsonx.String:
		// reported as a wrong type
	case other:
		if c.d.Text(text) == e.Caption {
			c.warnf(CodeSiblingOther, "for %s 99 (Other) the source's own value belongs here, not the caption", a.name)
		}
	case c.d.Text(text) != e.Caption:
		c.warnf(CodeSibling, "%s is not the caption of %s %s, which is %q", jsonx.Quote(c.d.Text(text), quoted), a.name, jsonx.Cut(value, bare), e.Caption)
	}
}

// arraySiblings compares two arrays element by element. That a caption differs is an error here, unlike above: so the
// server has it.
func (c *checker) arraySiblings(a *attr, n int32, sib *attr, text int32) {
	if text == 0 || !sib.array || c.d.Kind(n) != jsonx.Array || c.d.Kind(text) != jsonx.Array {
		return
	}
	s := c.d.First(text)
	i := 0
	for v := c.d.First(n); v != 0; v = c.d.Next(v) {
		e, ok := a.enum[c.d.Text(v)]
		if ok && c.d.Text(v) != "99" {
			c.push(sib.name)
			c.at = append(c.at, segment{index: i})
			if s == 0 {
				c.errorf(CodeArraySiblingAbsent, "%s[%d] is %s, so %q is expected here", a.name, i, jsonx.Cut(c.d.Text(v), bare), e.Caption)
			} else if c.d.Text(s) != e.Caption {
				c.errorf(CodeArraySibling, "%s is not the caption of %s[%d], which is %q", jsonx.Quote(c.d.Text(s), quoted), a.name, i, e.Caption)
			}
			c.at = c.at[:len(c.at)-2]
		}
		if s != 0 {
			s = c.d.Next(s)
		}
		i++
	}
}

// How many bytes of an event's text a message shows: quoted, or a bare scalar's. No event can blow up its own report.
const (
	quoted = 64
	bare   = 40
)
