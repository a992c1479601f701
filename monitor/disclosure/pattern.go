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
		if bare == "" || strings.ContainsAny(bare, `[]\?@`) || strings.ReplaceAll(elements, "[]", "") != "" {
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
func (p Pattern) Matches(steps []string) bool { return p.matches(steps, false) }

// MatchesLoosely is Matches for documents of any source: what one has as an array another
// has as an object, so elements that only the pattern or only the path has make no
// difference; but "*" alone stands for the members of what is before it, and not of its elements.
func (p Pattern) MatchesLoosely(steps []string) bool { return p.matches(steps, true) }

func (p Pattern) matches(steps []string, loosely bool) bool {
	n := len(steps)
	for i := len(p.steps) - 1; i >= 0; i-- { // the last differs most often
		want := p.steps[i]
		if loosely && want != Element && i < len(p.steps)-1 && p.steps[i+1] != "*" {
			for n > 0 && steps[n-1] == Element {
				n--
			}
		}
		if n > 0 && match(want, steps[n-1]) {
			n--
		} else if !loosely || want != Element || i == len(p.steps)-1 {
			return false
		}
	}
	return true
}

func match(want, step string) bool {
	if step == want {
		return true
	}
	star := strings.LastIndexByte(want, '*')
	if step == Element || star < 0 || !strings.HasSuffix(step, want[star+1:]) {
		return false
	}
	if star == 0 {
		return true
	}
	ok, err := path.Match(want, strings.ReplaceAll(step, "/", "|"))
	return err == nil && ok
}

// pathSteps are the steps of a JSON path, as Walk gives it.
func pathSteps(p string) (steps []string) {
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
