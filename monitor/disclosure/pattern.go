package disclosure

import (
	"fmt"
	"path"
	"strings"
	"unicode"
)

// Pattern selects fields of a JSON document by the end of their path: names with dots
// between them, and "[]" behind a name for the elements of an array. "*" in a name
// stands for any characters. Upper and lower case, "_" and "-" make no difference, so
// that containerDefinitions[].environment[].value is ContainerDefinitions too.
type Pattern struct{ steps []string }

// ParsePattern reads a pattern.
func ParsePattern(text string) (Pattern, error) {
	var p Pattern
	for name := range strings.SplitSeq(text, ".") {
		bare := strings.TrimRight(name, "[]")
		elements := name[len(bare):]
		if bare == "" || strings.ContainsAny(bare, `[]\?`) || strings.ReplaceAll(elements, "[]", "") != "" {
			return p, fmt.Errorf("%q is not a pattern such as environment.variables.* or containers[].env[].value", text)
		}
		p.steps = append(p.steps, fold(bare))
		for range len(elements) / 2 {
			p.steps = append(p.steps, Element)
		}
	}
	return p, nil
}

// Element is the step of a path into an array.
const Element = "[]"

// fold makes one of the spellings of a name.
func fold(name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return r == '_' || r == '-' || r >= 'A' && r <= 'Z' || r > unicode.MaxASCII }) < 0 {
		return name
	}
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// Step is the step of a path to a member of an object.
func Step(name string) string {
	if name = fold(name); name == Element { // no name of an array's element
		return ""
	}
	return name
}

// Matches reports whether the path ends as the pattern says.
func (p Pattern) Matches(steps []string) bool {
	if len(steps) < len(p.steps) {
		return false
	}
	steps = steps[len(steps)-len(p.steps):]
	for i := len(steps) - 1; i >= 0; i-- { // the last differs most often
		if steps[i] == p.steps[i] {
			continue
		}
		star := strings.LastIndexByte(p.steps[i], '*')
		if steps[i] == Element || star < 0 || !strings.HasSuffix(steps[i], p.steps[i][star+1:]) {
			return false
		}
		if star == 0 {
			continue
		}
		if ok, err := path.Match(p.steps[i], strings.ReplaceAll(steps[i], "/", "|")); err != nil || !ok {
			return false
		}
	}
	return true
}

// Steps are the steps of a JSON path, as Walk gives it.
func Steps(p string) (steps []string) {
	p = strings.TrimPrefix(p, "$")
	for p != "" {
		switch {
		case p[0] == '.':
			end := strings.IndexAny(p[1:], ".[") + 1
			if end == 0 {
				end = len(p)
			}
			steps, p = append(steps, Step(p[1:end])), p[end:]
		case strings.HasPrefix(p, `["`):
			end := 2
			for end < len(p) && p[end] != '"' {
				if p[end] == '\\' {
					end++
				}
				end++
			}
			steps, p = append(steps, Step(p[2:min(end, len(p))])), p[min(end+2, len(p)):]
		default:
			_, rest, _ := strings.Cut(p, "]")
			steps, p = append(steps, Element), rest
		}
	}
	return steps
}
