package monitor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/internal/printable"
)

// Party is one side of a comparison: the records of one party in a log.
type Party struct {
	Log    Log
	Filter Filter
	// Since is a replay of the beginning of the log: see CheckSince. Nil reads the log
	// from its start. It is used up.
	Since *Replay
}

// CheckSince reports why the comparison of an interval cannot go on from Since: it needs
// the same filter, no end, and only events before the interval.
func (p Party) CheckSince(from time.Time) error {
	switch r := p.Since; {
	case r == nil:
	case !r.filter.Equal(p.Filter) || r.until != nil:
		return fmt.Errorf("it is of %s, and must be of what is compared, without --at", r.filter)
	case r.counts.Records > 0 && r.lastTime >= from.UnixMilli():
		return fmt.Errorf("its last event is of %s, not before --from", printable.Moment(r.lastTime))
	}
	return nil
}

// Interval is what is compared: a time, both ends included, in whole milliseconds, and
// the objects in a scope.
type Interval struct {
	From, To time.Time
	// Grace is how long a report may take, and how far clocks may disagree.
	Grace time.Duration
	Scope Scope // of the objects that are compared
}

// maxGrace is far more than anybody grants.
const maxGrace = 10 * 365 * 24 * time.Hour

// Check refuses an interval that cannot be compared. Errors wrap ErrMalformed.
func (i Interval) Check() error {
	if i.From.UnixMilli() < 0 || i.To.Unix() > maxSeconds || !i.From.Before(i.To) || i.Grace < 0 || i.Grace > maxGrace {
		return malformed("the interval must end after it begins, between 1970 and 9999, and the grace be from 0 to 10 years")
	}
	for _, ns := range []int64{int64(i.From.Nanosecond()), int64(i.To.Nanosecond()), int64(i.Grace)} {
		if ns%int64(time.Millisecond) != 0 {
			return malformed("the interval is not in whole milliseconds")
		}
	}
	return i.Scope.check()
}

// FindingKind is how two parties' stories differ.
type FindingKind string

// The kinds of findings.
const (
	Missing FindingKind = "missing" // observed, and not reported within the grace
	Phantom FindingKind = "phantom" // reported, and not observed
	Drift   FindingKind = "drift"   // the configuration differed for longer than the grace
	Late    FindingKind = "late"    // reported, after the grace
	// Undisclosed is a configuration that may have drifted: the sides differ in fields
	// that are hidden, and in nothing else for longer than the grace.
	Undisclosed FindingKind = "undisclosed"
)

// Finding is one difference, with the entries that it rests on.
type Finding struct {
	From     string      `json:"from"`               // the time that it is about, RFC 3339
	Inferred bool        `json:"inferred,omitempty"` // that one side's object ended is from a scan, and no record of it says so
	Kind     FindingKind `json:"kind"`
	LagMS    int64       `json:"lag_ms,omitempty"` // of a late one
	Observed *EntryRef   `json:"observed,omitempty"`
	// Paths are where the content of a drifting configuration differs, as JSON
	// paths; PathsMore are left out.
	Paths     []string  `json:"paths,omitempty"`
	PathsMore int       `json:"paths_more,omitempty"`
	Reported  *EntryRef `json:"reported,omitempty"`
	To        string    `json:"to"`
	UID       string    `json:"uid"`
	What      Kind      `json:"what"`

	// Values are what reporter and observer have at Paths, as JSON that is cut to what differs where it is long; "" where a side has
	// nothing there. They are not in the document, which is for everybody, and there for the first findings only.
	Values [][2]string `json:"-"`

	drift  []meeting // of Drift: the records of both sides, which are read again
	traits int       // its number in the census
}

// Metrics are the numbers of one kind. Objects are assets or configurations,
// counted when they were alive within the interval.
type Metrics struct {
	Drift       int `json:"drift"`
	Inferred    int `json:"inferred"` // an end of which is from a scan
	Late        int `json:"late"`
	Missing     int `json:"missing"`
	Observed    int `json:"observed"`
	Pending     int `json:"pending"` // not matched, and younger than the grace
	Phantom     int `json:"phantom"`
	Reported    int `json:"reported"`
	Undisclosed int `json:"undisclosed,omitempty"` // configurations of which it is not known whether they drifted
	Union       int `json:"union"`
	// Times that objects were alive, summed, in milliseconds, as decimal
	// numbers: covered is the observed time that was also reported.
	CoveredMS  string `json:"covered_ms"`
	ObservedMS string `json:"observed_ms"`
	ReportedMS string `json:"reported_ms"`
	// Lags are the times from the first observation of a life that began in
	// the interval to its report, or to the interval's end when it is missing.
	LagCount    int    `json:"lag_count"`
	LagLongest  int64  `json:"lag_longest_ms"`
	LagMedian   int64  `json:"lag_median_ms"`
	BasisSHA256 string `json:"basis_sha256"` // of the lines that name every entry that an object rests on
	// Coverage by time and by type; not in version 2 of the algorithm.
	ByTime []TimeCoverage `json:"coverage_by_time,omitempty"`
	ByType []TypeCoverage `json:"coverage_by_type,omitempty"`
}

// Side is one side as it was compared.
type Side struct {
	Anomalies     []Anomaly          `json:"anomalies"`
	AnomaliesMore uint64             `json:"anomalies_more"`
	Checkpoint    checkpointDocument `json:"checkpoint"`
	Issuers       []string           `json:"issuers"`
	Types         []string           `json:"types"`
	Unread        Unread             `json:"unread"` // records that may say anything
	Handovers     []Handover         `json:"-"`      // of chains, to which these records belong
}

// Comparison is what comparing came to.
type Comparison struct {
	Reported, Observed Side
	Interval           Interval
	Metrics            map[Kind]*Metrics
	Findings           []Finding // by kind of object, uid, kind of finding

	version  string // of the algorithm
	verified bool   // both logs verify signatures
	withheld *withheld
	census   map[Kind]*census
	// The first objects of each kind that are missing, and that are not.
	missing, present map[Kind][]basis
}

// basis is an object and the first record of each side about it.
type basis struct {
	uid                string
	reported, observed *Ref
}

// Compare holds what one party reported against what another observed. Events
// after the interval do not count; what the log got later about events within
// it does. Presence is judged by the events' times, lateness by the iat of the
// statements. It needs memory for what was alive in the interval.
func Compare(ctx context.Context, reported, observed Party, in Interval) (*Comparison, error) {
	return compare(ctx, reported, observed, in, newWithheld(nil), measurementVersion)
}

// compare is Compare without the artifacts that are withheld, by a version of the algorithm.
func compare(ctx context.Context, reported, observed Party, in Interval, w *withheld, version string) (*Comparison, error) {
	if err := in.Check(); err != nil {
		return nil, err
	}
	reported.Log, observed.Log = share(reported.Log, observed.Log)
	reported.Log, observed.Log = w.from(reported.Log), w.from(observed.Log)
	c := &Comparison{Interval: in, withheld: w, version: version, census: map[Kind]*census{}, Metrics: map[Kind]*Metrics{}, missing: map[Kind][]basis{}, present: map[Kind][]basis{}}
	c.verified = reported.Log.Verify != nil && observed.Log.Verify != nil
	var sides [2]told
	uids := map[string]string{}
	for i, side := range []struct {
		name  string
		party Party
		out   *Side
	}{{"reported", reported, &c.Reported}, {"observed", observed, &c.Observed}} {
		s, err := side.party.tell(ctx, in, side.out, version, uids)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", side.name, err)
		}
		sides[i] = s
	}
	for i, out := range []*Side{&c.Reported, &c.Observed} {
		out.addAmbiguous(sides[i], sides[i].join(sides[1-i]))
	}
	both := func(what Kind) *comparing { return c.compare(what, sides[0].stories[what], sides[1].stories[what]) }
	for p := range parallel.Map(slices.Values([]Kind{Configuration, Inventory}), parallel.CPUs(), both) {
		c.Metrics[p.what], c.census[p.what], c.missing[p.what], c.present[p.what] = p.metrics, p.census, p.missing, p.present
		c.Findings = append(c.Findings, p.findings...)
	}
	return c, c.explain(ctx, reported.Log, observed.Log)
}

// Unread counts the records of both sides of which it is not known what they say.
// Where there are any, what differs may be what they say.
func (c *Comparison) Unread() Unread { return c.Reported.Unread.Plus(c.Observed.Unread) }

// tell replays one side.
func (p Party) tell(ctx context.Context, in Interval, out *Side, version string, uids map[string]string) (told, error) {
	from := in.From.UnixMilli()
	r := p.Since
	if r == nil {
		r = NewReplay(p.Filter, nil)
	}
	if err := p.CheckSince(in.From); err != nil {
		return told{}, fmt.Errorf("%w: %w", ErrResume, err)
	}
	to := in.To.UnixMilli()
	r.until, r.second = &to, version == secondVersion
	r.story = newRecorder(from, uids)
	r.story.seed(r)
	if err := r.Advance(ctx, p.Log, p.Log.Checkpoint.Size); err != nil {
		return told{}, err
	}
	if len(r.story.corrected) > 0 {
		again := NewReplay(p.Filter, nil)
		again.until, again.second, again.story = &to, r.second, r.story.collector()
		if err := again.Advance(ctx, p.Log, p.Log.Checkpoint.Size); err != nil {
			return told{}, err
		}
		r.story.reorder(again.story)
	}
	stories := told{&Replay{names: r.names, issuers: r.issuers}, r.story.stories}
	*out = Side{list(r.anomalies), r.anomaliesMore, newCheckpointDocument(&r.checkpoint), list(r.filter.Issuers), r.filter.Types, r.counts.Unread, r.handovers}
	*r = Replay{} // its inventory need not wait in memory for the other side's
	return stories, nil
}

// comparing is the state of comparing one kind of objects.
type comparing struct {
	*Comparison     // only read
	what            Kind
	from, to, grace int64
	metrics         *Metrics
	lags            []int64
	sums            [3]big.Int // covered, observed, reported
	parts           [coverageParts]times
	types           map[string]*typed
	lines           hash.Hash
	text            []byte // room for a line
	findings        []Finding
	missing         []basis // the first, as in Comparison
	present         []basis
	census          *census
	traits          int // of the object that is compared
}

func (c *Comparison) compare(what Kind, reported, observed map[string]*story) *comparing {
	p := &comparing{
		Comparison: c, what: what, metrics: &Metrics{}, census: newCensus(), lines: sha256.New(), types: map[string]*typed{},
		from: c.Interval.From.UnixMilli(), to: c.Interval.To.UnixMilli(), grace: c.Interval.Grace.Milliseconds(),
	}
	uids := make([]string, 0, max(len(reported), len(observed)))
	uids = slices.AppendSeq(uids, maps.Keys(reported))
	for uid := range observed {
		if reported[uid] == nil {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	for _, uid := range uids {
		p.object(uid, reported[uid], observed[uid])
	}
	p.finish()
	return p
}

// object compares one asset or configuration.
func (p *comparing) object(uid string, reportedStory, observedStory *story) {
	reported, observed := reportedStory.within(p.from, p.to), observedStory.within(p.from, p.to)
	if len(reported) == 0 && len(observed) == 0 || !p.Interval.Scope.selects(slices.Concat(reportedStory.described(), observedStory.described())...) {
		return
	}
	m := p.metrics
	inferred := slices.ContainsFunc(slices.Concat(reported, observed), func(l life) bool { return l.inferred })
	if inferred {
		m.Inferred++
	}
	b := basis{uid: uid}
	m.Union++
	p.traits = p.census.add(reportedStory, observedStory)
	if len(reported) > 0 {
		m.Reported++
		b.reported = &reported[0].first
	}
	if len(observed) > 0 {
		m.Observed++
		b.observed = &observed[0].first
	}
	missing, young := p.unmatched(observed, reported)
	list := &p.present
	if missing != nil {
		list = &p.missing
		m.Missing++
		p.find(Finding{Kind: Missing, UID: uid, Inferred: inferred}, missing.start, missing.end, nil, &missing.first)
	}
	phantom, youngToo := p.unmatched(reported, observed)
	if phantom != nil {
		m.Phantom++
		p.find(Finding{Kind: Phantom, UID: uid, Inferred: inferred}, phantom.start, phantom.end, &phantom.first, nil)
	}
	if missing == nil && phantom == nil && (young || youngToo) {
		m.Pending++
	}
	p.lateness(uid, reported, observed)
	if reportedStory != nil && observedStory != nil && p.what == Configuration {
		p.drift(uid, reportedStory, observedStory)
	}
	p.cover(reported, observed)
	if p.version != secondVersion {
		typ := ""
		for _, t := range slices.Concat(observedStory.described(), reportedStory.described()) {
			typ = cmp.Or(typ, t.Type)
		}
		p.coverBy(typ, reported, observed, missing != nil)
	}
	p.line(b)
	if len(*list) < maxEvidence {
		*list = append(*list, b)
	}
}

func (p *comparing) find(f Finding, from, to int64, reported, observed *Ref) {
	f.What, f.From, f.To, f.traits = p.what, timestamp(from), timestamp(to), p.traits
	if reported != nil {
		e := reported.entry(p.Comparison.Reported.Checkpoint.Origin)
		f.Reported = &e
	}
	if observed != nil {
		e := observed.entry(p.Comparison.Observed.Checkpoint.Origin)
		f.Observed = &e
	}
	p.findings = append(p.findings, f)
}

// timestamp is RFC 3339 in UTC with milliseconds, in one spelling.
func timestamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(timeLayout) }

const timeLayout = "2006-01-02T15:04:05.000Z"

// line adds an object to the basis: "uid" reported observed, with the entry
// ids or "-", and a line feed.
func (p *comparing) line(b basis) {
	p.text = appendUID(p.text[:0], b.uid)
	for _, r := range []*Ref{b.reported, b.observed} {
		if p.text = append(p.text, ' '); r == nil {
			p.text = append(p.text, '-')
		} else {
			p.text = hex.AppendEncode(p.text, r.ID[:])
		}
	}
	p.text = append(p.text, '\n')
	p.lines.Write(p.text)
}

func (p *comparing) finish() {
	m := p.metrics
	m.CoveredMS, m.ObservedMS, m.ReportedMS = p.sums[0].String(), p.sums[1].String(), p.sums[2].String()
	if p.version != secondVersion {
		p.coverage()
	}
	m.BasisSHA256 = fmt.Sprintf("%x", p.lines.Sum(nil))
	slices.Sort(p.lags)
	if n := len(p.lags); n > 0 {
		m.LagCount, m.LagLongest = n, p.lags[n-1]
		m.LagMedian = p.lags[(n-1)/2] + (p.lags[n/2]-p.lags[(n-1)/2])/2
	}
}
