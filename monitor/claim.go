package monitor

import (
	"encoding/json"
	"math/big"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
)

// Claim is what a measurement says it came to.
type Claim struct {
	*MeasurementInputs
	Metrics  Metrics
	Coverage string   // a decimal fraction with six digits; "" when nothing was observed
	Data     bool     // false when neither side had anything in the interval
	Severity Severity // of the impact score
	// Missing are the uids of the first missing objects, at most 100.
	Missing []string
	// Anomalies in the logs of reports and of observations.
	ReportedAnomalies, ObservedAnomalies uint64
	EvidenceComplete                     bool // every object's entries are listed
}

// ParseClaim reads the payload of a measurement with its numbers. They must be
// possible and agree with each other, so that what is shown is what the score
// was made of; [Recompute] reports whether they are true. Errors wrap
// ErrMalformed.
func ParseClaim(payload []byte) (*Claim, error) {
	in, err := ParseMeasurement(payload)
	if err != nil {
		return nil, err
	}
	var event struct {
		Impact     int   `json:"impact_score"`
		SeverityID int   `json:"severity_id"`
		Start      int64 `json:"start_time"`
		End        int64 `json:"end_time"`
		Resources  []struct {
			UID string `json:"uid"`
		} `json:"resources"`
		Unmapped struct {
			Conmotion measurementDocument `json:"conmotion"`
		} `json:"unmapped"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, malformed("%w", err)
	}
	doc := event.Unmapped.Conmotion
	if doc.Result.Metrics == nil {
		return nil, malformed("the measurement has no numbers")
	}
	if doc.What != Inventory && doc.What != Configuration {
		return nil, malformed("a measurement is of inventory or configuration, not of %.40q", doc.What)
	}
	c := &Claim{
		MeasurementInputs: in, Metrics: *doc.Result.Metrics, Coverage: doc.Result.Coverage, Data: doc.Result.Data,
		ReportedAnomalies: doc.Reported.Anomalies, ObservedAnomalies: doc.Observed.Anomalies,
		EvidenceComplete: doc.Complete,
	}
	for _, r := range event.Resources {
		if r.UID == "" || len(r.UID) > maxUID {
			return nil, malformed("a missing object has no uid, or one of %d bytes", len(r.UID))
		}
		c.Missing = append(c.Missing, r.UID)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Severity = scoreSeverity(c.Impact)
	if event.Impact != c.Impact || event.SeverityID != c.Severity.ID() {
		return nil, malformed("impact_score %d and severity_id %d of the event do not fit the result's score %d", event.Impact, event.SeverityID, c.Impact)
	}
	if event.Start != in.Interval.From.UnixMilli() || event.End != in.Interval.To.UnixMilli() {
		return nil, malformed("start_time and end_time of the event are not those of the interval")
	}
	return c, nil
}

// check holds the numbers against each other.
func (c *Claim) check() error {
	m := &c.Metrics
	for _, n := range []int{m.Drift, m.Inferred, m.Late, m.Missing, m.Observed, m.Pending, m.Phantom, m.Reported, m.Undisclosed} {
		if n < 0 || n > m.Union {
			return malformed("a number of objects is %d, of %d", n, m.Union)
		}
	}
	if m.Union > jsonx.MaxInteger/200 || m.LagCount < 0 || m.LagCount > jsonx.MaxInteger || m.LagMedian < 0 || m.LagMedian > m.LagLongest ||
		m.LagLongest > jsonx.MaxInteger || max(c.ReportedAnomalies, c.ObservedAnomalies) > jsonx.MaxInteger {
		return malformed("the numbers of objects, lags or anomalies are not possible")
	}
	if want := impact(m.Missing, m.Union); c.Impact != want {
		return malformed("the impact score is %d, and %d of %d objects missing makes %d", c.Impact, m.Missing, m.Union, want)
	}
	if c.Data != (m.Union > 0) || len(c.Missing) != min(m.Missing, maxEvidence) {
		return malformed("what is said about data or listed as missing does not fit the numbers")
	}
	texts := []string{m.CoveredMS, m.ObservedMS, m.ReportedMS}
	for _, t := range m.ByTime {
		texts = append(texts, t.CoveredMS, t.ObservedMS)
	}
	for _, t := range m.ByType {
		texts = append(texts, t.CoveredMS, t.ObservedMS)
	}
	for _, ms := range texts {
		if len(ms) > 40 || ms == "" || strings.Trim(ms, "0123456789") != "" {
			return malformed("a time is not a decimal number: %.40q", ms)
		}
	}
	if c.version != secondVersion && !m.addUp() {
		return malformed("the coverage by time or by type does not add up to the whole")
	}
	covered, _ := new(big.Int).SetString(m.CoveredMS, 10)
	observed, _ := new(big.Int).SetString(m.ObservedMS, 10)
	if covered.Cmp(observed) > 0 {
		return malformed("more time is covered than was observed")
	}
	want, err := ratio(m.CoveredMS, m.ObservedMS)
	if err != nil {
		return err
	}
	if c.Coverage != want {
		return malformed("the coverage is %.20q, and %s of %s ms makes %q", c.Coverage, m.CoveredMS, m.ObservedMS, want)
	}
	return nil
}

// impact is the impact score of these numbers, 0 to 100.
func (m *Metrics) impact() int { return impact(m.Missing, m.Union) }
