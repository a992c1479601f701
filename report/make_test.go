package report

import "testing"

func TestGolden(t *testing.T) {
	w := newWorld(t)
	r := must(Make(t.Context(), w.sources(), w.options(t)))(t)
	golden(t, "report.json", must(r.JSON())(t))
	golden(t, "report.html", must(r.HTML())(t))
	golden(t, "report.prom", r.Prometheus())
}
