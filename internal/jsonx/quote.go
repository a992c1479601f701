package jsonx

import (
	"strconv"
	"strings"
)

// Cut bounds text from outside in a message: at most so many bytes of it,
// whole characters, and "..." where something is left out.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// Quote is Cut with the text in quotes, and the "..." behind them.
func Quote(s string, most int) string {
	if len(s) <= most {
		return strconv.Quote(s)
	}
	return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "..."
}
