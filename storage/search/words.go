package search

import (
	"unicode"
	"unicode/utf8"
)

// eachWord calls f for each word of a text, in lower case. The string that f
// gets may be part of the text.
func eachWord(text string, f func(word string)) {
	var folded []byte // the word so far, when it is not just a part of the text
	start, isFolded := 0, false
	end := func(i, next int) {
		switch {
		case isFolded:
			f(string(folded))
		case i > start:
			f(text[start:i])
		}
		isFolded, folded, start = false, folded[:0], next
	}
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		var lower rune
		single := false
		if r < utf8.RuneSelf {
			lower = rune(asciiWord[r])
		} else {
			r, size = utf8.DecodeRuneInString(text[i:])
			lower, single = wordRune(r)
		}
		switch {
		case lower == 0:
			end(i, i+size)
		case single:
			end(i, i)
			end(i+size, i+size)
		case lower != r && !isFolded:
			folded, isFolded = append(folded, text[start:i]...), true
			fallthrough
		default:
			if isFolded {
				folded = utf8.AppendRune(folded, lower)
			}
		}
		i += size
	}
	end(len(text), len(text))
}

// wordRune is the lower case of a character that can be in a word, or 0, and
// whether it is a word of its own.
func wordRune(r rune) (lower rune, single bool) {
	switch {
	case r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.N, unicode.M):
		return 0, false
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai):
		return r, true
	}
	return unicode.ToLower(r), false
}

// asciiWord has the lower case of each ASCII letter and digit, and 0
// elsewhere.
var asciiWord = func() (t [utf8.RuneSelf]byte) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z':
			t[c] = byte(c)
		case c >= 'A' && c <= 'Z':
			t[c] = byte(c) + 'a' - 'A'
		}
	}
	return t
}()
