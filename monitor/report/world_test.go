package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// world is a month of a provider, an auditor, and strangers.
type world struct {
	provider, auditor *testLog
	records           map[string]monitor.EntryRef // the provider's, by asset
}

func (w *world) report(uid string, when time.Time, data any) {
	w.records[uid] = w.provider.record("provider", scitt.TypeRecord, monitor.Create, when, uid, data)
}

func (w *world) observe(uid string, when time.Time, data any) {
	w.auditor.record("auditor", scitt.TypeObservation, monitor.Create, when, uid, data)
}

// newWorld plays the month: of ten servers one is reported three days late,
// one never, and the configuration of one drifts. Each day is measured but one.
func newWorld(t testing.TB) *world {
	w := &world{newTestLog(t, "log.provider.example"), newTestLog(t, "log.auditor.example"), map[string]monitor.EntryRef{}}
	for i := range 10 {
		uid := fmt.Sprintf("arn:aws:ec2:eu-central-1:340287110954:instance/i-0a52c1f3e8d97b%03d", i+1)
		w.report(uid, first.Add(time.Minute), nil)
		w.observe(uid, first.Add(2*time.Minute), nil)
		w.provider.record("provider", scitt.TypeRecord, monitor.Create, first.Add(3*time.Minute), uid, object{"encrypted": true, "public": false})
		w.observe(uid, first.Add(4*time.Minute), object{"encrypted": true, "public": false})
	}
	late, hidden, drifting := "vm-late", "db-replica-3", "arn:aws:ec2:eu-central-1:340287110954:instance/i-0a52c1f3e8d97b004"
	for n := 1; n <= 30; n++ {
		from, to := first.Add(time.Duration(n-1)*day), first.Add(time.Duration(n)*day)
		switch n {
		case 7:
			w.observe(late, from.Add(6*time.Hour), nil)
		case 10:
			w.report(late, from.Add(7*time.Hour), nil)
		case 16:
			w.observe(hidden, from.Add(9*time.Hour), nil)
		case 21:
			w.auditor.record("auditor", scitt.TypeObservation, monitor.Modify, from.Add(time.Hour), drifting, object{"encrypted": true, "public": true})
		}
		if n == 13 {
			continue
		}
		for _, what := range kinds {
			w.auditor.measurement(measure(t, w.provider, w.auditor, what, from, to), "auditor", to.Add(5*time.Minute))
		}
	}
	w.endorse(t)
	w.deceive(t)
	w.provider.signed, w.auditor.signed = first.Add(30*day), first.Add(30*day+10*time.Minute)
	return w
}

func (w *world) endorse(t testing.TB) {
	say := func(who string, verdict monitor.Verdict, entry monitor.EntryRef, from, until int, reason string, scope ...string) monitor.EntryRef {
		e := monitor.Endorsement{Entry: entry, Home: w.auditor.origin, Verdict: verdict, Scope: scope, From: first.Add(time.Duration(from) * day), Reason: reason}
		if until != 0 {
			e.Until = first.Add(time.Duration(until) * day)
		}
		return w.auditor.endorsement(who, e, e.From)
	}
	asset := func(n int) monitor.EntryRef {
		return w.records[fmt.Sprintf("arn:aws:ec2:eu-central-1:340287110954:instance/i-0a52c1f3e8d97b%03d", n)]
	}
	say("auditor", monitor.Endorse, asset(1), 1, 180, "seen on site", "configuration", "existence")
	say("auditor", monitor.Endorse, asset(2), 1, 180, "", "existence")
	say("auditor", monitor.Endorse, asset(3), 2, 37, "", "existence", "sc-28")
	say("auditor", monitor.Endorse, asset(4), 2, 180, "", "configuration")
	say("auditor", monitor.Dispute, asset(4), 21, 0, "it is reachable from the Internet", "configuration")
	say("auditor", monitor.Endorse, asset(5), 3, 25, "", "existence")
	withdrawn := say("auditor", monitor.Endorse, asset(6), 3, 180, "", "existence")
	say("auditor", monitor.Withdraw, withdrawn, 20, 0, "the wrong machine")
	say("auditor", monitor.Endorse, monitor.EntryRef{EntryID: asset(7).EntryID, Index: asset(7).Index + 1, Origin: asset(7).Origin}, 4, 180, "", "owner")
	say("auditor", monitor.Endorse, asset(8), 40, 180, "", "existence")
	say("mallory", monitor.Dispute, asset(1), 5, 0, "do not buy here", "existence")
}

// deceive registers what must not count.
func (w *world) deceive(t testing.TB) {
	from, to := first.Add(29*day), first.Add(30*day)
	empty := newTestLog(t, w.provider.origin)
	rosy := measure(t, empty, newTestLog(t, w.auditor.origin), monitor.Inventory, from, to)
	w.auditor.measurement(rosy, "mallory", to)
	forged := must(scitt.ParseStatement(must(testlog.SignAs(testKey("auditor"), rosy, scitt.SignOptions{IssuedAt: to.Add(time.Second)}))(t)))(t).Entry()
	forged[len(forged)-1] ^= 1
	w.auditor.entries = append(w.auditor.entries, forged)
	w.provider.measurement(rosy, "provider", to)
	_, header, err := rosy.ToSign()
	if err != nil {
		t.Fatal(err)
	}
	header.IssuedAt = to
	w.auditor.add(must(scitt.SignStatement(testKey("auditor"), header, []byte(`{"impact_score":0}`)))(t))
	w.auditor.measurement(measure(t, w.provider, w.auditor, monitor.Inventory, from, to), "auditor", to.Add(40*day))
	w.auditor.measurement(measure(t, w.provider, w.auditor, monitor.Inventory, first.Add(-day), first.Add(-time.Hour)), "auditor", first)
}

func (w *world) sources() []Source {
	return []Source{w.provider.source(roleProvider), w.auditor.source(roleAuditor)}
}

func (w *world) options(t testing.TB) Options {
	return Options{
		At: first.Add(30*day + time.Hour), From: first, To: first.Add(30 * day), MeasuredBy: []string{issuer(t, "auditor")}, EndorsedBy: []string{issuer(t, "auditor")},
		Grace: 15 * time.Minute, Expiring: 14 * day, Stale: 2 * day, Compare: true, Recompute: true,
		Names:   map[string]string{issuer(t, "auditor"): "Example Audit Ltd", issuer(t, "provider"): "Example Cloud"},
		Command: "conmotion report --provider https://log.provider.example --auditor https://log.auditor.example --from 2026-01-01 --to 2026-01-31",
	}
}
