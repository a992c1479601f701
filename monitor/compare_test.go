package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// pair is a provider and an auditor.
type pair struct {
	t                 testing.TB
	provider, auditor *party
}

func newPair(t testing.TB) *pair {
	return &pair{t, newParty(t, "provider", scitt.TypeRecord), newParty(t, "auditor", scitt.TypeObservation)}
}

func (p *pair) compare(in Interval) *Comparison {
	p.t.Helper()
	return must(Compare(p.t.Context(), p.provider.side(), p.auditor.side(), in))(p.t)
}

// short is a finding in short.
func short(f Finding) string {
	s := fmt.Sprintf("%s %s/%s", f.Kind, f.What, f.UID)
	if f.Reported != nil {
		s += fmt.Sprintf(" r%d", f.Reported.Index)
	}
	if f.Observed != nil {
		s += fmt.Sprintf(" o%d", f.Observed.Index)
	}
	if f.LagMS != 0 {
		s += fmt.Sprintf(" lag %d", f.LagMS)
	}
	if f.Paths != nil {
		s += " " + strings.Join(f.Paths, ",")
	}
	return s
}

func findings(c *Comparison) []string {
	var out []string
	for _, f := range c.Findings {
		out = append(out, short(f))
	}
	return out
}

// hour is the interval of most tests, with 15 minutes of grace.
var hour = Interval{at(noon), at(noon + 60*minute), 15 * time.Minute, nil}

func TestCompare(t *testing.T) {
	type said struct {
		event  object
		issued int64 // minutes after noon; 0: when it happened
	}
	m := func(minutes int64) int64 { return noon + minutes*minute }
	say := func(e object) said { return said{e, 0} }
	for name, c := range map[string]struct {
		reported, observed []said
		want               []string
		missing, union     int
		pending            int
	}{
		"nothing": {},
		"agree": {[]said{say(inventory(Create, m(1), "a"))}, []said{say(inventory(Create, m(2), "a"))},
			nil, 0, 1, 0},
		"missing and phantom": {[]said{say(inventory(Create, m(1), "a"))}, []said{say(inventory(Create, m(1), "b"))},
			[]string{"phantom inventory/a r0", "missing inventory/b o0"}, 1, 2, 0},
		"too young": {nil, []said{say(inventory(Create, m(45), "a")), say(inventory(Create, m(46), "b"))},
			[]string{"missing inventory/a o0"}, 1, 2, 1},
		"before the interval": {[]said{say(inventory(Create, m(-60), "a")), say(inventory(Delete, m(-30), "a"))}, []said{say(inventory(Create, m(-60), "b")), say(inventory(Delete, m(-1), "b"))},
			nil, 0, 0, 0},
		"alive since long ago": {[]said{say(inventory(Create, m(-90), "a"))}, []said{say(inventory(Create, m(-60), "b"))},
			[]string{"phantom inventory/a r0", "missing inventory/b o0"}, 1, 2, 0},
		"after the interval": {[]said{say(inventory(Create, m(61), "a"))}, []said{say(inventory(Create, m(61), "b"))},
			nil, 0, 0, 0},
		"reported much later is late, not missing": {[]said{{inventory(Create, m(1), "a"), 16 + 60}}, []said{say(inventory(Create, m(1), "a"))},
			[]string{"late inventory/a r0 o0 lag 4500000"}, 0, 1, 0},
		"within the grace": {[]said{{inventory(Create, m(1), "a"), 16}}, []said{say(inventory(Create, m(1), "a"))},
			nil, 0, 1, 0},
		"just after the grace": {[]said{{inventory(Create, m(1), "a"), 17}}, []said{say(inventory(Create, m(1), "a"))},
			[]string{"late inventory/a r0 o0 lag 960000"}, 0, 1, 0},
		"observed before the interval is not late in it": {[]said{{inventory(Create, m(-60), "a"), 50}}, []said{say(inventory(Create, m(-60), "a"))},
			nil, 0, 1, 0},
		"reported before observed": {[]said{say(inventory(Create, m(1), "a"))}, []said{say(inventory(Create, m(40), "a"))},
			nil, 0, 1, 0},
		"lives that do not meet": {[]said{say(inventory(Create, m(1), "a")), say(inventory(Delete, m(2), "a"))}, []said{say(inventory(Create, m(30), "a"))},
			[]string{"missing inventory/a o0", "phantom inventory/a r0"}, 1, 1, 0},
		"lives that meet within the grace": {[]said{say(inventory(Create, m(1), "a")), say(inventory(Delete, m(2), "a"))}, []said{say(inventory(Create, m(17), "a"))},
			nil, 0, 1, 0},
		"second life not reported": {[]said{say(inventory(Create, m(1), "a")), say(inventory(Delete, m(2), "a"))},
			[]said{say(inventory(Create, m(1), "a")), say(inventory(Delete, m(2), "a")), say(inventory(Create, m(40), "a"))},
			[]string{"missing inventory/a o2"}, 1, 1, 0},
		"alive for no time": {[]said{say(inventory(Create, m(1), "a")), say(inventory(Delete, m(1), "a"))}, nil,
			[]string{"phantom inventory/a r0"}, 0, 1, 0},
		"deleted as the interval begins": {nil, []said{say(inventory(Create, m(-5), "a")), say(inventory(Delete, m(0), "a"))},
			nil, 0, 0, 0},
		"created as the interval ends": {nil, []said{say(inventory(Create, m(60), "a"))},
			nil, 0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			for _, side := range []struct {
				party *party
				said  []said
			}{{p.provider, c.reported}, {p.auditor, c.observed}} {
				side.party.add(testStatement(t, "keys"))
				for _, s := range side.said {
					if s.issued != 0 {
						side.party.record(s.event, m(s.issued))
					} else {
						side.party.record(s.event)
					}
				}
			}
			for _, side := range []*party{p.provider, p.auditor} { // findings count from the first record
				side.entries = side.entries[1:]
			}
			if len(c.reported) == 0 {
				p.provider.add(testStatement(t, "keys"))
			}
			if len(c.observed) == 0 {
				p.auditor.add(testStatement(t, "keys"))
			}
			got := p.compare(hour)
			if !slices.Equal(findings(got), c.want) {
				t.Errorf("findings %q, not %q", findings(got), c.want)
			}
			metrics := got.Metrics[Inventory]
			if metrics.Missing != c.missing || metrics.Union != c.union || metrics.Pending != c.pending {
				t.Errorf("metrics %+v", metrics)
			}
		})
	}
}

func TestCompareConfiguration(t *testing.T) {
	m := func(minutes int64) int64 { return noon + minutes*minute }
	old := object{"ports": []int{22, 443}, "tls": "1.2", "x y": object{"z": nil}}
	now := object{"ports": []int{443}, "tls": "1.3", "x y": object{"z": nil}}
	for name, c := range map[string]struct {
		reported, observed []object
		want               []string
	}{
		"same in another spelling": {[]object{configured(Create, m(1), "a", object{"n": 1.0, "m": "é"})}, []object{configured(Create, m(1), "a", rawJSON(`{"m":"\u00e9","n":1}`))}, nil},
		"differs": {[]object{configured(Create, m(1), "a", old)}, []object{configured(Create, m(1), "a", now)},
			[]string{`drift configuration/a r0 o0 $.ports[0],$.ports[1],$.tls`}},
		"for less than the grace": {[]object{configured(Create, m(1), "a", old), configured(Modify, m(15), "a", now)}, []object{configured(Create, m(1), "a", old), configured(Modify, m(1), "a", now)}, nil},
		"for a while": {[]object{configured(Create, m(-9), "a", old), configured(Modify, m(30), "a", now)}, []object{configured(Create, m(-9), "a", old), configured(Modify, m(5), "a", now)},
			[]string{`drift configuration/a r0 o1 $.ports[0],$.ports[1],$.tls`}},
		"twice short": {[]object{configured(Create, m(1), "a", old)},
			[]object{configured(Create, m(1), "a", old), configured(Modify, m(2), "a", now), configured(Modify, m(12), "a", old), configured(Modify, m(22), "a", now), configured(Modify, m(32), "a", old)}, nil},
		"long by several changes": {[]object{configured(Create, m(1), "a", old)},
			[]object{configured(Create, m(1), "a", 1), configured(Modify, m(10), "a", 2), configured(Modify, m(20), "a", old)},
			[]string{`drift configuration/a r0 o1 $`}},
		"one side has none": {[]object{configured(Create, m(1), "a", old)}, []object{configured(Create, m(1), "b", old)},
			[]string{"phantom configuration/a r0", "missing configuration/b o0"}},
		"modified without effect": {[]object{configured(Create, m(1), "a", old), configured(Modify, m(40), "a", old)}, []object{configured(Create, m(1), "a", now)},
			[]string{`drift configuration/a r1 o0 $.ports[0],$.ports[1],$.tls`}},
		"ends with its asset": {[]object{inventory(Create, m(1), "a"), configured(Create, m(1), "a", old), inventory(Delete, m(2), "a")}, []object{inventory(Create, m(1), "a"), configured(Create, m(1), "a", now), inventory(Delete, m(2), "a")}, nil},
		"shared by others":    {[]object{shared(Create, m(1), "c", old, "a")}, []object{shared(Create, m(1), "c", old, "b")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			for _, e := range c.reported {
				p.provider.record(e)
			}
			p.auditor.hash = true
			for _, e := range c.observed {
				p.auditor.record(e)
			}
			if got := p.compare(hour); !slices.Equal(findings(got), c.want) {
				t.Errorf("findings %q, not %q", findings(got), c.want)
			}
		})
	}
}

func TestCompareRefuses(t *testing.T) {
	p := newPair(t)
	p.provider.record(inventory(Create, noon-1, "a"))
	p.auditor.record(inventory(Create, noon, "a"))
	for name, in := range map[string]Interval{
		"backwards":   {at(noon), at(noon - 1), 0, nil},
		"empty":       {at(noon), at(noon), 0, nil},
		"micro":       {time.UnixMicro(1), at(noon), 0, nil},
		"grace":       {at(noon), at(noon + 1), -1, nil},
		"long grace":  {at(noon), at(noon + 1), maxGrace + time.Millisecond, nil},
		"before 1970": {at(-1), at(noon + 1), 0, nil},
		"after 9999":  {at(noon), time.Unix(maxSeconds+1, 0), 0, nil},
		"micro grace": {at(noon), at(noon + 1), time.Microsecond, nil},
	} {
		if _, err := Compare(t.Context(), p.provider.side(), p.auditor.side(), in); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, since := range map[string]*Replay{
		"it is of record of all issuers, and must be":   NewReplay(Filter{}, nil),
		"it is of observation of all issuers, and must": NewReplay(p.auditor.side().Filter, pointer(at(noon))),
		"its last event is of 2026":                     p.auditor.replay(nil),
	} {
		side := p.auditor.side()
		side.Since = since
		if err := side.CheckSince(hour.From); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, not %s", err, want)
		}
		if _, err := Compare(t.Context(), p.provider.side(), side, hour); !errors.Is(err, ErrResume) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func rawJSON(s string) any { return jsonRaw(s) }

type jsonRaw string

func (r jsonRaw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func (p *pair) random(rng *rand.Rand) {
	for _, side := range []*party{p.provider, p.auditor} {
		for _, e := range randomEvents(rng, 1+rng.IntN(40)) {
			side.record(e, e["time"].(int64)+rng.Int64N(20_000))
		}
	}
}

// alive is when something was alive, millisecond by millisecond, by a replay
// of the raw events: what the story of an asset means.
func alive(events []*record, uid string, from, to int64) []bool {
	out := make([]bool, to-from)
	now, is := int64(0), false
	fill := func(until int64) {
		for ms := max(now, from); ms < min(until, to); ms++ {
			out[ms-from] = is
		}
	}
	for _, e := range events {
		if e.event.Kind != Inventory || !slices.Contains(e.event.Assets, uid) || e.Time > to || e.event.Action == Delete && !is {
			continue
		}
		fill(e.Time)
		now, is = max(now, e.Time), e.event.Action != Delete
	}
	fill(to)
	return out
}

// TestCompareProperties: what is missing in one direction is phantom in the
// other, a log agrees with itself, the times are those of the naive model, and
// a comparison from a saved replay is the same bytes.
func TestCompareProperties(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 2))
		p := newPair(t)
		p.random(rng)
		in := Interval{at(noon + rng.Int64N(10_000)), at(noon + 15_000 + rng.Int64N(40_000)), time.Duration(rng.IntN(9)) * time.Second, nil}
		there := p.compare(in)
		back := must(Compare(t.Context(), p.auditor.side(), p.provider.side(), in))(t)
		count := func(c *Comparison, kind FindingKind) (out []string) {
			for _, f := range c.Findings {
				if f.Kind == kind {
					out = append(out, string(f.What)+"/"+f.UID+f.From+f.To)
				}
			}
			return out
		}
		if !slices.Equal(count(there, Missing), count(back, Phantom)) || !slices.Equal(count(there, Phantom), count(back, Missing)) || !slices.Equal(count(there, Drift), count(back, Drift)) {
			t.Fatalf("seed %d: %q and back %q", seed, findings(there), findings(back))
		}
		for _, kind := range []Kind{Inventory, Configuration} {
			a, b := there.Metrics[kind], back.Metrics[kind]
			if a.Union != b.Union || a.Pending != b.Pending || a.CoveredMS != b.CoveredMS || a.ObservedMS != b.ReportedMS || a.Observed != b.Reported {
				t.Fatalf("seed %d: %+v and back %+v", seed, a, b)
			}
			if a.Union > a.Reported+a.Observed || a.Missing > a.Observed || a.Phantom > a.Reported {
				t.Fatalf("seed %d: %+v", seed, a)
			}
		}
		self := must(Compare(t.Context(), p.provider.side(), p.provider.side(), in))(t)
		for _, f := range self.Findings {
			if f.Kind != Late {
				t.Fatalf("seed %d: a log differs from itself: %s", seed, short(f))
			}
		}
		p.checkTimes(seed, there, in)
		p.checkIncremental(seed, there, in)
	}
}

// checkTimes holds the times to the naive model.
func (p *pair) checkTimes(seed uint64, c *Comparison, in Interval) {
	p.t.Helper()
	var said [2][]*record
	for i, side := range []*party{p.provider, p.auditor} {
		for r, err := range records(p.t.Context(), side.log(), side.side().Filter.normal(), &heirs{}, NewOnce(), 0, uint64(len(side.entries))) {
			if err != nil {
				p.t.Fatal(err)
			}
			said[i] = append(said[i], r)
		}
	}
	var covered, observed, reported int64
	for i := range 6 {
		uid := fmt.Sprintf("a%d", i)
		r := alive(said[0], uid, in.From.UnixMilli(), in.To.UnixMilli())
		o := alive(said[1], uid, in.From.UnixMilli(), in.To.UnixMilli())
		for ms := range r {
			if r[ms] {
				reported++
			}
			if o[ms] {
				observed++
			}
			if r[ms] && o[ms] {
				covered++
			}
		}
	}
	m := c.Metrics[Inventory]
	if m.CoveredMS != big.NewInt(covered).String() || m.ObservedMS != big.NewInt(observed).String() || m.ReportedMS != big.NewInt(reported).String() {
		p.t.Fatalf("seed %d: covered %s of %s, reported %s; the model says %d of %d, %d", seed, m.CoveredMS, m.ObservedMS, m.ReportedMS, covered, observed, reported)
	}
}

// checkIncremental compares again from the longest beginnings of the logs that
// are older than the interval.
func (p *pair) checkIncremental(seed uint64, full *Comparison, in Interval) {
	p.t.Helper()
	var sides []Party
	for _, side := range []*party{p.provider, p.auditor} {
		s := side.side()
		n := uint64(0)
		for r, err := range records(p.t.Context(), s.Log, s.Filter.normal(), &heirs{}, NewOnce(), 0, s.Log.Checkpoint.Size) {
			if err != nil {
				p.t.Fatal(err)
			}
			if r.Time >= in.From.UnixMilli() {
				break
			}
			n = r.Index + 1
		}
		r := NewReplay(s.Filter, nil)
		if err := r.Advance(p.t.Context(), s.Log, n); err != nil {
			p.t.Fatal(err)
		}
		s.Since = must(Resume(bytesOf(p.t, r.Save)))(p.t)
		sides = append(sides, s)
	}
	again := must(Compare(p.t.Context(), sides[0], sides[1], in))(p.t)
	if a, b := bytesOf(p.t, full.Write), bytesOf(p.t, again.Write); !bytes.Equal(a, b) {
		paths, _ := differences(a, b)
		p.t.Fatalf("seed %d: incremental differs at %v:\n%q\n%q", seed, paths, findings(full), findings(again))
	}
}

func TestComparisonDocument(t *testing.T) {
	p := goldenPair(t)
	golden(t, "comparison.json", bytesOf(t, p.compare(hour).Write))
}

func goldenPair(t testing.TB) *pair {
	p := newPair(t)
	p.provider.record(inventory(Create, noon-minute, "web-1"))
	p.provider.record(inventory(Create, noon+minute, "web-2"), noon+30*minute)
	p.provider.record(inventory(Create, noon+2*minute, "ghost"))
	p.provider.record(configured(Create, noon+3*minute, "web-1", object{"tls": "1.3"}))
	p.provider.record(inventory(Delete, noon+4*minute, "never"))
	p.auditor.record(inventory(Create, noon-minute, "web-1"))
	p.auditor.record(inventory(Create, noon+minute, "web-2", "hidden"))
	p.auditor.record(configured(Create, noon+3*minute, "web-1", object{"tls": "1.2"}))
	return p
}

// TestAround: of long values both sides show what differs, whole characters, and a little around it.
func TestAround(t *testing.T) {
	long := strings.Repeat("ä", 100)
	for _, c := range [][4]string{
		{"1", "2", "1", "2"},
		{"", "2", "", "2"},
		{long + "1" + long, long + "23" + long, "..." + long[:20] + "1" + long[:20] + "...", "..." + long[:20] + "23" + long[:20] + "..."},
		{"1" + long, "2" + long, "1" + long[:20] + "...", "2" + long[:20] + "..."},
		{long + "1", long, "..." + long[:20] + "1", "..." + long[:20]},
		{"", long, "", long[:80] + "..."},
	} {
		if got := around(c[0], c[1]); got != [2]string{c[2], c[3]} {
			t.Errorf("%q", got)
		}
	}
}
