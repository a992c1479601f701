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
	end := func(i int) {
		switch {
		case isFolded:
			f(string(folded))
		case i > start:
			f(text[start:i])
		}
		isFolded, folded = false, folded[:0]
	}
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf && asciiWord[c] == c { // the usual case
			if isFolded {
				folded = append(folded, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		lower := unicode.ToLower(r)
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai):
			end(i)
			f(text[i : i+size])
			start = i + size
		case r == utf8.RuneError, !unicode.In(r, unicode.L, unicode.N, unicode.M):
			end(i)
			start = i + size
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
	end(len(text))
}

// asciiWord has the lower case of each ASCII letter and digit, and elsewhere
// a byte that is not the character's.
var asciiWord = func() (t [utf8.RuneSelf]byte) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z':
			t[c] = byte(c)
		case c == 0xff:
		default:
			t[c] = 0xff
		}
	}
	return t
}()
