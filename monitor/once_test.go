package monitor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/internal/testlog"
	"github.com/conmotion/conmotion/scitt"
)

// newES256Party is a party whose statements have twins.
func newES256Party(t testing.TB, name, typ string) *party {
	p := newParty(t, name, typ)
	p.key = testlog.FixedKey(t, name)
	return p
}

// with is the party with these entries in place of its own.
func (p *party) with(entries ...[]byte) *party {
	q := *p
	q.entries = entries
	return &q
}

// flaws are the anomalies as "index kind", and "of index" where there is one before.
func flaws(list []Anomaly) (out []string) {
	for _, a := range list {
		text := fmt.Sprintf("%d %s", a.Entry.Index, a.Kind)
		if a.Previous != nil {
			text += fmt.Sprintf(" of %d", a.Previous.Index)
		}
		out = append(out, text)
	}
	return out
}

// copied are logs that an operator, or a stranger who found a way, has put
// copies into, by the honest log's entries.
var copied = map[string]struct {
	entries func(t testing.TB, e [][]byte) [][]byte
	flaws   []string
}{
	"twin of a create after its delete": {func(t testing.TB, e [][]byte) [][]byte {
		return append(slices.Clone(e), testlog.Twin(t, e[0]))
	}, []string{"6 duplicate of 0"}},
	"the same create after its delete": {func(t testing.TB, e [][]byte) [][]byte {
		return append(slices.Clone(e), e[0])
	}, []string{"6 duplicate of 0"}},
	"twin of an old delete": {func(t testing.TB, e [][]byte) [][]byte {
		return append(slices.Clone(e), testlog.Twin(t, e[2]), testlog.Twin(t, e[2]))
	}, []string{"6 duplicate of 2", "7 duplicate of 2"}},
	"chain continues after a copy": {func(t testing.TB, e [][]byte) [][]byte {
		return slices.Insert(slices.Clone(e), 2, testlog.Twin(t, e[1]), e[0], testlog.Twin(t, e[0]))
	}, []string{"2 duplicate of 1", "3 duplicate of 0", "4 duplicate of 0"}},
	"garbage before every entry": {func(t testing.TB, e [][]byte) (out [][]byte) {
		for _, entry := range e {
			out = append(out, testlog.Garbage(entry), entry)
		}
		return out
	}, []string{"0 signature", "2 signature", "4 signature", "6 signature", "8 signature", "10 signature"}},
	"garbage, twin, original, garbage": {func(t testing.TB, e [][]byte) [][]byte {
		return slices.Concat([][]byte{testlog.Garbage(e[0]), testlog.Twin(t, e[0]), e[0], testlog.Garbage(e[0])}, e[1:])
	}, []string{"0 signature", "2 duplicate of 1", "3 signature"}},
	"garbage far ahead, and twins": {func(t testing.TB, e [][]byte) [][]byte {
		return slices.Concat([][]byte{testlog.Garbage(e[4])}, e, [][]byte{testlog.Twin(t, e[4]), testlog.Twin(t, e[0])})
	}, []string{"0 signature", "7 duplicate of 5", "8 duplicate of 1"}},
}

// copyParty has a log in which copies would do harm.
func copyParty(t testing.TB) *party {
	p := newES256Party(t, "provider", scitt.TypeRecord)
	p.record(inventory(Create, noon, "web"))                                      // 0
	p.record(configured(Create, noon+minute, "web", object{"tls": "1.3"}))        // 1
	p.record(inventory(Delete, noon+2*minute, "web"))                             // 2
	p.record(inventory(Create, noon+3*minute, "db"))                              // 3
	p.record(configured(Create, noon+4*minute, "db", object{"encrypted": false})) // 4
	p.record(configured(Modify, noon+5*minute, "db", object{"encrypted": true}))  // 5
	return p
}

// stateOf is a replay without what copies may change: places in the log and anomalies.
func stateOf(r *Replay) string {
	var b strings.Builder
	for _, a := range r.Assets() {
		fmt.Fprintln(&b, a.UID, a.Created.ID, a.Last.ID, a.Created.Time, a.Last.Time, a.Configurations)
	}
	for _, c := range r.Configurations() {
		fmt.Fprintln(&b, c.UID, c.Created.ID, c.Last.ID, c.SHA256, c.Assets)
	}
	records, deferred := r.Counts()
	fmt.Fprintln(&b, records, deferred, r.LastTime())
	for _, key := range []string{string(Inventory), string(Configuration)} {
		head := r.chains[chainKey{r.issuers[0], key}]
		fmt.Fprintln(&b, key, head.seq, head.ID)
	}
	return b.String()
}

// TestCopies: a replay, a history and a comparison of a log with copies in it
// come to what they come to without, and list the copies.
func TestCopies(t *testing.T) {
	honest := copyParty(t)
	want := stateOf(honest.replay(nil))
	history := func(p *party) string {
		var b strings.Builder
		for _, s := range must(HistoryOf(t.Context(), p.log(), p.side().Filter, "web", 1<<40))(t).Steps {
			fmt.Fprintln(&b, s.Action, s.What, s.Entry.EntryID)
		}
		return b.String()
	}
	auditor := newES256Party(t, "auditor", scitt.TypeObservation)
	auditor.record(inventory(Create, noon, "web"))
	auditor.record(inventory(Create, noon+3*minute, "db"))
	metrics := func(p *party) string {
		c := must(Compare(t.Context(), p.side(), auditor.side(), Interval{at(noon), at(noon + 60*minute), time.Minute, nil}))(t)
		var b strings.Builder
		for _, f := range c.Findings {
			fmt.Fprintln(&b, f.Kind, f.UID, f.From, f.To)
		}
		return fmt.Sprint(*c.Metrics[Inventory], *c.Metrics[Configuration], b.String())
	}
	for name, c := range copied {
		t.Run(name, func(t *testing.T) {
			p := honest.with(c.entries(t, honest.entries)...)
			p.t = t
			r := p.replay(nil)
			if got := stateOf(r); got != want {
				t.Errorf("it comes to\n%s, not to\n%s", got, want)
			}
			list, _ := r.Anomalies()
			if got := flaws(list); !slices.Equal(got, c.flaws) {
				t.Errorf("anomalies %q, not %q", got, c.flaws)
			}
			if got, want := history(p), history(honest); got != want {
				t.Errorf("history\n%s, not\n%s", got, want)
			}
			if got, want := metrics(p), metrics(honest); got != want {
				t.Errorf("comparison\n%s, not\n%s", got, want)
			}
			p.checkSplits(r)
			golden(t, "copies/"+strings.NewReplacer(" ", "-", ",", "").Replace(name)+".json", bytesOf(t, r.Write))
		})
	}
}

// checkSplits: saved and resumed at any point, a replay comes to the same bytes.
func (p *party) checkSplits(want *Replay) {
	p.t.Helper()
	whole := bytesOf(p.t, want.Save)
	for n := range p.entries {
		r := NewReplay(p.side().Filter, nil)
		if err := r.Advance(p.t.Context(), p.log(), uint64(n)); err != nil {
			p.t.Fatal(err)
		}
		r = must(Resume(bytesOf(p.t, r.Save)))(p.t)
		if err := r.Advance(p.t.Context(), p.log(), 1<<40); err != nil {
			p.t.Fatal(err)
		}
		if got := bytesOf(p.t, r.Save); !bytes.Equal(got, whole) {
			paths, _ := differences(got, whole)
			p.t.Fatalf("resumed at %d it differs at %v", n, paths)
		}
	}
}

// TestCopyUnchecked: who does not verify takes the first, and says so.
func TestCopyUnchecked(t *testing.T) {
	honest := copyParty(t)
	p := honest.with(slices.Concat([][]byte{testlog.Garbage(honest.entries[0])}, honest.entries)...)
	log := p.log()
	log.Verify = nil
	r := NewReplay(p.side().Filter, nil)
	if err := r.Advance(t.Context(), log, 1<<40); err != nil {
		t.Fatal(err)
	}
	list, _ := r.Anomalies()
	if got := flaws(list); !slices.Equal(got, []string{"1 duplicate of 0"}) || !strings.Contains(list[0].Detail, "were not checked") {
		t.Errorf("%+v", list)
	}
	if got := stateOf(r); got != stateOf(honest.replay(nil)) {
		t.Errorf("what counts is another: %s", got)
	}
}

// TestCopyMovesMeasurement: a copy of an old delete, which would make everything
// missing, and of an old create, which would hide that it is.
func TestCopyMovesMeasurement(t *testing.T) {
	provider, auditor := newES256Party(t, "provider", scitt.TypeRecord), newES256Party(t, "auditor", scitt.TypeObservation)
	provider.record(inventory(Create, noon-3*minute, "a"))
	provider.record(inventory(Delete, noon-2*minute, "a"))
	provider.record(inventory(Create, noon-minute, "a"))
	auditor.record(inventory(Create, noon-minute, "a"))
	impact := func(p *party) int {
		c := must(Compare(t.Context(), p.side(), auditor.side(), hour))(t)
		m := must(Measure(c, measureOptions(Inventory)))(t)
		if r := must(Recompute(t.Context(), m.Payload, p.log(), auditor.log()))(t); !r.Same() {
			t.Errorf("it is not computed again: %v", r.Paths)
		}
		return m.Impact
	}
	twin := provider.with(append(slices.Clone(provider.entries), testlog.Twin(t, provider.entries[1]))...)
	if got := impact(twin); got != 0 || impact(provider) != 0 {
		t.Errorf("impact %d", got)
	}
	provider.record(inventory(Delete, noon-minute/2, "a"))
	twin = provider.with(append(slices.Clone(provider.entries), testlog.Twin(t, provider.entries[2]))...)
	if got := impact(twin); got != 100 || impact(provider) != 100 {
		t.Errorf("impact %d of what is missing", got)
	}
}

// endorseIn signs an endorsement, a dispute or a withdrawal for a log.
func (p *party) endorseIn(home string, v Verdict, entry EntryRef) []byte {
	e := endorsement(v, entry, 0, 0)
	e.Home = home
	if v != Withdraw {
		e.Scope, e.Until = []string{"existence"}, at(noon+100*minute)
	}
	return must(testlog.SignAs(p.key, e, scitt.SignOptions{IssuedAt: at(noon)}))(p.t)
}

// TestCopiesOfEndorsements: what a copy would bring back, or take away.
func TestCopiesOfEndorsements(t *testing.T) {
	records := copyParty(t)
	target := EntryRef{idOf(t, records.entries[3]).String(), 3, records.origin()}
	a := newES256Party(t, "auditor", scitt.TypeObservation)
	entry := func(statement []byte) []byte { return must(scitt.ParseStatement(statement))(t).Entry() }
	endorse := entry(a.endorseIn(a.origin(), Endorse, target))
	dispute := entry(a.endorseIn(a.origin(), Dispute, target))
	ref := func(e []byte) EntryRef { return EntryRef{idOf(t, e).String(), 0, a.origin()} }
	withdraw := entry(a.endorseIn(a.origin(), Withdraw, ref(endorse)))
	retract := entry(a.endorseIn(a.origin(), Withdraw, ref(dispute)))
	for name, c := range map[string]struct {
		entries [][]byte
		want    string // standings
		flaws   []string
		ok      bool // require --endorsed-by
	}{
		"endorsed":                     {[][]byte{endorse}, "0 holds", nil, true},
		"twin of a withdrawn one":      {[][]byte{endorse, withdraw, testlog.Twin(t, endorse)}, "0 withdrawn", []string{"2 duplicate of 0"}, false},
		"twin before the withdrawal":   {[][]byte{testlog.Twin(t, endorse), endorse, withdraw}, "0 withdrawn", []string{"1 duplicate of 0"}, false},
		"twin of a retracted dispute":  {[][]byte{endorse, dispute, retract, testlog.Twin(t, dispute)}, "0 holds, 1 withdrawn", []string{"3 duplicate of 1"}, true},
		"garbage hides no endorsement": {[][]byte{testlog.Garbage(endorse), endorse}, "1 holds", []string{"0 signature"}, true},
		"garbage hides no withdrawal":  {[][]byte{testlog.Garbage(withdraw), endorse, withdraw}, "1 withdrawn", []string{"0 signature"}, false},
		"garbage alone":                {[][]byte{testlog.Garbage(endorse)}, "", []string{"0 signature"}, false},
		"garbage withdraws nothing":    {[][]byte{endorse, testlog.Garbage(withdraw)}, "0 holds", []string{"1 signature"}, true},
	} {
		found, bad, err := Endorsements(t.Context(), a.with(c.entries...).log(), nil)
		if err != nil {
			t.Fatal(err)
		}
		id := idOf(t, records.entries[3])
		if got := standings(Evaluate(found, nil, id, at(noon+minute))); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
		if got := flaws(bad); !slices.Equal(got, c.flaws) {
			t.Errorf("%s: anomalies %q, not %q", name, got, c.flaws)
		}
		q := Requirements{EndorsedBy: []string{a.issuer()}, What: Inventory}
		ok := !slices.ContainsFunc(q.Judge(id, "", found, nil, nil, at(noon+minute)), func(j Judgement) bool { return !j.OK })
		if ok != c.ok {
			t.Errorf("%s: satisfied %v", name, ok)
		}
	}

	// A copy of the newest record has its id, so the endorsement is of it too.
	twins := records.with(append(slices.Clone(records.entries), testlog.Twin(t, records.entries[3]))...)
	if asset, ok := twins.replay(nil).Asset("db"); !ok || asset.Last.ID.String() != target.EntryID || asset.Last.Index != 3 {
		t.Errorf("the newest record is %+v", asset)
	}
}
