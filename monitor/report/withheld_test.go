package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// TestWithheld: content that is withheld after it was measured is told about the log
// that should have it, and never as a measurement that differs.
func TestWithheld(t *testing.T) {
	w := &world{newTestLog(t, "log.provider.example"), newTestLog(t, "log.auditor.example"), map[string]monitor.EntryRef{}}
	w.observe("a", first.Add(time.Minute), nil)
	r := must(monitor.NewRecord([]byte(`{"activity_id":1,"category_uid":5,"class_uid":5023,"metadata":{"event_code":"inventory.create","product":{"name":"test","vendor_name":"test"},"version":"1.5.0"},"resources":[{"uid":"a"}],"severity_id":1,"time":`+
		"1767225660000"+`,"type_uid":502301}`), monitor.Inventory, monitor.Create))(t)
	w.provider.add(must(testlog.SignAs(testKey("provider"), r, scitt.SignOptions{IssuedAt: first.Add(time.Minute), Hash: true}))(t))
	there := func(l *testLog) monitor.Log {
		log := l.log(len(l.entries))
		log.Artifacts = artifact(r.Payload)
		return log
	}
	c := must(monitor.Compare(t.Context(), monitor.Party{Log: there(w.provider)}, monitor.Party{Log: there(w.auditor), Filter: monitor.Filter{Types: []string{scitt.TypeObservation}}},
		monitor.Interval{From: first, To: first.Add(day)}))(t)
	m := must(monitor.Measure(c, monitor.MeasureOptions{What: monitor.Inventory, At: first.Add(day), Home: "log.auditor.example"}))(t)
	w.auditor.add(must(testlog.SignAs(testKey("auditor"), m, scitt.SignOptions{IssuedAt: first.Add(day)}))(t))
	o := w.options(t)
	o.Recompute, o.Compare = true, true
	out := must(Make(t.Context(), w.sources(), o))(t)
	s := out.Assessments[0].Series[0]
	if s.Recomputed.State != recomputedFailed || !strings.Contains(s.Recomputed.Detail, "withheld by the provider") {
		t.Errorf("%+v", s.Recomputed)
	}
	if !slices.ContainsFunc(out.Attention, func(a attention) bool {
		return a.About == "log" && a.Level == levelHigh && strings.HasPrefix(a.Text, "The log log.provider.example: content that its records name")
	}) || out.Level == critical {
		t.Errorf("%s: %+v", out.Level, out.Attention)
	}
}
