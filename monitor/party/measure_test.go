package party

import (
	"errors"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// TestMeasure: a measurement is registered in its home, says what the comparison came to, and is
// not made a second time before the first was told.
func TestMeasure(t *testing.T) {
	t.Parallel()
	s := newService(t, anybody)
	a := newAuthor(t)
	all := []Draft{assetRecord(t, "create", holdNoon, "a", ""), assetRecord(t, "create", holdNoon, "a", ""), assetRecord(t, "create", holdNoon+1, "b", "")}
	for i := range all[1:] {
		all[i+1].Options.Type, all[i+1].Chain = scitt.TypeObservation, "observations"
	}
	a.register(a.registrar(s), "registered registered registered", all...)
	l := testlog.Must(Open(t.Context(), s.direct, Options{}))(t)
	noon := time.UnixMilli(holdNoon).UTC()
	side := func(typ string) monitor.Party {
		return monitor.Party{Log: l.Monitor(), Filter: monitor.Filter{Types: []string{typ}}}
	}
	c := testlog.Must(monitor.Compare(t.Context(), side(scitt.TypeRecord), side(scitt.TypeObservation), monitor.Interval{From: noon.Add(-time.Hour), To: noon.Add(time.Hour)}))(t)
	measure := func(hours time.Duration) *Measured {
		t.Helper()
		return testlog.Must(a.registrar(s).Measure(t.Context(), c, monitor.MeasureOptions{What: monitor.Inventory, At: noon.Add(hours * time.Hour)}))(t)
	}
	first := measure(2)
	if first.Impact != 50 || first.Missing != 1 || first.Union != 2 || !first.Data || first.Drift != 0 || first.Coverage == "" || first.Resumed || first.What != monitor.Inventory ||
		first.Origin != l.Origin() || first.Claim.Options.Home != l.Origin() || !first.Claim.Options.At.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("%+v", first)
	}
	again := measure(3)
	if !again.Resumed || again.EntryRef != first.EntryRef || !again.Claim.Options.At.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("before it was told: %+v", again)
	}
	if err := again.Outcome.Done(); err != nil {
		t.Fatal(err)
	}
	if next := measure(3); next.Resumed || next.EntryRef == first.EntryRef {
		t.Errorf("after it was told: %+v", next)
	}
	if _, err := a.registrar(s).Measure(t.Context(), c, monitor.MeasureOptions{What: "weather", At: noon.Add(2 * time.Hour)}); !errors.Is(err, monitor.ErrMalformed) {
		t.Errorf("of something else: %v", err)
	}
	l = testlog.Must(Open(t.Context(), s.direct, Options{}))(t)
	for index, want := range map[uint64]error{first.Index: nil, 2: ErrNoMeasurement} {
		e := testlog.Must(l.Find(t.Context(), EntryName{Index: index}, nil))(t)
		payload, err := l.Measurement(t.Context(), e)
		if !errors.Is(err, want) {
			t.Errorf("entry %d: %v", index, err)
		} else if _, err := monitor.ParseMeasurement(payload); want == nil && err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
	}
}
