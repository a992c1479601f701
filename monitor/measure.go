package monitor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/conmotion/conmotion/policy/ocsf"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// measurementAlgorithm and measurementVersion name how a measurement is computed. The
// version changes whenever the same logs could give other bytes. Version 3 takes other names for the assets that have them,
// holds a scan to its issuer's records alone, and has coverage by time and type. Measurements of version 2 are computed by
// its rules; version 1, of before the first release, knew neither identities nor scans and is not computed.
const (
	measurementAlgorithm = "conmotion-mutual-monitoring"
	measurementVersion   = "3"
	secondVersion        = "2"
)

// maxEvidence bounds the objects and the entries that a measurement lists; the
// digests cover all.
const maxEvidence = 100

// MeasureOptions are what a measurement has beside the comparison.
type MeasureOptions struct {
	What Kind
	At   time.Time // when it was measured, in whole milliseconds
	Home string    // origin of the log in which it is to be registered
	// ReportedURL and ObservedURL are the services' URLs, for links to
	// entries; may be empty.
	ReportedURL, ObservedURL string
}

// Measurement is a signed-to-be Detection Finding (OCSF class 2004).
type Measurement struct {
	Payload []byte // JSON in JCS form
	// Impact is the impact_score: 0, nothing is missing, to 100.
	Impact  int
	subject string
}

// measurementSubject is the sub of a measurement's statement; origin is that of the log of reports.
func measurementSubject(what Kind, origin string) string {
	return "measurement/" + string(what) + "/" + origin
}

// ToSign is the payload, and what it is signed with but for the time and the issuer.
func (m *Measurement) ToSign() ([]byte, scitt.SignOptions, error) {
	return m.Payload, toSign(scitt.TypeMeasurement, m.subject), nil
}

// impact is round(100 x missing / union), half up; 0 when there is nothing.
func impact(missing, union int) int {
	if union == 0 {
		return 0
	}
	return (200*missing + union) / (2 * union)
}

// ratio is covered / observed in millionths, rounded half up, as a decimal
// fraction; "" when nothing was observed.
func ratio(covered, observed string) (string, error) {
	c, ok := new(big.Int).SetString(covered, 10)
	o, ok2 := new(big.Int).SetString(observed, 10)
	if !ok || !ok2 {
		return "", malformed("a time is not a decimal number")
	}
	if o.Sign() == 0 {
		return "", nil
	}
	c.Mul(c, big.NewInt(2_000_000)).Add(c, o).Quo(c, o.Lsh(o, 1))
	millionths := c.Int64()
	return fmt.Sprintf("%d.%06d", millionths/1_000_000, millionths%1_000_000), nil
}

// measurementDocument is unmapped.conmotion of a measurement:
// docs/schemas/measurement.schema.json. All numbers are integers, or decimal
// numbers in strings, so that it can be computed again bit for bit.
type measurementDocument struct {
	Algorithm algorithmDocument `json:"algorithm"`
	Complete  bool              `json:"evidence_complete"` // every object's entries are listed
	Home      string            `json:"home"`
	Interval  intervalDocument  `json:"interval"`
	Observed  measuredSide      `json:"observed"`
	Reported  measuredSide      `json:"reported"`
	Result    measurementResult `json:"result"`
	SHA256    string            `json:"comparison_sha256"`
	What      Kind              `json:"what"`
	// Withheld are the SHA-256 of contents that the records name and that were not
	// there, in order. All others were, so this and the checkpoints pin what the
	// measurement rests on.
	Withheld []reader.Digest `json:"withheld"`
}

type algorithmDocument struct {
	ID      string `json:"id"`
	Version string `json:"version"`
}

type measuredSide struct {
	Anomalies  uint64             `json:"anomalies"`
	Checkpoint checkpointDocument `json:"checkpoint"`
	Issuers    []string           `json:"issuers"`
	Types      []string           `json:"types"`
	URL        string             `json:"url,omitempty"`
}

type measurementResult struct {
	*Metrics
	Coverage string `json:"coverage,omitempty"`
	Data     bool   `json:"data"`
	Impact   int    `json:"impact_score"`
}

func (s Side) measured(url string) measuredSide {
	return measuredSide{uint64(len(s.Anomalies)) + s.AnomaliesMore, s.Checkpoint, s.Issuers, s.Types, url}
}

// ErrUnverified says that signatures of records were not verified, or could not be.
var ErrUnverified = errors.New("the signatures of the records were not verified")

// Measure makes a measurement of a comparison. It depends on its arguments
// alone. The error wraps ErrUnverified unless both logs have a Verify that knows
// the keys of all issuers: another party could come to another result.
func Measure(c *Comparison, o MeasureOptions) (*Measurement, error) {
	if !c.verified {
		return nil, ErrUnverified
	}
	if u := c.Unread(); u.Unchecked > 0 || u.ContentPrivate > 0 {
		return nil, fmt.Errorf("%w: %s", ErrUnverified, Unread{Unchecked: u.Unchecked, ContentPrivate: u.ContentPrivate})
	}
	m := c.Metrics[o.What]
	if m == nil {
		return nil, malformed("a measurement is of inventory or configuration, not of %q", o.What)
	}
	at := o.At.UnixMilli()
	if o.At.Nanosecond()%int(time.Millisecond) != 0 || o.At.Before(c.Interval.To) || o.At.Unix() > maxSeconds {
		return nil, malformed("the time of the measurement must be in whole milliseconds and not before the interval's end")
	}
	if err := checkHome(o.Home); err != nil {
		return nil, err
	}
	doc := measurementDocument{
		Algorithm: algorithmDocument{measurementAlgorithm, c.version},
		Home:      o.Home,
		Interval:  c.Interval.document(),
		Observed:  c.Observed.measured(o.ObservedURL),
		Reported:  c.Reported.measured(o.ReportedURL),
		Result:    measurementResult{Metrics: m, Data: m.Union > 0, Impact: impact(m.Missing, m.Union)},
		What:      o.What,
		Withheld:  c.withheld.list(),
	}
	var err error
	if doc.Result.Coverage, err = ratio(m.CoveredMS, m.ObservedMS); err != nil {
		return nil, err
	}
	if doc.SHA256, err = c.digest(); err != nil {
		return nil, err
	}
	evidence, resources, complete := c.evidence(o)
	doc.Complete = complete
	payload, err := marshal(finding(&doc, c.Interval, at, evidence, resources))
	if err != nil {
		return nil, err
	}
	report, err := ocsf.Default().Errors(payload)
	if err != nil {
		return nil, err
	}
	if !report.OK() {
		return nil, badEvent("%s", problems(report))
	}
	return &Measurement{payload, doc.Result.Impact, measurementSubject(o.What, c.Reported.Checkpoint.Origin)}, nil
}

type object = map[string]any

// finding is the OCSF event.
func finding(doc *measurementDocument, in Interval, at int64, evidence, resources []object) object {
	r := doc.Result
	severity := scoreSeverity(r.Impact)
	objects := map[Kind]string{Inventory: "assets", Configuration: "configurations"}[doc.What]
	message := fmt.Sprintf("%d of %d %s that were observed or reported are missing from the reports", r.Missing, r.Union, objects)
	status := "measured"
	if !r.Data {
		message, status = "No "+objects+" were observed or reported", "no data"
	}
	subject := string(doc.What) + "/" + doc.Reported.Checkpoint.Origin
	uid := sha256.Sum256([]byte(fmt.Sprintf("%s %s %s %s %s", subject, doc.Interval.From, doc.Interval.To, doc.Observed.Checkpoint.Origin, doc.SHA256)))
	event := object{
		"activity_id": 1, "activity_name": "Create",
		"category_uid": 2, "category_name": "Findings",
		"class_uid": 2004, "class_name": "Detection Finding",
		"type_uid": 200401, "type_name": "Detection Finding: Create",
		"severity_id": severity.ID(), "severity": severity,
		"status_id": 1, "status": "New", "status_detail": status,
		"is_alert": r.Missing > 0, "impact_score": r.Impact,
		"message": message, "time": at,
		"start_time": in.From.UnixMilli(), "end_time": in.To.UnixMilli(),
		"finding_info": object{
			"uid": fmt.Sprintf("%x", uid), "title": "Completeness of " + subject, "created_time": at,
			"analytic": object{"uid": measurementAlgorithm, "name": measurementAlgorithm, "version": doc.Algorithm.Version, "type_id": 1, "type": "Rule"},
		},
		"metadata": object{
			"version": ocsf.Default().Version(), "event_code": string(doc.What) + ".measure",
			"product": object{"name": "conmotion", "vendor_name": "conmotion", "feature": object{"name": measurementAlgorithm, "version": doc.Algorithm.Version}},
		},
		"unmapped": object{"conmotion": doc},
	}
	if len(evidence) > 0 {
		event["evidences"] = evidence
	}
	if len(resources) > 0 {
		event["resources"] = resources
	}
	return event
}

// evidence lists the entries that the measurement rests on, those of missing
// objects first, and the missing objects.
func (c *Comparison) evidence(o MeasureOptions) (evidence, resources []object, complete bool) {
	complete = c.Metrics[o.What].Union == len(c.missing[o.What])+len(c.present[o.What])
	seen := map[EntryRef]bool{}
	add := func(r *Ref, side Side, name, url string) {
		if r == nil {
			return
		}
		ref := r.entry(side.Checkpoint.Origin)
		if seen[ref] {
			return
		}
		if len(evidence) == maxEvidence {
			complete = false
			return
		}
		seen[ref] = true
		e := object{"name": name, "uid": ref.EntryID, "data": ref}
		if url != "" {
			e["url"] = object{"url_string": url + "/entries/" + ref.EntryID, "path": "/entries/" + ref.EntryID}
		}
		evidence = append(evidence, e)
	}
	for _, list := range [][]basis{c.missing[o.What], c.present[o.What]} {
		for _, b := range list {
			add(b.observed, c.Observed, "observed", o.ObservedURL)
			add(b.reported, c.Reported, "reported", o.ReportedURL)
		}
	}
	for _, b := range c.missing[o.What] {
		resources = append(resources, object{"uid": b.uid})
	}
	return evidence, resources, complete
}
