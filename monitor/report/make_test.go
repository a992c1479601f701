package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// make3 makes the three forms and holds them against the files in testdata.
func make3(t *testing.T, name string, sources []Source, o Options) *Report {
	t.Helper()
	r := must(Make(t.Context(), sources, o))(t)
	data := must(r.JSON())(t)
	golden(t, name+".json", data)
	if page := must(r.HTML())(t); name == "report" { // the others are looked at in package browser
		golden(t, name+".html", page)
	}
	golden(t, name+".prom", r.Prometheus())
	again := must(Make(t.Context(), sources, o))(t)
	if !bytes.Equal(data, must(again.JSON())(t)) {
		t.Error("the same inputs gave other bytes")
	}
	var read Report
	if err := json.Unmarshal(data, &read); err != nil || !bytes.Equal(data, must(read.JSON())(t)) {
		t.Errorf("what was written reads as another report: %v", err)
	}
	return r
}

func TestMonth(t *testing.T) {
	w := newWorld(t)
	sources := w.sources()
	sources[1].cosigned = w.auditor.cosigned()
	r := make3(t, "report", sources, w.options(t))
	if len(r.Assessments) != 1 || len(r.Assessments[0].Series) != 2 || r.Level != levelHigh {
		t.Fatalf("%d assessments, level %s", len(r.Assessments), r.Level)
	}
	inventory, configuration := r.Assessments[0].Series[0], r.Assessments[0].Series[1]
	if n := inventory.Newest(); len(inventory.Points) != 29 || n.Impact != 8 || n.Coverage != "0.916667" || n.Missing != 1 || inventory.Level != levelLow ||
		!slices.Equal(inventory.Missing, []string{"db-replica-3"}) || inventory.Recomputed.State != recomputedSame || n.Reported.Pin != pinConsistent {
		t.Errorf("%+v", inventory)
	}
	if n := configuration.Newest(); n.Impact != 0 || n.Drift != 1 || n.Level != levelMedium || configuration.Level != levelMedium {
		t.Errorf("%+v", configuration)
	}
	var got []string
	for _, e := range r.Endorsements.List {
		got = append(got, fmt.Sprintf("%s %s %s", e.Verdict, e.Standing, e.Target.State))
	}
	slices.Sort(got)
	if want := []string{"dispute holds found", "endorse disputed found", "endorse expired found", "endorse expiring found", "endorse holds absent", "endorse holds found", "endorse holds found", "endorse withdrawn found"}; !slices.Equal(got, want) {
		t.Errorf("endorsements %q", got)
	}
	got = nil
	for _, c := range r.LeftOut.Counts {
		got = append(got, fmt.Sprintf("%s %s %d", c.Type, c.Reason, c.Count))
	}
	if want := []string{"endorsement later 1", "endorsement stranger 1", "measurement invalid 1", "measurement later 1", "measurement signature 1", "measurement stranger 2"}; !slices.Equal(got, want) || r.LeftOut.Outside != 1 {
		t.Errorf("left out %q, %d outside", got, r.LeftOut.Outside)
	}
	got = nil
	for _, f := range r.Comparisons[0].Findings {
		got = append(got, fmt.Sprintf("%s %s", f.Kind, f.What))
	}
	if want := []string{"missing inventory", "drift configuration", "late inventory"}; !slices.Equal(got, want) {
		t.Errorf("findings %q", got)
	}
}

// TestNobodyNamed: without names those count who are in the auditor's log, and
// the report says so.
func TestNobodyNamed(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	o.MeasuredBy, o.EndorsedBy, o.Recompute, o.Compare = nil, nil, false, false
	r := must(Make(t.Context(), w.sources(), o))(t)
	if len(r.Trust.MeasuredBy.Issuers) != 2 || r.Trust.MeasuredBy.Named || len(r.Assessments) != 2 || r.Assessments[0].Series[0].Recomputed.State != recomputedNot {
		t.Errorf("%+v, %d assessments", r.Trust.MeasuredBy, len(r.Assessments))
	}
	if !slices.ContainsFunc(r.Attention, func(a attention) bool { return strings.Contains(a.Text, "Nobody was named whose measurements count") }) {
		t.Errorf("%+v", r.Attention)
	}
	// What the provider says of itself, in its own log, does not count.
	if !slices.ContainsFunc(r.LeftOut.List, func(e leftOutEntry) bool {
		return e.Reason == reasonStranger && e.Entry.Origin == w.provider.origin
	}) {
		t.Errorf("%+v", r.LeftOut.List)
	}
}

// TestScope: in a report with a scope only measurements of that scope count, and the reader's own comparison is of it.
func TestScope(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	o.Scope, o.Recompute = monitor.Scope{"type=none"}, false
	w.auditor.measurement(measure(t, w.provider, w.auditor, monitor.Inventory, first.Add(29*day), first.Add(30*day), o.Scope...), "auditor", first.Add(30*day+5*time.Minute))
	r := must(Make(t.Context(), w.sources(), o))(t)
	if len(r.Assessments) != 1 || len(r.Assessments[0].Series) != 1 || len(r.Assessments[0].Series[0].Points) != 1 || r.Assessments[0].Series[0].Newest().Data {
		t.Errorf("%+v", r.Assessments)
	}
	if m := r.Comparisons[0].Metrics[monitor.Inventory]; m.Union != 0 || len(r.Comparisons[0].Findings) != 0 {
		t.Errorf("%+v", m)
	}
	if !slices.ContainsFunc(r.LeftOut.Counts, func(c leftOutCount) bool { return c.Reason == reasonScope && c.Count == 2*29+1 }) {
		t.Errorf("%+v", r.LeftOut.Counts)
	}
}

func TestNoData(t *testing.T) {
	empty := newTestLog(t, "log.empty.example")
	empty.signed = first.Add(day)
	empty.add(must(scitt.SignStatement(testKey("log"), scitt.SignOptions{Subject: "keys"}, []byte("k")))(t))
	o := Options{At: first.Add(day), From: first, To: first.Add(day), Stale: day, Compare: true, Recompute: true}
	r := make3(t, "empty", []Source{empty.source(roleProvider)}, o)
	if r.Level != levelUnknown || len(r.Assessments) != 0 {
		t.Errorf("level %s", r.Level)
	}
	page := string(must(r.HTML())(t))
	if strings.Count(page, "No data.") != 2 || !strings.Contains(page, "No own comparison.") {
		t.Error("the page does not say that there is no data")
	}
	if r = must(Make(t.Context(), nil, o))(t); r.Level != levelUnknown || !strings.Contains(r.Attention[0].Text, "nothing can be said") {
		t.Errorf("%+v", r.Attention)
	}
	// A measurement of nothing is a measurement, and no score.
	auditor := newTestLog(t, "log.auditor.example")
	auditor.signed = first.Add(day)
	auditor.measurement(measure(t, empty, newTestLog(t, auditor.origin), monitor.Inventory, first, first.Add(day)), "auditor", first.Add(day))
	r = must(Make(t.Context(), []Source{auditor.source(roleAuditor)}, o))(t)
	if s := r.Assessments[0].Series[0]; s.Newest().Data || s.Level != levelUnknown || r.Level != levelUnknown {
		t.Errorf("%+v", s)
	}
	if strings.Contains(string(r.Prometheus()), "conmotion_impact_score") {
		t.Error("there is a score, of nothing")
	}
}

// hostile are names that would like to be something else.
var hostile = []string{
	"<script>alert(1)</script>", `"><img src=x onerror=alert(2)>`, "\u202egnp.exe\u202c", "zero\u200bwidth", "new\nline\x00nul", "{{.Format}}",
	"javascript:alert(3)", "</style></svg><!--", "مرحبا", strings.Repeat("a", 2048), strings.Repeat("w w", 600),
}

func TestHostile(t *testing.T) {
	w := &world{newTestLog(t, "log.provider.example"), newTestLog(t, "log.auditor.example/"+strings.Repeat("x", 200)), map[string]monitor.EntryRef{}}
	for i, uid := range hostile {
		if i%3 == 0 {
			w.report(uid, first.Add(time.Minute), nil)
		}
		w.observe(uid, first.Add(time.Minute), nil)
		w.observe(uid, first.Add(2*time.Minute), object{"<b>": uid})
		if i%2 == 0 {
			w.provider.record("provider", scitt.TypeRecord, monitor.Create, first.Add(2*time.Minute), uid, object{"<b>": "x"})
		}
	}
	late, twice := first.Add(2*time.Hour), first.Add(3*time.Hour)
	w.report("late", late, nil)
	w.observe("late", first.Add(time.Minute), nil)
	w.report("late", twice, nil)
	for _, what := range kinds {
		w.auditor.measurement(measure(t, w.provider, w.auditor, what, first, first.Add(day)), "auditor", first.Add(day))
	}
	from := first.Add(time.Hour)
	for _, reason := range hostile[:3] {
		ref := w.auditor.endorsement("auditor", monitor.Endorsement{Entry: w.records[hostile[0]], Home: w.auditor.origin, Verdict: monitor.Endorse, Scope: []string{"existence"}, From: from, Until: first.Add(9 * day), Reason: reason}, from)
		if reason == hostile[2] {
			w.auditor.endorsement("auditor", monitor.Endorsement{Entry: ref, Home: w.auditor.origin, Verdict: monitor.Withdraw, From: from.Add(time.Hour), Reason: reason}, from)
		}
	}
	w.auditor.add(must(scitt.SignStatement(testKey("x"), scitt.SignOptions{Type: scitt.TypeMeasurement, Issuer: hostile[0], Subject: hostile[1], IssuedAt: from}, []byte("{}")))(t))
	bad := Source{location: hostile[1], roles: []role{roleOwn}, state: stateForked, detail: hostile[0] + hostile[2], keys: keysUnknown, proofs: []proof{{hostile[0], hostile[1]}}}
	w.provider.signed, w.auditor.signed = first.Add(12*time.Hour), first.Add(12*time.Hour)
	o := Options{
		At: first.Add(day + time.Hour), From: first, To: first.Add(day), Grace: 15 * time.Minute, Stale: 2 * day, Compare: true, Recompute: true,
		MeasuredBy: []string{issuer(t, "auditor")}, EndorsedBy: []string{issuer(t, "auditor")}, Names: map[string]string{issuer(t, "auditor"): hostile[0]},
		Command: commandLine("conmotion", "report", "--name", hostile[4], hostile[2], "it's"),
	}
	r := make3(t, "hostile", append(w.sources(), bad), o)
	if r.Level != critical || r.Assessments[0].Series[0].Newest().Missing != 7 {
		t.Errorf("level %s, %d missing", r.Level, r.Assessments[0].Series[0].Newest().Missing)
	}
	page := string(must(r.HTML())(t))
	for _, harm := range []string{"<script", "<img", "onerror=alert(2)>", "\u202e", "\u200b", "\x00", "</style></svg>"} {
		if strings.Contains(page, harm) {
			t.Errorf("the page has %q", harm)
		}
	}
	for _, readable := range []string{`\u202egnp.exe\u202c`, `new\u000aline\u0000nul`, "{{.Format}}", "مرحبا", "&lt;script&gt;alert(1)&lt;/script&gt;", strings.Repeat("a", 2048)} {
		if !strings.Contains(page, readable) {
			t.Errorf("the page has not %.40q", readable)
		}
	}
}

// TestQuote: a shell takes every word for what it was.
func TestQuote(t *testing.T) {
	if got, want := commandLine("a", "", "b c", "it's", "\u202ex\n\\'"), `a '' 'b c' 'it'\''s' $'\U0000202ex\U0000000a\\\''`; got != want {
		t.Errorf("%s is not %s", got, want)
	}
}

// TestHistory: measurements that rest on another history of a log than the one
// at hand, or on more of it.
func TestHistory(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	full := len(w.provider.entries)
	record := w.provider.entries[3]
	w.provider.entries[3] = w.provider.entries[4] // another history
	r := must(Make(t.Context(), w.sources(), o))(t)
	n := r.Assessments[0].Series[0]
	if n.Newest().Reported.Pin != pinConflict || r.Level != critical || n.Recomputed.State != recomputedNot || r.Logs[0].Pins.Conflict != 2 || r.Logs[0].Level != critical {
		t.Errorf("pin %s, level %s, recomputed %+v, %+v", n.Newest().Reported.Pin, r.Level, n.Recomputed, r.Logs[0].Pins)
	}
	w.provider.entries[3] = record
	w.provider.entries = w.provider.entries[:full-2]
	r = must(Make(t.Context(), w.sources(), o))(t)
	if n := r.Assessments[0].Series[0].Newest(); n.Reported.Pin != pinAhead || r.Logs[0].Pins.Ahead == 0 {
		t.Errorf("pin %s", n.Reported.Pin)
	}
}

// TestLies: a measurement that its issuer signed and that is not true.
func TestLies(t *testing.T) {
	w := &world{newTestLog(t, "log.provider.example"), newTestLog(t, "log.auditor.example"), map[string]monitor.EntryRef{}}
	w.report("a", first.Add(time.Minute), nil)
	w.observe("a", first.Add(time.Minute), nil)
	w.observe("b", first.Add(time.Minute), nil)
	m := measure(t, w.provider, w.auditor, monitor.Inventory, first, first.Add(day))
	m.Payload = bytes.Replace(m.Payload, []byte(`"uid":"b"`), []byte(`"uid":"c"`), 1)
	w.auditor.measurement(m, "auditor", first.Add(day))
	o := w.options(t)
	r := must(Make(t.Context(), w.sources(), o))(t)
	s := r.Assessments[0].Series[0]
	if s.Recomputed.State != recomputedDiffers || !slices.Contains(s.Recomputed.Paths, "$.resources[0].uid") || r.Level != critical {
		t.Errorf("%+v, level %s", s.Recomputed, r.Level)
	}
	if !strings.Contains(string(r.Prometheus()), "\nconmotion_recomputed_same{") || !strings.Contains(string(must(r.HTML())(t)), "it differs at") {
		t.Error("not told")
	}
}

// failing is a log that ends early.
type failing struct {
	*tiles.View
	err error
}

func (f failing) Entries(ctx context.Context, from, to uint64) iter.Seq2[tiles.Entry, error] {
	return func(yield func(tiles.Entry, error) bool) {
		for e, err := range f.View.Entries(ctx, from, to-1) {
			if !yield(e, err) {
				return
			}
		}
		yield(tiles.Entry{}, f.err)
	}
}

// TestFailingLog: of a log that cannot be read to its end nothing counts.
func TestFailingLog(t *testing.T) {
	w := newWorld(t)
	for err, want := range map[error]state{tiles.ErrCorrupt: stateCorrupt, errors.New("connection reset"): stateUnreachable} {
		s := w.sources()
		view := w.auditor.view(len(w.auditor.entries))
		log := monitor.NewLog(view, nil, scitt.SelfCertifying(nil, nil).Verifier(nil))
		log.Source = failing{view, fmt.Errorf("entry 9: %w", err)}
		s[1].log = &log
		r := must(Make(t.Context(), s, w.options(t)))(t)
		if l := r.Logs[1]; l.State != want || !strings.Contains(l.Detail, "entry 9") || len(r.Assessments) != 0 || len(r.Endorsements.List) != 0 || len(r.Comparisons) != 0 {
			t.Errorf("%s: %+v, %d assessments", want, l.State, len(r.Assessments))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Make(ctx, w.sources(), w.options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestTwoLogs: a statement in two logs counts once, as of the auditor's.
func TestTwoLogs(t *testing.T) {
	w := newWorld(t)
	o := w.options(t)
	o.Compare = false
	own := newTestLog(t, "log.own.example")
	own.entries = append(own.entries, w.auditor.entries...)
	r := must(Make(t.Context(), append([]Source{own.source(roleOwn)}, w.sources()...), o))(t)
	s := r.Assessments[0].Series[0]
	if n := s.Newest(); len(s.Points) != 29 || n.Entry.Origin != w.auditor.origin || !slices.Equal(n.AlsoIn, []string{own.origin}) {
		t.Errorf("%d points, %+v", len(s.Points), n.Entry)
	}
}

// TestNoContent: a measurement whose content is not available is told, unless
// another log has it.
func TestNoContent(t *testing.T) {
	w := &world{newTestLog(t, "log.provider.example"), newTestLog(t, "log.auditor.example"), map[string]monitor.EntryRef{}}
	w.report("a", first.Add(time.Minute), nil)
	w.observe("a", first.Add(time.Minute), nil)
	m := measure(t, w.provider, w.auditor, monitor.Inventory, first, first.Add(day))
	w.auditor.add(must(testlog.SignAs(testKey("auditor"), m, scitt.SignOptions{IssuedAt: first.Add(day), Hash: true}))(t))
	own := newTestLog(t, "log.own.example")
	own.entries = append(own.entries, w.auditor.entries[len(w.auditor.entries)-1])
	o := w.options(t)
	r := must(Make(t.Context(), w.sources(), o))(t)
	if len(r.Assessments) != 0 || len(r.LeftOut.List) != 1 || r.LeftOut.List[0].Reason != reasonContent {
		t.Errorf("%+v", r.LeftOut)
	}
	s := own.source(roleOwn)
	s.log.Artifacts = artifact(m.Payload)
	r = must(Make(t.Context(), append(w.sources(), s), o))(t)
	if len(r.Assessments) != 1 || len(r.LeftOut.List) != 0 {
		t.Errorf("%+v", r.LeftOut)
	}
}

// artifact is a storage with one artifact for every digest.
type artifact []byte

func (a artifact) Artifact(_ context.Context, digest reader.Digest, _ int64) ([]byte, error) {
	if a == nil {
		return nil, fs.ErrNotExist
	}
	return a, nil
}

func TestOptions(t *testing.T) {
	good := Options{At: first.Add(day), From: first, To: first.Add(day), Stale: day}
	for name, edit := range map[string]func(*Options){
		"no interval": func(o *Options) { o.To = o.From }, "the future": func(o *Options) { o.At = o.From }, "before 1970": func(o *Options) { o.From = time.Unix(-1, 0) },
		"microseconds": func(o *Options) { o.From = o.From.Add(time.Microsecond) }, "grace": func(o *Options) { o.Grace = -1 }, "stale": func(o *Options) { o.Stale = 0 },
	} {
		o := good
		edit(&o)
		if _, err := Make(t.Context(), nil, o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTimes(t *testing.T) {
	for ms, want := range map[int64]string{0: "none", 1: "less than a second", 1000: "1 second", 119_000: "119 seconds", 120_000: "2 minutes", 7200_000: "2 hours",
		2 * 24 * 3600_000: "2 days", 1 << 62: "53375995583 days"} {
		if got := age(ms); got != want {
			t.Errorf("%d is %s, not %s", ms, got, want)
		}
	}
	for fraction, want := range map[string]string{"0.000000": "0.00 %", "0.999999": "99.99 %", "1.000000": "100 %", "0.050100": "5.01 %", "": "no data", "x": "no data"} {
		if got := coverage(fraction); got != want {
			t.Errorf("%s is %s, not %s", fraction, got, want)
		}
	}
}

// TestPlurals: the dashboard counts one and many endorsements in sentences.
func TestPlurals(t *testing.T) {
	for _, c := range []struct {
		standing standing
		want     [2]string
	}{
		{standing(monitor.Disputed), [2]string{"1 endorsement is disputed.", "2 endorsements are disputed."}},
		{standing(monitor.Withdrawn), [2]string{"1 endorsement was withdrawn by the issuer.", "2 endorsements were withdrawn by the issuer."}},
		{standing(monitor.Expired), [2]string{"1 endorsement expired in this interval.", "2 endorsements expired in this interval."}},
		{expiring, [2]string{"1 endorsement expires within 7 days.", "2 endorsements expire within 7 days."}},
	} {
		for i, want := range c.want {
			m := &maker{r: &Report{}}
			m.Expiring = 7 * 24 * time.Hour
			m.r.Endorsements.Standings = []standingCount{{Standing: c.standing, Count: i + 1}}
			m.attendStatements()
			if len(m.r.Attention) != 1 || m.r.Attention[0].Text != want {
				t.Errorf("%+v, want %q", m.r.Attention, want)
			}
		}
	}
}

// TestInvocation: the command line names all that the report depends on.
func TestInvocation(t *testing.T) {
	at := time.Date(2026, 8, 1, 6, 0, 0, 0, time.FixedZone("", 3600))
	o := Options{At: at, From: at.Add(-time.Hour), To: at, MeasuredBy: []string{"m1", "m2"}, EndorsedBy: []string{"e"}, ReportedBy: []string{"r"}, ObservedBy: []string{"o"},
		Grace: time.Minute, Expiring: time.Hour, Stale: 2 * time.Hour, Scope: monitor.Scope{"account=1"}, Compare: true, Recompute: true}
	l := Locations{Provider: []string{"p"}, Auditor: []string{"a"}, Own: []string{"own"}, Other: []string{"x"}}
	want := "conmotion report --provider p --auditor a --own own --log x --vkey k --issuer-key i=f --measured-by m1 --measured-by m2 --endorsed-by e --reported-by r --observed-by o" +
		" --name 'a=the auditor' --scope account=1 --artifacts d --before b.json --from 2026-08-01T04:00:00Z --to 2026-08-01T05:00:00Z --at 2026-08-01T05:00:00Z" +
		" --grace 1m0s --expiring 1h0m0s --stale 2h0m0s --format html"
	if got := o.Invocation(l, Given{[]string{"k"}, []string{"i=f"}, []string{"a=the auditor"}, "d", "b.json", "html"}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	o.Compare, o.Recompute = false, false
	if got := o.Invocation(Locations{}, Given{Format: "json"}); !strings.HasSuffix(got, " --compare=false --recompute=false --format json") || strings.Contains(got, "--before") || strings.Contains(got, "--artifacts") {
		t.Error(got)
	}
}
