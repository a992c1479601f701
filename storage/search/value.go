package search

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// kind is what a term is about.
type kind byte

const (
	kindEntry       kind = 'e'
	kindIssuer      kind = 'i'
	kindSubject     kind = 's'
	kindKeyID       kind = 'k'
	kindType        kind = 't'
	kindContentType kind = 'c'
	kindArtifact    kind = 'a'
	kindChain       kind = 'h'
	kindRecord      kind = 'r' // chain and seq
	kindClass       kind = 'u'
	kindEventCode   kind = 'v'
	kindEventTime   kind = 'm' // a number
	kindText        kind = 'p' // a string in the payload
	kindLiteral     kind = 'b' // true, false or null
	kindBig         kind = 'g' // an integer that a double does not hold
	kindNumber      kind = 'n' // a number
	kindTime        kind = 'z' // a number: a string that is a time
	kindWord        kind = 'w'
)

// term is a value at a path, or without one a property of the entry.
type term struct {
	kind  kind
	path  string
	value string
}

func chainTerm(name string, seq uint64) term {
	return term{kindRecord, name, strconv.FormatUint(seq, 10)}
}

// emitter takes what there is to find in one entry. It keeps nothing of the
// arguments.
type emitter interface {
	term(k kind, path, value string)
	number(k kind, path string, v float64)
}

var errPayload = errors.New("search: the payload cannot be read")

// leaves takes the scalar values of one payload.
type leaves struct {
	out   emitter
	path  []byte
	depth int // of objects
	array int // of arrays
	doc   *document
}

// view is b as a string for as long as b does not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// readJSON gives the values of one JSON text to l.
func readJSON(text []byte, l *leaves) error {
	t, err := jsonx.ParseLoose(text)
	if err != nil {
		return fmt.Errorf("%w: %w", errPayload, err)
	}
	defer t.Free()
	l.json(t, 0)
	return nil
}

func (l *leaves) json(t *jsonx.Tree, n int32) {
	switch t.Kind(n) {
	case jsonx.Object:
		l.depth++
		for m := t.First(n); m != 0; m = t.Next(m) {
			back := l.push(t.Name(m))
			l.json(t, m)
			l.pop(back)
		}
		l.depth--
	case jsonx.Array:
		l.array++
		for m := t.First(n); m != 0; m = t.Next(m) {
			l.json(t, m)
		}
		l.array--
	case jsonx.String:
		l.text(t.Text(n))
	case jsonx.Number:
		l.number(t.Text(n))
	default:
		l.literal(t.Text(n))
	}
}

// maxPath is how many bytes a path has at most that can be asked for: each value is hashed with
// its path, and a name may be as long as all values below it together.
const maxPath = 512

// term gives out a value at the path where l is.
func (l *leaves) term(k kind, value string) {
	if len(l.path) <= maxPath {
		l.out.term(k, view(l.path), value)
	}
}

// value is term of a number.
func (l *leaves) value(k kind, v float64) {
	if len(l.path) <= maxPath {
		l.out.number(k, view(l.path), v)
	}
}

// push goes to a member; the result is where pop returns to.
func (l *leaves) push(name string) int {
	n := len(l.path)
	if l.depth > 1 {
		l.path = append(l.path, '.')
	}
	l.path = append(l.path, name...)
	return n
}

func (l *leaves) pop(n int) { l.path = l.path[:n] }

func (l *leaves) text(s string) {
	l.term(kindText, s)
	if len(s) >= len("2006-01-02T15:04:05Z") && s[4] == '-' && s[7] == '-' {
		if ms, err := parseTime(s); err == nil {
			l.value(kindTime, ms)
		}
	}
	eachWord(s, l.word)
	if l.array == 0 && l.depth == 2 && view(l.path) == "metadata.event_code" && l.doc.EventCode == "" {
		l.doc.EventCode = string([]byte(s))
	}
}

func (l *leaves) word(w string) { l.out.term(kindWord, "", w) }

func (l *leaves) literal(s string) { l.term(kindLiteral, s) }

// number takes a JSON number.
func (l *leaves) number(s string) {
	v := double(s)
	path := view(l.path)
	l.value(kindNumber, v)
	if isBig(s, v) {
		l.term(kindBig, s)
		return
	}
	if l.array > 0 || l.depth != 1 {
		return
	}
	// As in OCSF, 1.0 and 1e3 are not integers here.
	switch n, err := strconv.ParseInt(s, 10, 64); {
	case err != nil:
	case path == "class_uid" && l.doc.ClassUID == nil:
		l.doc.ClassUID = &n
	case path == "activity_id" && l.doc.ActivityID == nil:
		l.doc.ActivityID = &n
	case path == "time" && l.doc.Time == nil:
		l.doc.Time = &n
	}
}

// parseNumber reads a number in the grammar of JSON; one that is too large for
// a double is infinite.
func parseNumber(s string) (float64, bool) {
	t, err := jsonx.Parse([]byte(s))
	if err != nil || t.Kind(0) != jsonx.Number || t.Text(0) != s {
		return 0, false
	}
	return double(s), true
}

// double is the value of a JSON number, infinite where it is out of range.
func double(s string) float64 {
	if len(s) <= 15 {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return float64(n)
		}
	}
	v, _ := strconv.ParseFloat(s, 64)
	return v
}

// isBig reports whether a number is an integer that a double may not tell from
// its neighbours.
func isBig(s string, v float64) bool {
	if math.Abs(v) < 1<<53 {
		return false
	}
	for i := range len(s) {
		if s[i] == '.' || s[i] == 'e' || s[i] == 'E' {
			return false
		}
	}
	return true
}
