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

// TestHandover: what the heir of a provider's chain reports is the provider's, and the report
// says so.
func TestHandover(t *testing.T) {
	w := &world{newTestLog(t, "log.provider.example"), newTestLog(t, "log.auditor.example"), map[string]monitor.EntryRef{}}
	hour := func(n time.Duration) time.Time { return first.Add(n * time.Hour) }
	for n, uid := range []string{"a", "b"} {
		w.observe(uid, hour(time.Duration(n)), nil)
	}
	p := w.provider
	p.record("provider", scitt.TypeRecord, monitor.Create, hour(0), "a", nil)
	h := testlog.NewHandover(t, "inventory", testKey("provider"), testKey("heir"))
	p.add(testlog.Handover(t, testKey("provider"), h, p.entries[0]))
	p.add(testlog.Handover(t, testKey("heir"), h, p.entries[1]))
	taken := must(scitt.DecodeStatement(p.entries[2]))(t)
	p.heads["heirinventory"] = &scitt.Head{Seq: taken.Chain.Seq, ID: taken.ID()}
	p.record("heir", scitt.TypeRecord, monitor.Create, hour(1), "b", nil)

	o := w.options(t)
	o.Compare, o.ReportedBy = true, []string{issuer(t, "provider")}
	out := must(Make(t.Context(), w.sources(), o))(t)
	c := out.Comparisons[0]
	want := []monitor.Handover{{Chain: "inventory", From: h.From, To: h.To,
		Entry: monitor.EntryRef{EntryID: taken.ID().String(), Index: 2, Origin: p.origin}}}
	if !slices.Equal(c.Reported.Handovers, want) || len(c.Observed.Handovers) > 0 || c.Metrics[monitor.Inventory].Missing != 0 {
		t.Errorf("handovers %+v, metrics %+v", c.Reported.Handovers, c.Metrics[monitor.Inventory])
	}
	if page := string(must(out.HTML())(t)); !strings.Contains(page, "the chain <bdi>inventory</bdi> of ") || !strings.Contains(page, "from entry 2 on") {
		t.Error("the page does not say it")
	}
}
