package policy

import "strings"

// match reports whether text fits a pattern, in which "*" stands for any run of
// characters, also none and also with separators in it; every other character
// stands for itself. So "a/*" is a prefix and a pattern without a star is an
// exact text.
func match(pattern, text string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	if !ok {
		return false
	}
	// Each middle part is taken at its first place: no later one can help.
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, part)
		}
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text, rest = text[i+len(part):], next
	}
}

// head is the part of a pattern before its first star.
func head(pattern string) string { h, _, _ := strings.Cut(pattern, "*"); return h }

func isPattern(s string) bool { return strings.Contains(s, "*") }

func matchAny(patterns []string, text string) bool {
	for _, p := range patterns {
		if match(p, text) {
			return true
		}
	}
	return false
}
