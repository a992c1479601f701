package monitor

import (
	"cmp"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// TimeCoverage is the coverage in one of ten equal parts of the interval: times are sums over the objects, in
// milliseconds, as decimal numbers.
type TimeCoverage struct {
	CoveredMS  string `json:"covered_ms"`
	From       string `json:"from"`
	ObservedMS string `json:"observed_ms"`
	To         string `json:"to"`
}

// TypeCoverage is the coverage of the objects of one type, as the observations call it, or else the reports; "*" is all
// types behind the first hundred.
type TypeCoverage struct {
	CoveredMS  string `json:"covered_ms"`
	Missing    int    `json:"missing"`
	Observed   int    `json:"observed"`
	ObservedMS string `json:"observed_ms"`
	Reported   int    `json:"reported"`
	Type       string `json:"type"`
}

// Coverage is the share of the observed time that was reported too, in millionths, as a decimal fraction; "" when nothing
// was observed.
func (t TimeCoverage) Coverage() string { return timeShare(t.CoveredMS, t.ObservedMS) }

// Coverage is that of [TimeCoverage.Coverage].
func (t TypeCoverage) Coverage() string { return timeShare(t.CoveredMS, t.ObservedMS) }

// Percent writes a coverage as percent, for people: cut and not rounded, so that 100 % is only what
// is all; "" where nothing was observed.
func Percent(coverage string) string {
	whole, millionths, ok := strings.Cut(coverage, ".")
	switch {
	case !ok || len(millionths) != 6:
		return ""
	case whole == "1":
		return "100 %"
	}
	return cmp.Or(strings.TrimLeft(millionths[:2], "0"), "0") + "." + millionths[2:4] + " %"
}

func timeShare(covered, observed string) string {
	text, err := ratio(covered, observed)
	if err != nil { // of a document that somebody else wrote
		return ""
	}
	return text
}

const coverageParts, coverageTypes = 10, 100

// times are sums of milliseconds.
type times struct{ covered, observed big.Int }

// typed is what there is of one type.
type typed struct {
	times
	missing, seen, said int
}

// add adds the times from one moment to another.
func (t *times) add(reported, observed []life, from, to int64) {
	for _, o := range observed {
		addTo(&t.observed, min(o.end, to)-max(o.start, from))
		for _, r := range reported {
			addTo(&t.covered, min(o.end, r.end, to)-max(o.start, r.start, from))
		}
	}
}

func addTo(sum *big.Int, ms int64) {
	if ms > 0 {
		sum.Add(sum, big.NewInt(ms))
	}
}

// part is where a part of the interval begins.
func (p *comparing) part(n int64) int64 { return p.from + (p.to-p.from)*n/coverageParts }

// coverBy adds an object to the parts of the interval and to its type.
func (p *comparing) coverBy(typ string, reported, observed []life, missing bool) {
	for n := range p.parts {
		p.parts[n].add(reported, observed, p.part(int64(n)), p.part(int64(n)+1))
	}
	t := p.types[typ]
	if t == nil {
		t = &typed{}
		p.types[typ] = t
	}
	t.add(reported, observed, p.from, p.to)
	for _, count := range []struct {
		of *int
		is bool
	}{{&t.missing, missing}, {&t.seen, len(observed) > 0}, {&t.said, len(reported) > 0}} {
		if count.is {
			*count.of++
		}
	}
}

// coverage puts the parts into the metrics.
func (p *comparing) coverage() {
	for n := range p.parts {
		t := &p.parts[n]
		p.metrics.ByTime = append(p.metrics.ByTime, TimeCoverage{t.covered.String(), timestamp(p.part(int64(n))), t.observed.String(), timestamp(p.part(int64(n) + 1))})
	}
	var rest typed
	all := slices.Sorted(maps.Keys(p.types))
	for i, typ := range all {
		t := p.types[typ]
		if i >= coverageTypes {
			rest.covered.Add(&rest.covered, &t.covered)
			rest.observed.Add(&rest.observed, &t.observed)
			rest.missing, rest.seen, rest.said = rest.missing+t.missing, rest.seen+t.seen, rest.said+t.said
			if typ, t = "*", &rest; i < len(all)-1 {
				continue
			}
		}
		p.metrics.ByType = append(p.metrics.ByType, TypeCoverage{t.covered.String(), t.missing, t.seen, t.observed.String(), t.said, typ})
	}
}

// addUp reports whether the parts make the whole.
func (m *Metrics) addUp() bool {
	var byTime, byType times
	missing, observed, reported := 0, 0, 0
	add := func(to *big.Int, text string) { // decimal, as was checked
		n, _ := new(big.Int).SetString(text, 10)
		to.Add(to, n)
	}
	sum := func(t *times, covered, observed string) {
		add(&t.covered, covered)
		add(&t.observed, observed)
	}
	for _, t := range m.ByTime {
		sum(&byTime, t.CoveredMS, t.ObservedMS)
	}
	for _, t := range m.ByType {
		sum(&byType, t.CoveredMS, t.ObservedMS)
		missing, observed, reported = missing+t.Missing, observed+t.Observed, reported+t.Reported
	}
	for _, t := range []*times{&byTime, &byType} {
		if t.covered.String() != m.CoveredMS || t.observed.String() != m.ObservedMS {
			return false
		}
	}
	return len(m.ByTime) == coverageParts && len(m.ByType) <= coverageTypes+1 && missing == m.Missing && observed == m.Observed && reported == m.Reported
}
