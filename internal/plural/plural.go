// Package plural counts things in sentences.
package plural

import (
	"strconv"
	"strings"
)

// Form chooses the words for a number, which "%d" stands for: "1 checkpoint", "%d checkpoints".
func Form[N ~int | ~int64 | ~uint64](n N, one, more string) string {
	if n == 1 {
		return one
	}
	return strings.ReplaceAll(more, "%d", strconv.FormatUint(uint64(n), 10))
}

// Of writes a number and what is counted: "1 entry", "2 entries". The noun is in
// the singular.
func Of[N ~int | ~int64 | ~uint64](n N, noun string) string {
	return Form(n, "1 "+noun, "%d "+many(noun))
}

// many is the plural of the nouns in this project's sentences: "-y" after a
// consonant becomes "-ies".
func many(noun string) string {
	if n := len(noun); n > 1 && noun[n-1] == 'y' && noun[n-2] != 'e' && noun[n-2] != 'a' {
		return noun[:n-1] + "ies"
	}
	return noun + "s"
}

// Verb writes Of with the verb that fits: "1 log vouches", "2 logs vouch".
func Verb[N ~int | ~int64 | ~uint64](n N, noun, one, more string) string {
	return Of(n, noun) + " " + Form(n, one, more)
}
