package personality

import (
	"cmp"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// hidden takes the operator's directories out of texts for everybody.
type hidden struct{ within, itself *regexp.Regexp }

// newHidden knows these directories, except for the current one and "/". A directory
// that is named with one word is hidden where something in it is named, and not
// where a text has that word.
func newHidden(dirs []string) hidden {
	var within, itself []string
	for _, dir := range dirs {
		if dir = filepath.Clean(dir); dir == "." || dir == "/" {
			continue
		}
		within = append(within, dir)
		if strings.Contains(dir, "/") {
			itself = append(itself, dir)
		}
	}
	return hidden{paths(within, "/"), paths(itself, `($|[^\w./-])`)}
}

// paths matches the directories where a path begins there, and this follows.
func paths(dirs []string, follows string) *regexp.Regexp {
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for i, dir := range dirs {
		dirs[i] = regexp.QuoteMeta(dir)
	}
	if len(dirs) == 0 {
		return nil
	}
	return regexp.MustCompile(`(^|[^\w./-])(?:` + strings.Join(dirs, "|") + `)` + follows)
}

func (h hidden) replace(text string) string {
	if h.itself != nil {
		text = h.itself.ReplaceAllString(text, "${1}the directory$2")
	}
	if h.within != nil {
		text = h.within.ReplaceAllString(text, "$1")
	}
	return text
}
