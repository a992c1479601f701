package importer

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/conmotion/conmotion/monitor/disclosure"
)

// Kinds that are none of knownSecrets: of a pattern that was given, and of what can be shown later.
const asked, shownLater = "asked", "disclosable"

// objectText is how a text begins that is meant to be a JSON object, or an array of them.
var objectText = regexp.MustCompile(`^\s*(\[\s*)*\{\s*"`)

// Redactor takes fields out of source items before anything is made of them, and counts
// what it took out. It is safe for concurrent use.
type Redactor struct {
	rules []rule
	keep  []choice
	// disclosable are the fields that can be shown later; the others are gone.
	disclosable []choice
	named       map[string]bool // kinds that are kept or, where it is true, can be shown later
	secret      *disclosure.Secret
	memos       sync.Pool // of *memo

	mu     sync.Mutex
	idle   map[string]bool // patterns and kinds of disclosable fields that none was of
	counts map[string]int
}

// choice is a pattern that was given.
type choice struct {
	disclosure.Pattern
	text string
}

type rule struct {
	disclosure.Pattern
	kind, only string
	derived    bool
}

// RedactOptions change what is taken out. Each is a pattern ([disclosure.Pattern]), or "@"
// and a kind of knownSecrets, or "@all" for all of these.
type RedactOptions struct {
	Redact      []string // beside the known fields; a pattern
	Keep        []string // what stays
	Disclosable []string // what can be shown later, whether it would be taken out or not
	Secret      *disclosure.Secret
}

// NewRedactor makes a Redactor. The error says which pattern is none.
func NewRedactor(o RedactOptions) (*Redactor, error) {
	r := &Redactor{named: map[string]bool{}, secret: o.Secret, idle: map[string]bool{}, counts: map[string]int{}}
	r.memos.New = func() any { return &memo{root: &place{}} }
	known := map[string]bool{"all": true}
	for _, s := range knownSecrets() {
		known[s.kind] = true
		for _, text := range s.patterns {
			p, err := disclosure.ParsePattern(text)
			if err != nil {
				return nil, err
			}
			r.rules = append(r.rules, rule{p, s.kind, s.only, s.derived})
		}
	}
	read := func(texts []string, shown bool) (out []choice, err error) {
		for _, text := range texts {
			if shown {
				r.idle[text] = true
			}
			if kind, ok := strings.CutPrefix(text, "@"); ok {
				if !known[kind] {
					return nil, fmt.Errorf("%q is none of the kinds %s", text, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
				}
				r.named[kind] = shown
				continue
			}
			p, err := disclosure.ParsePattern(text)
			if err != nil {
				return nil, err
			}
			out = append(out, choice{p, text})
		}
		return out, nil
	}
	var err error
	if r.keep, err = read(o.Keep, false); err != nil {
		return nil, fmt.Errorf("keep: %w", err)
	}
	if r.disclosable, err = read(o.Disclosable, true); err != nil {
		return nil, fmt.Errorf("disclosable: %w", err)
	}
	for _, text := range o.Redact {
		p, err := disclosure.ParsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("redact: %w", err)
		}
		r.rules = append(r.rules, rule{Pattern: p, kind: asked})
	}
	return r, nil
}

// Counts returns how many fields were taken out, by kind: those of the patterns that
// were given are "asked", those that can be shown later "disclosable".
func (r *Redactor) Counts() map[string]int {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// Idle returns the patterns and kinds of RedactOptions.Disclosable that were of no field.
func (r *Redactor) Idle() []string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.idle))
}

// hiding is what a Redactor knows while one source item is read.
type hiding struct {
	*Redactor
	*memo
	at      *place
	kinds   []string // of Kubernetes, of the objects around
	values  []any    // that can be shown later
	took    int
	beside  []string // names that stand beside the value that comes
	derived bool     // the second pass, for derived fields
	refused error
}

// redact takes fields out of an item, which it changes, and returns the values that
// can be shown later.
func (r *Redactor) redact(item any) ([]any, error) {
	if r == nil {
		return nil, nil
	}
	h := &hiding{Redactor: r, memo: r.memos.Get().(*memo)}
	defer r.memos.Put(h.memo)
	h.at = h.root
	h.value(item)
	if h.took > 0 {
		h.derived = true
		h.value(item)
	}
	return h.values, h.refused
}

// value returns what stands for a value.
func (h *hiding) value(v any) any {
	if kind, ok := h.matches(v); ok {
		return h.take(v, kind)
	}
	switch v := v.(type) {
	case object:
		if _, there := v[disclosure.Member]; there {
			_, _, err := disclosure.Mark(v)
			if _, own := pendingNumber(v); !(own && h.derived) && h.refused == nil { // in the first pass none is of here
				h.refused = err
			}
			return v
		}
		kind, _ := v["kind"].(string)
		h.kinds = append(h.kinds, kind)
		if h.secret == nil {
			for name, inner := range v {
				h.member(v, name, inner)
			}
		} else { // values are numbered: the same item gives the same events
			for _, name := range slices.Sorted(maps.Keys(v)) {
				h.member(v, name, v[name])
			}
		}
		h.kinds = h.kinds[:len(h.kinds)-1]
	case list:
		here := h.at
		h.at = h.element(here)
		for i := range v {
			v[i] = h.value(v[i])
		}
		h.at = here
	case string:
		return h.text(v)
	}
	return v
}

// take returns what stands for a value of a kind.
func (h *hiding) take(v any, kind string) any {
	h.took++
	h.mu.Lock()
	h.counts[kind]++
	h.mu.Unlock()
	if kind == shownLater {
		h.values = append(h.values, v)
		return pending(len(h.values) - 1)
	}
	return disclosure.Redacted()
}

// member takes out what there is to take out of a member of an object.
func (h *hiding) member(o object, name string, v any) {
	here, took := h.at, h.took
	h.at = h.enter(here, name)
	h.beside = nil
	if h.at.before == here && h.at.steps[len(here.steps)] == "value" {
		for other, v := range o {
			if text, ok := v.(string); ok && (strings.EqualFold(other, "name") || strings.EqualFold(other, "key")) {
				h.beside = append(h.beside, text)
			}
		}
	}
	if v = h.value(v); h.took > took {
		o[name] = v
	}
	h.at = here
}

// names are those that a value has beside that of its member: of the pair that it is in, and of the lines of a ConfigMap.
func (h *hiding) names(v any) []string {
	names := h.beside
	h.beside = nil
	text, ok := v.(string)
	if !ok || !h.inside("ConfigMap") {
		return names
	}
	for line := range strings.Lines(text) {
		if i := strings.IndexAny(line, "=:"); i > 0 && strings.TrimSpace(line[i+1:]) != "" {
			names = append(names, strings.Trim(strings.TrimPrefix(strings.TrimSpace(line[:i]), "export "), `"' `))
		}
	}
	return names
}

// text looks into a string that holds a JSON object or array, also in base64.
func (h *hiding) text(s string) any {
	inner, encoded := embedded(s), false
	if _, still := inner.(string); still && len(s) > 7 && (s[0] == 'e' || s[0] == 'W' || s[0] == 'I' || s[0] == 'C') {
		if raw, err := base64.StdEncoding.DecodeString(s); err == nil {
			inner, encoded = embedded(string(raw)), true
		}
	}
	if held, still := inner.(string); still || inner == nil {
		if strings.Contains(held, "{") && objectText.MatchString(held) {
			if kind, ok := h.decide(jsonText); ok {
				return h.take(s, kind)
			}
		}
		return s
	}
	before := h.took
	if h.value(inner); h.took == before {
		return s
	}
	if out := string(encode(inner)); !encoded {
		return out
	}
	return base64.StdEncoding.EncodeToString(encode(inner))
}

// matches reports whether the value at the place is to be taken out, and of which kind
// it is. What is true, false, null or empty tells nothing.
func (h *hiding) matches(v any) (kind string, ok bool) {
	names := h.names(v)
	switch v := v.(type) {
	case nil, bool:
		return "", false
	case string:
		if v == "" {
			return "", false
		}
	case object:
		if _, there := v[disclosure.Member]; there || len(v) == 0 {
			return "", false
		}
	case list:
		if len(v) == 0 {
			return "", false
		}
	}
	if !h.derived && h.chosen(h.disclosable) {
		return shownLater, true
	}
	if kind := h.rule(func(r *rule) bool { return r.derived == h.derived }); kind != "" {
		return h.decide(kind)
	}
	here := h.at
	defer func() { h.at = here }()
	for _, name := range names {
		h.at = h.enter(here.before, name)
		if kind := h.rule(func(r *rule) bool { return r.kind == credential && !h.derived }); kind != "" {
			return h.decide(kind)
		}
	}
	return "", false
}

// inside reports whether the place is in a member of an object of this kind.
func (h *hiding) inside(kind string) bool {
	return len(h.kinds) > 1 && h.kinds[len(h.kinds)-2] == kind
}

// chosen reports whether one of the patterns that were given is of the place.
func (h *hiding) chosen(patterns []choice) (ok bool) {
	for _, c := range patterns {
		if c.Matches(h.at.steps) {
			h.used(c.text)
			ok = true
		}
	}
	return ok
}

// decide reports what becomes of what is of a kind at the place.
func (h *hiding) decide(kind string) (string, bool) {
	name := "@" + kind
	shown, named := h.named[kind]
	if !named && kind != asked {
		name = "@all"
		shown, named = h.named["all"]
	}
	switch {
	case h.chosen(h.keep), named && !shown:
		return "", false
	case named:
		h.used(name)
		return shownLater, true
	}
	return kind, true
}

// pendingMark stands, with a number behind it, for a value that can be shown later, until its
// event and so its path are known.
const pendingMark = "pending-disclosure-"

func pending(n int) any { return object{disclosure.Member: pendingMark + strconv.Itoa(n)} }

func pendingNumber(v any) (n int, ok bool) {
	o, _ := v.(object)
	mark, _ := o[disclosure.Member].(string)
	number, ok := strings.CutPrefix(mark, pendingMark)
	if !ok || len(o) != 1 {
		return 0, false
	}
	n, err := strconv.Atoi(number)
	return n, err == nil
}

var pendingText = regexp.MustCompile(pendingMark + `[0-9]+`)

// seal puts the digests of the values that can be shown later into an event. Those
// in a text, as in a Pub/Sub message that stays one, are gone: they have no path.
func (d *draft) seal(secret *disclosure.Secret) (disclosures []string, err error) {
	event, err := decode(d.event)
	if err != nil {
		return nil, err
	}
	err = disclosure.Walk("$", event, func(path fmt.Stringer, v any) (any, bool, error) {
		n, ok := pendingNumber(v)
		if !ok || n >= len(d.values) {
			return nil, false, nil
		}
		mark, text, err := secret.Hide(d.asset, path.String(), d.values[n])
		disclosures = append(disclosures, text)
		return mark, true, err
	})
	d.event = pendingText.ReplaceAll(encode(event), []byte("redacted"))
	return disclosures, err
}
