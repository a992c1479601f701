package monitor

import (
	"slices"
	"strings"
)

// Traits are what a record says of an asset beside its identity.
type Traits struct {
	Account, Region, Type string
	Tags                  []string // labels, and tags as "name:value", in order
}

// Scope says which objects are judged, or were scanned: a list of terms in order, each once. A term is KEY=VALUE or
// -KEY=VALUE, and KEY account, region, type or tag. A VALUE that ends with * stands for everything that begins so.
// An object is in it when for each KEY that stands without "-" one of the values is the object's, and none of the terms
// with "-" applies. The empty scope is everything.
type Scope []string

// scopeKeys are the keys, with the names that clouds have for accounts.
var scopeKeys = map[string]string{"account": "account", "subscription": "account", "project": "account", "cluster": "account", "region": "region", "type": "type", "tag": "tag"}

// ParseScope reads terms. Errors wrap ErrMalformed.
func ParseScope(terms []string) (Scope, error) {
	var s Scope
	for _, term := range terms {
		rest, out := strings.CutPrefix(term, "-")
		key, value, ok := strings.Cut(rest, "=")
		if !ok || scopeKeys[key] == "" || value == "" || len(value) > maxUID {
			return nil, malformed("%.80q is not a term of a scope: account, region, type or tag, = and a value; - before it leaves out", term)
		}
		text := scopeKeys[key] + "=" + value
		if out {
			text = "-" + text
		}
		s = append(s, text)
	}
	slices.Sort(s)
	return slices.Compact(s), nil
}

// String is for people.
func (s Scope) String() string {
	if len(s) == 0 {
		return "all objects"
	}
	return strings.Join(s, ", ")
}

// In reports whether one of the assets that the event describes is in a scope.
func (e *Event) In(s Scope) bool {
	return slices.ContainsFunc(e.about, func(d described) bool { return s.selects(d.traits) })
}

// check refuses a scope that is not in its one form.
func (s Scope) check() error {
	again, err := ParseScope(s)
	if err == nil && !slices.Equal(again, s) {
		err = malformed("the terms of the scope are not in order, or one is there twice")
	}
	return err
}

// selects reports whether an object with these traits is in the scope. Where two sources describe it, it is in when one
// of them says so, and left out when one of them does.
func (s Scope) selects(sources ...Traits) bool {
	asked, found := map[string]bool{}, map[string]bool{}
	for _, term := range s {
		rest, out := strings.CutPrefix(term, "-")
		key, value, _ := strings.Cut(rest, "=")
		applies := slices.ContainsFunc(sources, func(t Traits) bool { return t.has(key, value) })
		if out && applies {
			return false
		}
		if !out {
			asked[key], found[key] = true, found[key] || applies
		}
	}
	for key := range asked {
		if !found[key] {
			return false
		}
	}
	return true
}

// has reports whether a trait has a value.
func (t Traits) has(key, value string) bool {
	is := func(text string) bool {
		prefix, open := strings.CutSuffix(value, "*")
		return text == value || open && strings.HasPrefix(text, prefix)
	}
	switch key {
	case "account":
		return is(t.Account)
	case "region":
		return is(t.Region)
	case "type":
		return is(t.Type)
	}
	return slices.ContainsFunc(t.Tags, is)
}

// traitTable numbers traits: many assets have the same.
type traitTable struct {
	list    []*Traits
	numbers map[string]int
	key     []byte // room for one
}

func newTraitTable() (t traitTable) {
	t.numbers = map[string]int{}
	t.number(Traits{})
	return t
}

func (t *traitTable) number(traits Traits) int {
	t.key = t.key[:0]
	for _, text := range [...]string{traits.Account, traits.Region, traits.Type} {
		t.key = append(append(t.key, text...), 0)
	}
	for _, tag := range traits.Tags {
		t.key = append(append(t.key, tag...), 0)
	}
	n, ok := t.numbers[string(t.key)]
	if !ok {
		n = len(t.list)
		t.list, t.numbers[string(t.key)] = append(t.list, pointer(traits)), n
	}
	return n
}
