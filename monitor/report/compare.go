package report

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// pair are two logs that are compared.
type pair struct{ reported, observed *log }

// compare compares the reports of each provider's log with the observations of
// each auditor's, over the report's interval: those pairs that measurements
// are about, or, when none is, all that have records and observations.
func (m *maker) compare(ctx context.Context) error {
	if !m.Compare {
		return nil
	}
	for _, p := range m.pairs() {
		c, err := m.compareOne(ctx, p)
		if err != nil {
			return err
		}
		m.r.Comparisons = append(m.r.Comparisons, c)
	}
	return nil
}

func (m *maker) pairs() (pairs []pair) {
	all := func(want func(reported, observed *log) bool) {
		for _, r := range m.logs {
			for _, o := range m.logs {
				twice := func(p pair) bool {
					return p.reported.health.Origin == r.health.Origin && p.observed.health.Origin == o.health.Origin
				}
				if r.good() && o.good() && r.is(roleProvider) && o.is(roleAuditor) && want(r, o) && !slices.ContainsFunc(pairs, twice) {
					pairs = append(pairs, pair{r, o})
				}
			}
		}
	}
	all(func(r, o *log) bool { return m.newestOf(pair{r, o}) != nil })
	if len(pairs) == 0 {
		all(func(r, o *log) bool { return r.records && o.observations })
	}
	return pairs
}

// newestOf is the newest measurement of a pair of logs; nil when there is none.
func (m *maker) newestOf(p pair) (newest *monitor.Claim) {
	for _, one := range m.measurements {
		c := one.claim
		if c.Reported.Origin == p.reported.health.Origin && c.Observed.Origin == p.observed.health.Origin &&
			(newest == nil || !c.Interval.To.Before(newest.Interval.To)) {
			newest = c
		}
	}
	return newest
}

func (m *maker) compareOne(ctx context.Context, p pair) (comparison, error) {
	reported := monitor.Filter{Issuers: m.ReportedBy, Types: []string{scitt.TypeRecord}}
	observed := monitor.Filter{Issuers: m.ObservedBy, Types: []string{scitt.TypeObservation}}
	if newest := m.newestOf(p); newest != nil {
		if len(m.ReportedBy) == 0 {
			reported = newest.ReportedFilter
		}
		if len(m.ObservedBy) == 0 {
			observed = newest.ObservedFilter
		}
	}
	out := comparison{
		From: m.r.From, To: m.r.To, GraceMS: m.Grace.Milliseconds(), Scope: m.Scope, State: stateDone, Breakdown: []breakdown{},
		Findings: []comparedFinding{}, Metrics: map[monitor.Kind]*monitor.Metrics{},
		Reported: p.reported.compared(reported), Observed: p.observed.compared(observed),
	}
	c, err := monitor.Compare(ctx, monitor.Party{Log: *p.reported.log, Filter: reported}, monitor.Party{Log: *p.observed.log, Filter: observed},
		monitor.Interval{From: m.From, To: m.To, Grace: m.Grace, Scope: m.Scope})
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if err != nil {
		out.State, out.Detail = stateFailed, shorten(err.Error(), maxDetail)
		return out, nil
	}
	out.Metrics, out.Breakdown = c.Metrics, breakdowns(c)
	out.Reported.count(c.Reported)
	out.Observed.count(c.Observed)
	// What is missing first, then what differs, of the inventory and then of
	// the configuration.
	order := []monitor.FindingKind{monitor.Missing, monitor.Drift, monitor.Undisclosed, monitor.Late, monitor.Phantom}
	findings := slices.Clone(c.Findings)
	slices.SortStableFunc(findings, func(a, b monitor.Finding) int {
		return cmp.Or(slices.Index(order, a.Kind)-slices.Index(order, b.Kind), slices.Index(kinds, a.What)-slices.Index(kinds, b.What))
	})
	out.FindingsMore = max(0, len(findings)-maxFindings)
	for _, f := range findings[:len(findings)-out.FindingsMore] {
		t := c.Traits(f)
		found := comparedFinding{Finding: f, Account: t.Account, Region: t.Region, Type: t.Type}
		for _, v := range f.Values {
			found.Values = append(found.Values, values{Reported: v[0], Observed: v[1]})
		}
		if f.Observed != nil {
			found.ObservedURL = p.observed.link(*f.Observed).URL
		}
		if f.Reported != nil {
			found.ReportedURL = p.reported.link(*f.Reported).URL
		}
		out.Findings = append(out.Findings, found)
	}
	return out, nil
}

func (l *log) compared(f monitor.Filter) comparedSide {
	issuers, types := slices.Sorted(slices.Values(f.Issuers)), slices.Sorted(slices.Values(f.Types))
	return comparedSide{
		Anomalies: []anomalyCount{}, Checkpoint: *l.health.Checkpoint, Issuers: list(slices.Compact(issuers)),
		Location: l.location, Types: list(slices.Compact(types)),
	}
}

func (s *comparedSide) count(side monitor.Side) {
	counts := map[monitor.AnomalyKind]int{}
	for _, a := range side.Anomalies {
		counts[a.Kind]++
	}
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		s.Anomalies = append(s.Anomalies, anomalyCount{counts[kind], kind})
	}
	s.More, s.Unread, s.Handovers = side.AnomaliesMore, side.Unread, side.Handovers
}
