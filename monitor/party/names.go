package party

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/conmotion/conmotion/internal/durable"
)

// Names are what the user calls issuers and logs: a name by the iss of the
// statements, or by the origin of the checkpoints. They are the user's own word: no
// name is ever taken from a log.
type Names map[string]string

// namesFile is how Home keeps Names.
type namesFile struct {
	Format string `json:"format"`
	Names  Names  `json:"names"`
}

const (
	formatNames = "conmotion-names/1"
	maxName     = 64 // characters
)

// ErrName is wrapped when something cannot have the name that was given to it.
var ErrName = errors.New("not a name for it")

// Names returns the names that are remembered.
func (h Home) Names() (Names, error) {
	if h == "" {
		return nil, nil
	}
	path := filepath.Join(string(h), "names.json")
	data, err := durable.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("remembered names: %w", err)
	}
	var file namesFile
	if err = json.Unmarshal(data, &file); err == nil && file.Format != formatNames {
		err = fmt.Errorf("its format is %q", file.Format)
	}
	if err == nil {
		_, err = (Names)(nil).with(file.Names)
	}
	if err == nil {
		return file.Names, nil
	}
	return nil, fmt.Errorf("%s %w; remove it to give the names anew: %w", path, ErrDamaged, err)
}

// Call remembers more names, and returns all of them: see Names.with. A crash
// leaves the names that were there, or all.
func (h Home) Call(ctx context.Context, more Names) (Names, error) {
	done, err := h.lock(ctx, "names")
	if err != nil {
		return nil, err
	}
	defer done()
	names, err := h.Names()
	if err == nil {
		names, err = names.with(more)
	}
	if err != nil || h == "" {
		return names, err
	}
	data, err := json.MarshalIndent(namesFile{formatNames, names}, "", "  ")
	if err == nil {
		err = writeFile(filepath.Join(string(h), "names.json"), append(data, '\n'))
	}
	return names, err
}

// with is these names and more; the name "" forgets one. The error wraps
// [ErrName] when two would have one name, or it is not a name.
func (n Names) with(more Names) (Names, error) {
	out := Names{}
	maps.Copy(out, n)
	maps.Copy(out, more)
	maps.DeleteFunc(out, func(_, name string) bool { return name == "" })
	ids := map[string]string{} // by name
	for _, id := range slices.Sorted(maps.Keys(out)) {
		name := out[id]
		switch other, taken := ids[name]; {
		case id == "":
			return nil, fmt.Errorf("%q: %w: nothing is named", name, ErrName)
		case !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName || name != strings.TrimSpace(name) || strings.ContainsFunc(name, notInName):
			return nil, fmt.Errorf("%q: %w: a name has at most %d characters that can be printed, and neither « nor »", name, ErrName, maxName)
		case taken:
			return nil, fmt.Errorf("%q: %w: %s and %s would have one name; forget one of them first, with an empty name", name, ErrName, other, id)
		}
		ids[name] = id
	}
	return out, nil
}

func notInName(r rune) bool { return mark(r) || r != ' ' && !unicode.IsPrint(r) }

// mark reports whether it is one of the marks around names.
func mark(r rune) bool { return r == '«' || r == '»' }

// Text is text for people in which everything that has a name is called by it, in
// guillemets: «Name». Guillemets that stand in the text are escaped, so that nobody
// else can look as if they had the name.
func (n Names) Text(s string) string {
	if len(n) == 0 {
		return s
	}
	var b strings.Builder
	before := ' '
	for len(s) > 0 {
		if id := n.prefix(s); id != "" && !within(before) {
			b.WriteString("«" + n[id] + "»")
			s, before = s[len(id):], '»'
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		if mark(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteString(s[:size])
		}
		s, before = s[size:], r
	}
	return b.String()
}

// prefix is the identifier with a name that text begins with, and that ends there.
func (n Names) prefix(s string) (longest string) {
	for id := range n {
		if rest, ok := strings.CutPrefix(s, id); ok && len(id) > len(longest) && ends(rest) {
			longest = id
		}
	}
	return longest
}

// ends reports whether what follows an identifier does not belong to it: the origin
// log.example is neither in log.example/other nor in log.example.org.
func ends(rest string) bool {
	end := strings.TrimLeft(rest, ".:!?") // of the sentence
	r, _ := utf8.DecodeRuneInString(end)
	if len(end) < len(rest) {
		return end == "" || unicode.IsSpace(r)
	}
	return rest == "" || !within(r)
}

// within reports whether a character beside an identifier may be a part of a longer one.
func within(r rune) bool { return !unicode.IsSpace(r) && !strings.ContainsRune(`()[]{}<>"',;|`, r) }

// In are those names whose identifiers are in a JSON document.
func (n Names) In(document []byte) Names {
	in := Names{}
	for id, name := range n {
		quoted, err := json.Marshal(id)
		if err == nil && strings.Contains(string(document), strings.Trim(string(quoted), `"`)) {
			in[id] = name
		}
	}
	return in
}
