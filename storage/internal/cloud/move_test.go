package cloud

import (
	"context"
	"errors"
	"testing"

	"github.com/conmotion/conmotion/storage"
)

// known is a database with a state.
type known struct {
	Database
	state State
}

func (k known) String() string                       { return "fake://database" }
func (k known) State(context.Context) (State, error) { return k.state, nil }

// TestVacant: a log is moved to a place that nobody has, or that was claimed for it. A move that is interrupted
// within the claim can be done again.
func TestVacant(t *testing.T) {
	const here = "fake://bucket"
	for name, c := range map[string]struct {
		state  State
		vacant bool
	}{
		"empty":                           {State{}, true},
		"the claim was interrupted":       {State{Bound: true, Origin: "log", Bucket: here}, true},
		"claimed":                         {State{Bound: true, Origin: "log", Bucket: here, Moved: arriving}, true},
		"claimed for another log":         {State{Bound: true, Origin: "other", Bucket: here, Moved: arriving}, false},
		"claimed with another bucket":     {State{Bound: true, Origin: "log", Bucket: "fake://other", Moved: arriving}, false},
		"moved away":                      {State{Bound: true, Origin: "log", Bucket: here, Moved: "fake://other"}, false},
		"a log":                           {State{Bound: true, Origin: "log", Bucket: here, Engine: true, Next: 1, Size: 1}, false},
		"a log that is not conmotion's":   {State{Engine: true}, false},
		"a log of which nothing is there": {State{Bound: true, Origin: "log", Bucket: here, Engine: true}, false},
	} {
		d := New(Place{Bucket: &fake{}, Database: known{state: c.state}}, storage.WriterOptions{})
		if err := d.Vacant(t.Context(), "log"); (err == nil) != c.vacant || err != nil && !errors.Is(err, storage.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := New(Place{Bucket: &fake{}, Database: known{state: State{Bound: true, Origin: "log", Bucket: here, Engine: true, Next: 1}}}, storage.WriterOptions{})
	d.writer.stop = func() {} // it is the writer
	if err := d.Expect(t.Context(), "log"); !errors.Is(err, storage.ErrForeign) {
		t.Errorf("a log that was made meanwhile: %v", err)
	}
}
