// Package printable makes text that came from outside harmless where people read
// it.
package printable

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Line is text as a part of a line: line feeds and other control characters, and
// marks that change the direction of writing, are shown as what they are.
func Line(s string) string { return strings.ReplaceAll(Lines(s), "\n", `\u000a`) }

// Message is a text for people. What follows its first line is indented, so that
// text from outside that is in it cannot look like a line of its own.
func Message(s string) string { return strings.ReplaceAll(Lines(s), "\n", "\n  ") }

// Lines is [Line] for a document, whose lines stay.
func Lines(s string) string {
	hidden := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s // nearly always
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// JSON is a JSON text, on one line, that says the same: what is not printable in it, which can
// only be in strings, is escaped. A terminal takes some of it for commands.
func JSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff: // RFC 8259 section 7: two of them, as in UTF-16
			out = fmt.Appendf(out, "\\u%04x\\u%04x", 0xd800+(r-0x10000)>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, "\\u%04x", r)
		}
	}
	return out
}

// Time writes a NumericDate; 0 means that there is none. RFC 3339 has no others than those
// of the years 0 to 9999. The greatest and the smallest number stand for all beyond them.
func Time(seconds int64) string {
	switch {
	case seconds == 0:
		return ""
	case seconds == math.MaxInt64:
		return fmt.Sprintf("%d seconds since 1970 or more", seconds)
	case seconds == math.MinInt64:
		return fmt.Sprintf("%d seconds since 1970 or less", seconds)
	case seconds < -62167219200 || seconds > 253402300799:
		return fmt.Sprintf("%d seconds since 1970", seconds)
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

// Moment writes a time in milliseconds since 1970.
func Moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z") }
