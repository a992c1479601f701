package cloud

import (
	"context"
	"strconv"
	"strings"
	"testing"
)

// fake is a bucket with one object, which may ignore conditions.
type fake struct {
	Bucket
	writes                      int
	there                       bool
	ignoresMatch, ignoresAbsent bool
}

func (f *fake) String() string { return "fake://bucket" }

func (f *fake) Put(_ context.Context, _ string, _ []byte, when Condition) (string, error) {
	if when.Absent && f.there && !f.ignoresAbsent || when.Match != "" && when.Match != strconv.Itoa(f.writes) && !f.ignoresMatch {
		return "", ErrCondition
	}
	f.writes++
	f.there = true
	return strconv.Itoa(f.writes), nil
}

func (f *fake) Holds(context.Context, string) (bool, error) { return false, nil }

func (f *fake) Remove(context.Context, string) error {
	f.there = false
	return nil
}

// TestNoConditions: a store that ignores a condition is not used.
func TestNoConditions(t *testing.T) {
	for name, c := range map[string]struct {
		fake
		want string
	}{
		"a good store":        {fake{there: true}, ""},
		"ignores If-Match":    {fake{ignoresMatch: true}, "ignores the condition that the object is the one that was read"},
		"ignores If-No-Match": {fake{ignoresAbsent: true}, "ignores the condition that there is no object yet"},
	} {
		err := probe(t.Context(), &c.fake)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.there {
			t.Errorf("%s: something is left", name)
		}
	}
}
