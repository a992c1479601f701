package monitor

import (
	"strings"
	"testing"

	"github.com/conmotion/conmotion/scitt"
)

// TestFilter: names become types and back, and the order in which things are named
// does not count.
func TestFilter(t *testing.T) {
	for _, c := range []struct {
		issuers, types []string
		says           string
		same           Filter
	}{
		{nil, []string{"record"}, "record of all issuers", Filter{}},
		{[]string{"b", "a"}, []string{"record", "observation"}, "record, observation of b, a", Filter{[]string{"a", "b"}, []string{scitt.TypeObservation, scitt.TypeRecord}}},
	} {
		f, err := NewFilter(c.issuers, c.types)
		if err != nil || f.String() != c.says || !f.Equal(c.same) || f.Equal(Filter{Types: []string{scitt.TypeObservation}}) {
			t.Errorf("%v, %v: %q, %v", c.issuers, c.types, f, err)
		}
	}
	if _, err := NewFilter(nil, []string{"measurement"}); err == nil || err.Error() != `"measurement": it is record or observation` {
		t.Error(err)
	}
	if says := (Filter{Types: []string{"x"}}).String(); !strings.HasPrefix(says, "x of ") {
		t.Error(says)
	}
}
