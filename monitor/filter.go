package monitor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/scitt"
)

// Filter selects the records of one party.
type Filter struct {
	Issuers []string // iss; all when empty
	Types   []string // typ; scitt.TypeRecord when empty
}

// typeNames are the types of statements that people name by a word.
var typeNames = map[string]string{"record": scitt.TypeRecord, "observation": scitt.TypeObservation}

// NewFilter selects the statements of issuers, all when there are none, that have one of
// the types named: record or observation.
func NewFilter(issuers, types []string) (Filter, error) {
	f := Filter{Issuers: issuers}
	for _, name := range types {
		typ, ok := typeNames[name]
		if !ok {
			return f, fmt.Errorf("%q: it is record or observation", name)
		}
		f.Types = append(f.Types, typ)
	}
	return f, nil
}

// String says whose statements count, for people.
func (f Filter) String() string {
	var names []string
	for _, typ := range f.Types {
		name := typ
		for n, t := range typeNames {
			if t == typ {
				name = n
			}
		}
		names = append(names, name)
	}
	who := "all issuers"
	if len(f.Issuers) > 0 {
		who = strings.Join(f.Issuers, ", ")
	}
	return strings.Join(names, ", ") + " of " + who
}

func (f Filter) normal() Filter {
	f.Issuers, f.Types = slices.Clone(f.Issuers), slices.Clone(f.Types)
	if len(f.Types) == 0 {
		f.Types = []string{scitt.TypeRecord}
	}
	slices.Sort(f.Issuers)
	slices.Sort(f.Types)
	return Filter{slices.Compact(f.Issuers), slices.Compact(f.Types)}
}

// Equal reports whether both select the same statements.
func (f Filter) Equal(g Filter) bool {
	f, g = f.normal(), g.normal()
	return slices.Equal(f.Issuers, g.Issuers) && slices.Equal(f.Types, g.Types)
}

func (f Filter) issuer(iss string) bool {
	return len(f.Issuers) == 0 || slices.Contains(f.Issuers, iss)
}
