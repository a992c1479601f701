package watch

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// measure signs a measurement of what is in two logs; change may make a lie of it.
func (w *world) measure(by *issuer, reported, observed *site, change func(payload string) string) []byte {
	w.t.Helper()
	side := func(s *site, typ string) monitor.Party {
		l := testlog.Must(party.Open(w.t.Context(), "http://"+s.keys.Note.Name(), party.Options{VKeys: s.keys.VKeys, Client: client.Options{HTTP: clientOf(w)}}))(w.t)
		return monitor.Party{Log: l.Monitor(), Filter: monitor.Filter{Types: []string{typ}}}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	in := monitor.Interval{From: now.Add(-24 * time.Hour), To: now}
	c := testlog.Must(monitor.Compare(w.t.Context(), side(reported, scitt.TypeRecord), side(observed, scitt.TypeObservation), in))(w.t)
	m := testlog.Must(monitor.Measure(c, monitor.MeasureOptions{What: monitor.Inventory, At: now, Home: observed.keys.Note.Name()}))(w.t)
	if change != nil {
		m.Payload = []byte(change(string(m.Payload)))
	}
	return testlog.Must(testlog.SignAs(by.key, m, scitt.SignOptions{IssuedAt: now}))(w.t)
}

func (i *issuer) observe(uid string) []byte {
	return i.sign(scitt.SignOptions{Type: scitt.TypeObservation, Subject: "inventory/" + uid}, inventoryEvent(i.t, monitor.Create, uid))
}

// TestMeasurements: the newest measurement by those who are trusted counts, and
// is computed again from the logs that are watched.
func TestMeasurements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		provider, auditor := w.log("provider.example"), w.log("auditor.example")
		alice, anna, mallory := newIssuer(t), newIssuer(t), newIssuer(t)
		config := fmt.Sprintf(`
logs:
  - name: provider
    location: http://provider.example
  - name: auditor
    location: http://auditor.example
    measurements:
      - {name: ten, by: [%q], about: [provider.example], what: [inventory], over: 10, recompute: true}
      - {name: sixty, by: [%q], over: 60}
      - {name: elsewhere, by: [%q], about: [other.example], over: 0}
`, anna.did, anna.did, anna.did)
		provider.add(alice.record(monitor.Create, "i-1"))
		auditor.add(anna.observe("i-1"), anna.observe("i-2"))
		time.Sleep(time.Minute)
		// In history 50 percent were missing; then the first look.
		auditor.add(w.measure(anna, provider, auditor, nil))
		_, alerts := w.once(config, "auditor measurement fired")
		if a := alerts[0]; a.Rule != "ten" || !strings.Contains(a.Message, "50 percent of the inventory are missing from the reports in provider.example, more than 10") || a.Severity != monitor.High {
			t.Errorf("%+v", a)
		}
		// Again 50; and somebody's whose word does not count.
		time.Sleep(time.Minute)
		auditor.add(w.measure(anna, provider, auditor, nil), w.measure(mallory, provider, auditor, func(p string) string {
			return strings.Replace(p, `"impact_score":50`, `"impact_score":99`, 2)
		}))
		w.once(config)
		// The provider reports it.
		provider.add(alice.record(monitor.Create, "i-2"))
		time.Sleep(time.Minute)
		auditor.add(w.measure(anna, provider, auditor, nil))
		w.once(config, "auditor measurement resolved")
		// A lie is found by computing again, and counts until then.
		auditor.add(w.measure(anna, provider, auditor, func(p string) string {
			return strings.Replace(p, `"impact_score":0`, `"impact_score":70`, 2)
		}))
		_, alerts = w.once(config, "auditor measurement fired", "auditor measurement fired", "auditor measurement_differs event")
		for _, a := range alerts {
			if a.Check == checkRecomputed && (!strings.Contains(a.Message, "it says 70 percent, and they give 0") || !strings.Contains(a.Message, "$.impact_score")) {
				t.Errorf("%+v", a)
			}
		}
		// What is not a measurement, and one that pins what was never there.
		forged := w.measure(anna, provider, auditor, nil)
		forged[len(forged)-1] ^= 1
		auditor.add(forged,
			anna.sign(scitt.SignOptions{Type: scitt.TypeMeasurement, Subject: "measurement/inventory/provider.example"}, []byte(`{}`)),
			w.measure(anna, provider, auditor, func(p string) string {
				at := strings.Index(p, `"root":"`) + len(`"root":"`)
				return p[:at] + strings.Repeat("0", 64) + p[at+64:]
			}))
		w.once(config, "auditor signature event", "auditor signature event", "auditor signature event",
			"auditor invalid event", "auditor invalid event", "auditor invalid event",
			"auditor measurement resolved", "auditor measurement resolved", "auditor measurement_differs event")
		// With a log out of reach measurements wait.
		time.Sleep(time.Minute)
		auditor.add(w.measure(anna, provider, auditor, nil))
		w.host("provider.example", nil)
		w.once(config, "provider unreachable fired", "auditor measurement_unchecked fired")
		w.host("provider.example", &provider.files)
		w.once(config, "provider unreachable resolved", "auditor measurement_unchecked resolved")
		// One that runs on gives the other log some time to catch up.
		auditor.add(w.measure(anna, provider, auditor, func(p string) string { return strings.Replace(p, `"New"`, `"new"`, 1) }))
		w.host("provider.example", nil)
		stop := w.run(config)
		time.Sleep(100 * time.Second)
		w.expect("provider unreachable fired")
		time.Sleep(time.Minute)
		w.expect("auditor measurement_unchecked fired")
		w.host("provider.example", &provider.files)
		time.Sleep(3 * time.Minute)
		w.expect("provider unreachable resolved", "auditor measurement_unchecked resolved", "auditor measurement_differs event")
		stop()
	})
}

// TestWithheld: content that a provider withholds after it was measured leaves the measurement
// unchecked until it is there again, and tells who should have it: nobody is said to have lied.
func TestWithheld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		provider, auditor := w.log("provider.example"), w.log("auditor.example")
		alice, anna := newIssuer(t), newIssuer(t)
		config := fmt.Sprintf(`
logs:
  - {name: provider, location: http://provider.example}
  - name: auditor
    location: http://auditor.example
    measurements: [{name: all, by: [%q], over: 100, recompute: true}]
`, anna.did)
		event := inventoryEvent(t, monitor.Create, "i-1")
		path := reader.Digest(sha256.Sum256(event)).Path()
		provider.files.Put(path, event)
		provider.add(alice.sign(scitt.SignOptions{Type: scitt.TypeRecord, Subject: "inventory/i-1", Hash: true}, event))
		auditor.add(anna.observe("i-1"))
		w.once(config)
		time.Sleep(time.Minute)
		auditor.add(w.measure(anna, provider, auditor, nil))
		provider.files.Put(path, nil)
		_, alerts := w.once(config, "auditor measurement_unchecked fired")
		if a := alerts[0]; !strings.Contains(a.Message, "withheld by the provider") || !strings.Contains(a.Message, "in the log provider.example") {
			t.Errorf("%+v", a)
		}
		provider.files.Put(path, event)
		w.once(config, "auditor measurement_unchecked resolved")
	})
}

// TestMeasurementScope: a rule with a scope goes by measurements of that scope alone, and one without by each scope for
// itself. A configuration that drifts has the severity that it has in a report.
func TestMeasurementScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		provider, auditor := w.log("provider.example"), w.log("auditor.example")
		alice, anna := newIssuer(t), newIssuer(t)
		config := fmt.Sprintf(`
logs:
  - name: auditor
    location: http://auditor.example
    measurements:
      - {name: europe, by: [%[1]q], scope: [region=eu], drift: 0, below: 100}
      - {name: any, by: [%[1]q], drift: 0}
`, anna.did)
		provider.add(alice.record(monitor.Create, "i-1"))
		auditor.add(anna.observe("i-1"))
		w.once(config)
		for _, c := range []struct {
			region string
			drift  int
			want   []string // of each alert its rule, status, severity and message without the interval or entry
		}{
			{"us", 1, []string{"any fired Medium within region=us, 1 configuration is drifting from what was observed, by the reports in provider.example, more than 0"}},
			{"eu", 1, []string{
				"any fired Medium within region=eu, 1 configuration is drifting from what was observed, by the reports in provider.example, more than 0",
				"europe fired Medium within region=eu, 1 configuration is drifting from what was observed, by the reports in provider.example, more than 0"}},
			{"eu", 0, []string{
				"any resolved Informational 0 configurations are drifting from what was observed, by the reports in provider.example",
				"europe resolved Informational 0 configurations are drifting from what was observed, by the reports in provider.example; the reports in provider.example cover 100 % of the observed time of the inventory"}},
		} {
			time.Sleep(time.Minute)
			auditor.add(w.measure(anna, provider, auditor, func(p string) string {
				p = strings.Replace(p, `"grace_ms":0,`, fmt.Sprintf(`"grace_ms":0,"scope":["region=%s"],`, c.region), 1)
				return strings.Replace(p, `"drift":0,`, fmt.Sprintf(`"drift":%d,`, c.drift), 1)
			}))
			_, alerts := w.once(config, slices.Repeat([]string{"auditor measurement " + strings.Fields(c.want[0])[1]}, len(c.want))...)
			var got []string
			for _, a := range alerts {
				message, _, _ := strings.Cut(a.Message, " (")
				message, _, _ = strings.Cut(message, ", by entry")
				got = append(got, fmt.Sprintf("%s %s %s %s", a.Rule, a.Status, a.Severity, message))
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("%q", got)
			}
		}
	})
}

// TestEndorsements: told before they end, and when they have; renewed and
// withdrawn ones are not.
func TestEndorsements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, anna, mallory := w.log("log.example"), newIssuer(t), newIssuer(t)
		config := fmt.Sprintf(`
logs:
  - name: log
    location: http://log.example
    endorsements: [{name: encryption, by: [%q], scope: [sc-28], before: 2d}]
`, anna.did)
		day := 24 * time.Hour
		start := time.Now()
		until := func(days int) time.Time { return start.Add(time.Duration(days) * day) }
		entry, other := s.ref(0), s.ref(1)
		s.add(
			anna.endorse(monitor.Endorse, entry, start.Add(-10*day), until(-1), "sc-28"), // ended in history
			anna.endorse(monitor.Endorse, entry, start, until(5), "sc-28"),
			anna.endorse(monitor.Endorse, other, start, until(5), "sc-28"),
			anna.endorse(monitor.Endorse, other, start, until(1), "owner"), // about something else
			mallory.endorse(monitor.Endorse, other, start, until(1), "sc-28"),
		)
		w.once(config)
		time.Sleep(3 * day) // two days before
		_, alerts := w.once(config, "log endorsement_expiring fired", "log endorsement_expiring fired")
		for _, a := range alerts {
			if a.Issuer != anna.did || a.Rule != "encryption" || !strings.Contains(a.Message, "(sc-28) ends at "+stamp(until(5))) {
				t.Errorf("%+v", a)
			}
		}
		w.once(config)
		s.add(anna.endorse(monitor.Endorse, entry, time.Now(), until(20), "sc-28"))
		_, alerts = w.once(config, "log endorsement_expiring resolved")
		if !strings.Contains(alerts[0].Message, "renewed until "+stamp(until(20))) {
			t.Errorf("%+v", alerts[0])
		}
		time.Sleep(3 * day)
		_, alerts = w.once(config, "log endorsement_expired event")
		if alerts[0].Resolves == "" || alerts[0].Entry.EntryID != other.EntryID {
			t.Errorf("%+v", alerts[0])
		}
		w.once(config)
		// Nobody looked until it was over.
		time.Sleep(30 * day)
		w.once(config, "log endorsement_expired event")
		// Withdrawn before its end, but by somebody else first.
		s.add(anna.endorse(monitor.Endorse, entry, time.Now(), time.Now().Add(day), "sc-28"))
		self := s.ref(len(s.entries) - 1)
		w.once(config, "log endorsement_expiring fired")
		s.add(mallory.endorse(monitor.Withdraw, self, time.Now(), time.Time{}))
		w.once(config)
		s.add(anna.endorse(monitor.Withdraw, self, time.Now().Add(time.Hour), time.Time{}))
		w.once(config)
		time.Sleep(2 * time.Hour)
		_, alerts = w.once(config, "log endorsement_expiring resolved")
		if !strings.Contains(alerts[0].Message, "withdrawn") {
			t.Errorf("%+v", alerts[0])
		}
		time.Sleep(2 * day)
		w.once(config)
		// What is none.
		s.add(anna.sign(scitt.SignOptions{Type: scitt.TypeEndorsement, Subject: "endorsement/" + entry.EntryID}, []byte(`{"format":"x"}`)))
		w.once(config, "log invalid event")
		// A rule that is taken away takes its conditions along.
		s.add(anna.endorse(monitor.Endorse, entry, time.Now(), time.Now().Add(day), "sc-28"))
		w.once(config, "log endorsement_expiring fired")
		w.once("logs: [{name: log, location: http://log.example}]\n", "log endorsement_expiring resolved")
	})
}

// TestAdmission: what the policy does not admit is reported once, over restarts
// and whatever the audit's own state remembers.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		alice := newIssuer(t)
		s := &site{w: w, keys: testlog.NewKeysOf(t, "log.example")}
		s.entries = s.keys.Begin(t, fmt.Sprintf(`{"version": 1, "issuers": [{"issuer": %q, "subjects": ["inventory/*"]}]}`, alice.did))
		w.host("log.example", &s.files)
		s.add(alice.record(monitor.Create, "i-1"))
		s.fill(2) // by somebody who may not
		const config = "logs: [{name: log, location: http://log.example, admission: {}}]\n"
		_, alerts := w.once(config, "log admission event", "log admission event")
		if a := alerts[0]; a.Entry.Index != 3 || !strings.Contains(a.Message, "does not admit entry 3") || a.Severity != monitor.Critical {
			t.Errorf("%+v", a)
		}
		w.once(config)
		s.add(alice.record(monitor.Modify, "i-1"))
		s.fill(1)
		w.once(config, "log admission event")
		// Killed after the book was written and before the audit's state was.
		removeFile(t, w.state("log.audit.json"))
		w.once(config)
		s.fill(1)
		w.once(config, "log admission event")
	})
}

// TestContent: what a hash speaks of may be missing, or the storage down; no
// entry is passed over for that, and no other rule waits.
func TestContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, alice := w.log("log.example"), newIssuer(t)
		store := artifacts{}
		w.host("store.example", &store)
		const config = `
logs:
  - name: log
    location: http://log.example
    artifacts: http://store.example
    records:
      - {name: deletions, kinds: [inventory], actions: [delete]}
      - {name: all, types: [record]}
`
		w.once(config)
		hashed := func(uid string) []byte {
			event := inventoryEvent(t, monitor.Delete, uid)
			store.put(event)
			return alice.sign(scitt.SignOptions{Type: scitt.TypeRecord, Subject: "inventory/" + uid, Hash: true}, event)
		}
		s.add(hashed("i-1"))
		w.once(config, "log record event", "log record event")
		s.add(hashed("i-2"))
		store.clear()
		w.once(config, "log content event", "log record event")
		// Storage that is down: the rule that needs it waits, the other does not.
		s.add(hashed("i-3"), alice.record(monitor.Delete, "i-4"))
		w.host("store.example", nil)
		_, alerts := w.once(config, "log record event", "log record event", "log unreachable fired")
		if a := alerts[len(alerts)-1]; !strings.Contains(a.Message, "artifact") {
			t.Errorf("%+v", a)
		}
		s.add(alice.record(monitor.Delete, "i-5"))
		w.once(config, "log record event")
		w.host("store.example", &store)
		w.once(config, "log record event", "log record event", "log record event", "log unreachable resolved")
	})
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"*", "a/b", true},
		{"a*", "a", true}, {"a*", "b", false}, {"*b", "ab", true}, {"a*b*c", "axbxbc", true}, {"a*b*c", "ac", false}, {"a*a", "a", false}, {"a**b", "ab", true},
	} {
		if got := match(c.pattern, c.text); got != c.want {
			t.Errorf("match(%q, %q) is %v", c.pattern, c.text, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		alice := newIssuer(t)
		st := testlog.Must(scitt.ParseStatement(alice.record(monitor.Modify, "i-1")))(t)
		facts := factsOf(st.Payload)
		for name, c := range map[string]struct {
			f    entryFilter
			want bool
		}{
			"everything":      {entryFilter{}, true},
			"issuer":          {entryFilter{Issuers: []string{"x", alice.did}}, true},
			"another issuer":  {entryFilter{Issuers: []string{"x"}}, false},
			"type":            {entryFilter{Types: []string{scitt.TypeRecord}}, true},
			"another type":    {entryFilter{Types: []string{scitt.TypePolicy}}, false},
			"subject":         {entryFilter{Subjects: []string{"configuration/*", "inventory/*"}}, true},
			"another subject": {entryFilter{Subjects: []string{"configuration/*"}}, false},
			"kind":            {entryFilter{Kinds: []string{"inventory"}}, true},
			"another kind":    {entryFilter{Kinds: []string{"configuration"}}, false},
			"action":          {entryFilter{Actions: []string{"delete", "modify"}}, true},
			"another action":  {entryFilter{Actions: []string{"delete"}}, false},
			"uid":             {entryFilter{UIDs: []string{"*-1"}}, true},
			"another uid":     {entryFilter{UIDs: []string{"*-2"}}, false},
			"code":            {entryFilter{EventCodes: []string{"inventory.modify"}}, true},
			"another code":    {entryFilter{EventCodes: []string{"inventory.create"}}, false},
			"all must fit":    {entryFilter{Kinds: []string{"inventory"}, UIDs: []string{"x"}}, false},
		} {
			if got := c.f.statement(st) && c.f.event(facts); got != c.want {
				t.Errorf("%s: %v", name, got)
			}
		}
	})
	// Of other events there is a code to ask for; of none there is nothing.
	finding := testlog.Must(json.Marshal(object{"class_uid": 2004, "metadata": object{"event_code": "inventory.measure"}}))(t)
	if e := factsOf(finding); e.code != "inventory.measure" || e.kind != "" {
		t.Errorf("%+v", e)
	}
	if e := factsOf([]byte("no JSON")); e.code != "" {
		t.Errorf("%+v", e)
	}
}

// TestThresholds: each threshold is held by itself, and a coverage that is not known is none that is good.
func TestThresholds(t *testing.T) {
	zero, two, half := 0, 2, 50.0
	in := &monitor.Claim{MeasurementInputs: &monitor.MeasurementInputs{Reported: &scitt.Checkpoint{Origin: "p.example"}}, Coverage: "0.499999"}
	in.Options.What, in.Metrics.Drift, in.Impact = monitor.Configuration, 1, 3
	hidden := *in
	hidden.Metrics.Undisclosed = 2
	beyond, _ := (&measurementRule{Drift: &two}).hold(&hidden)
	if want := "1 configuration is drifting from what was observed, and 2 more may be in fields that are hidden, by the reports in p.example, more than 2"; strings.Join(beyond, "; ") != want {
		t.Errorf("%q, want %q", beyond, want)
	}
	for _, c := range []struct {
		rule     measurementRule
		coverage string
		want     string
	}{
		{measurementRule{Over: &two}, "1.000000", "3 percent of the configuration are missing from the reports in p.example, more than 2"},
		{measurementRule{Drift: &zero}, "1.000000", "1 configuration is drifting from what was observed, by the reports in p.example, more than 0"},
		{measurementRule{Drift: &two}, "1.000000", ""},
		{measurementRule{Below: &half}, "0.499999", "the reports in p.example cover 49.99 % of the observed time of the configuration, less than 50 %"},
		{measurementRule{Below: &half}, "0.500000", ""},
		{measurementRule{Below: &half}, "", "the coverage of the configuration by the reports in p.example is not known: nothing was observed"},
		{measurementRule{Over: &zero, Drift: &two}, "", "3 percent of the configuration are missing from the reports in p.example, more than 0"},
	} {
		in.Coverage = c.coverage
		beyond, _ := c.rule.hold(in)
		if got := strings.Join(beyond, "; "); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
