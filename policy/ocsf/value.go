package ocsf

import (
	"bytes"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// scalar checks a value against its dictionary type and, if the type is right, against its enum.
func (c *checker) scalar(a *attr, n int32) {
	t := a.scalar
	text := c.d.val(n)
	k := c.d.nodes[n].kind
	ok := true
	switch t.base {
	case "json_t":
		return
	case "boolean_t":
		ok = k == kindBool
	case "string_t":
		if ok = k == kindString; ok {
			c.stringType(t, text)
		}
	case "float_t":
		_, err := strconv.ParseFloat(string(text), 64)
		ok = k == kindNumber && err == nil
	default: // integer_t, long_t
		var v int64
		if v, ok = c.d.int(n); ok {
			c.integer(t, v)
		}
	}
	if !ok {
		c.wrongType(n, a.typeName())
		return
	}
	if t.values != nil && !slices.ContainsFunc(t.values, func(v string) bool { return v == string(text) }) {
		c.errorf(CodeNotInValues, "%s is not a value of %s", cut(text), t.name)
	}
	if a.enum == nil {
		return
	}
	unknown, old := CodeEnumUnknown, CodeEnumDeprecated
	if a.array {
		unknown, old = CodeArrayEnumUnknown, CodeArrayEnumDeprecated
	}
	e, ok := a.enum[string(text)]
	if !ok {
		c.errorf(unknown, "%s is not in the enum %s%s", cut(text), a.name, a.allowed)
	} else if e.Deprecated != "" {
		c.warnf(old, "value %s (%s) is deprecated since %s", cut(text), e.Caption, string(e.Deprecated))
	}
}

func (c *checker) stringType(t *scalar, text []byte) {
	if t.maxLen > 0 && len(text) > t.maxLen {
		if runes := utf8.RuneCount(text); runes > t.maxLen {
			c.errorf(CodeMaxLen, "%d characters exceed the %d of %s", runes, t.maxLen, t.name)
		}
	}
	if t.regex != nil && !c.quiet && !t.regex.Match(text) {
		c.warnf(CodeRegex, "%s does not match the pattern of %s", quote(text), t.name)
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
	value := c.d.val(n)
	e, ok := a.enum[string(value)]
	if !ok || c.d.nodes[n].kind == kindArray {
		return // reported with the value
	}
	other := string(value) == "99" && e.Caption == "Other"
	c.push(sib.name)
	defer c.pop()
	switch {
	case text == 0:
		if other {
			c.warnf(CodeSiblingMissing, "%s 99 (Other) says that the source's own value stands here, but it is missing", a.name)
		}
	case c.d.nodes[text].kind != kindString:
		// reported as a wrong type
	case other:
		if string(c.d.val(text)) == e.Caption {
			c.warnf(CodeSiblingOther, "for %s 99 (Other) the source's own value belongs here, not the caption", a.name)
		}
	case string(c.d.val(text)) != e.Caption:
		c.warnf(CodeSibling, "%s is not the caption of %s %s, which is %q", quote(c.d.val(text)), a.name, cut(value), e.Caption)
	}
}

// arraySiblings compares two arrays element by element. That a caption differs is an error here, unlike above: so the
// server has it.
func (c *checker) arraySiblings(a *attr, n int32, sib *attr, text int32) {
	if text == 0 || !sib.array || c.d.nodes[n].kind != kindArray || c.d.nodes[text].kind != kindArray {
		return
	}
	s := c.d.first(text)
	i := 0
	for v := c.d.first(n); v != 0; v = c.d.nodes[v].next {
		e, ok := a.enum[string(c.d.val(v))]
		if ok && string(c.d.val(v)) != "99" {
			c.push(sib.name)
			c.at = append(c.at, segment{index: i})
			if s == 0 {
				c.errorf(CodeArraySiblingAbsent, "%s[%d] is %s, so %q is expected here", a.name, i, cut(c.d.val(v)), e.Caption)
			} else if string(c.d.val(s)) != e.Caption {
				c.errorf(CodeArraySibling, "%s is not the caption of %s[%d], which is %q", quote(c.d.val(s)), a.name, i, e.Caption)
			}
			c.at = c.at[:len(c.at)-2]
		}
		if s != 0 {
			s = c.d.nodes[s].next
		}
		i++
	}
}

// cut prints a bare scalar in a message.
func cut(b []byte) string {
	const limit = 40
	if len(b) > limit {
		return string(bytes.ToValidUTF8(b[:limit], nil)) + "..."
	}
	return string(b)
}
