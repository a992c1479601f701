// Package plural counts things in sentences.
package plural

import "fmt"

// Of writes a number and what is counted: "1 entry", "2 entries". The noun is in
// the singular.
func Of[N ~int | ~int64 | ~uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %s", n, many(noun))
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
	if n == 1 {
		return Of(n, noun) + " " + one
	}
	return Of(n, noun) + " " + more
}
