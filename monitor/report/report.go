package report

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/monitor"
)

// Format names the document.
const Format = "conmotion-report/1"

// Bounds of what a report lists; what is beyond them is counted.
const (
	maxFindings     = 200 // of one comparison
	maxEndorsements = 200
	maxLeftOut      = 100
	maxPoints       = 5000 // of one kind in one assessment, the newest ones
)

// Report is the dashboard as data. All times are RFC 3339 in UTC with
// milliseconds, numbers are integers, fractions are decimal numbers in
// strings.
type Report struct {
	Assessments  []Assessment  `json:"assessments"` // by origin and issuer
	At           string        `json:"at"`          // the time that it is made for
	Attention    []Attention   `json:"attention"`   // the worst first
	Commands     []Command     `json:"commands"`
	Comparisons  []Comparison  `json:"comparisons"`
	Endorsements Endorsements  `json:"endorsements"`
	Format       string        `json:"format"`
	From         string        `json:"from"`
	LeftOut      LeftOut       `json:"left_out"`
	Level        Level         `json:"level"` // the worst of Attention
	Logs         []LogHealth   `json:"logs"`
	To           string        `json:"to"`
	Trust        TrustDocument `json:"trust"`
}

// Level is how much something asks for attention. The scores' levels are those
// of OCSF severities; unknown is that there is no data to say.
type Level string

// The levels, the worst first.
const (
	Critical Level = "critical"
	High     Level = "high"
	Medium   Level = "medium"
	Unknown  Level = "unknown"
	Low      Level = "low"
	None     Level = "none"
)

var levels = []Level{Critical, High, Medium, Unknown, Low, None}

// Attention is one thing that a person should know.
type Attention struct {
	About string `json:"about"` // assessment, comparison, endorsement, log, trust
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

// TrustDocument says whose word counts.
type TrustDocument struct {
	EndorsedBy Word         `json:"endorsed_by"`
	ExpiringMS int64        `json:"expiring_ms"`
	MeasuredBy Word         `json:"measured_by"`
	Names      []IssuerName `json:"names"`
	StaleMS    int64        `json:"stale_ms"`
}

// IssuerName is what the reader calls an issuer.
type IssuerName struct {
	Issuer string `json:"issuer"`
	Name   string `json:"name"`
}

// Word is whose statements of a kind count. Where nobody was named, those
// count who registered one in a log given as an auditor's or the own one; these
// are who did.
type Word struct {
	Issuers []string `json:"issuers"`
	Named   bool     `json:"named"`
}

// EntryLink is an entry, with its URL where its log is a service.
type EntryLink struct {
	monitor.EntryRef
	URL string `json:"url,omitempty"`
}

// Assessment is what one issuer measured of one log of reports.
type Assessment struct {
	Issuer string   `json:"issuer"`
	Origin string   `json:"origin"`
	Series []Series `json:"series"` // inventory, then configuration; those that there are
}

// Series are the measurements of one kind.
type Series struct {
	Level Level `json:"level"` // the newest one's, or medium for drift, low for what is late or was never observed
	// Missing are the first of the objects that the newest measurement misses;
	// its Missing has their number.
	Missing    []string     `json:"missing"`
	Points     []Point      `json:"points"` // by the end of their intervals; the last is the newest
	PointsMore int          `json:"points_more"`
	Recomputed Recomputed   `json:"recomputed"` // the newest one
	What       monitor.Kind `json:"what"`
	newest     measurement
}

// Newest is the newest measurement.
func (s Series) Newest() Point { return s.Points[len(s.Points)-1] }

// Point is one measurement.
type Point struct {
	AlsoIn           []string     `json:"also_in"`            // origins of other logs that hold the statement
	Coverage         string       `json:"coverage,omitempty"` // 0.000000 to 1.000000; not there when nothing was observed
	Data             bool         `json:"data"`               // false: neither side had anything
	Drift            int          `json:"drift"`
	Entry            EntryLink    `json:"entry"`
	EvidenceComplete bool         `json:"evidence_complete"`
	From             string       `json:"from"`
	GraceMS          int64        `json:"grace_ms"`
	Impact           int          `json:"impact_score"`
	LagCount         int          `json:"lag_count"`
	LagLongest       int64        `json:"lag_longest_ms"`
	LagMedian        int64        `json:"lag_median_ms"`
	Late             int          `json:"late"`
	Level            Level        `json:"level"` // the severity of the score
	Measured         string       `json:"measured"`
	Missing          int          `json:"missing"`
	Observed         MeasuredSide `json:"observed"`
	Pending          int          `json:"pending"`
	Phantom          int          `json:"phantom"`
	Reported         MeasuredSide `json:"reported"`
	To               string       `json:"to"`
	Union            int          `json:"union"`
}

// MeasuredSide is one side of a measurement.
type MeasuredSide struct {
	Anomalies  uint64     `json:"anomalies"`
	Checkpoint Checkpoint `json:"checkpoint"`
	Objects    int        `json:"objects"`
	Pin        Pin        `json:"pin"`
}

// Checkpoint pins a log.
type Checkpoint struct {
	Origin string `json:"origin"`
	Root   string `json:"root"` // lowercase hex
	Size   uint64 `json:"size"`
}

// Pin is whether the log that the reader sees has the history that the
// measurer saw.
type Pin string

// The states of a pin.
const (
	PinConsistent Pin = "consistent" // the log extends the checkpoint
	PinConflict   Pin = "conflict"   // it does not: two histories
	PinAhead      Pin = "ahead"      // the measurer saw more of the log
	PinUnknown    Pin = "unknown"    // the log was not given, or could not be read
)

// Recomputed is what computing the measurement again from the logs came to.
type Recomputed struct {
	Detail    string   `json:"detail,omitempty"`
	Paths     []string `json:"paths"` // where it differs
	PathsMore int      `json:"paths_more"`
	State     string   `json:"state"` // same, differs, not_done or failed
	withheld  *monitor.WithheldError
}

// The states of a recomputation.
const (
	RecomputedSame    = "same"
	RecomputedDiffers = "differs"
	RecomputedNot     = "not_done"
	RecomputedFailed  = "failed"
)

// Comparison is the reader's own comparison of two logs.
type Comparison struct {
	Detail       string            `json:"detail,omitempty"` // why there is none
	Findings     []ComparedFinding `json:"findings"`
	FindingsMore int               `json:"findings_more"`
	From         string            `json:"from"`
	GraceMS      int64             `json:"grace_ms"`
	// Metrics of both kinds.
	Metrics  map[monitor.Kind]*monitor.Metrics `json:"metrics"`
	Observed ComparedSide                      `json:"observed"`
	Reported ComparedSide                      `json:"reported"`
	State    string                            `json:"state"` // done or failed
	To       string                            `json:"to"`
}

// ComparedFinding is a difference, with links to the entries.
type ComparedFinding struct {
	monitor.Finding
	ObservedURL string `json:"observed_url,omitempty"`
	ReportedURL string `json:"reported_url,omitempty"`
}

// ComparedSide is one side of a comparison.
type ComparedSide struct {
	Anomalies  []AnomalyCount `json:"anomalies"`
	More       uint64         `json:"anomalies_more"`
	Checkpoint Checkpoint     `json:"checkpoint"`
	Issuers    []string       `json:"issuers"` // all when empty
	Location   string         `json:"location"`
	Types      []string       `json:"types"`
	Unread     monitor.Unread `json:"unread"` // where there are any, what differs may be what they say
}

// AnomalyCount is how many anomalies of a kind there are.
type AnomalyCount struct {
	Count int                 `json:"count"`
	Kind  monitor.AnomalyKind `json:"kind"`
}

// Endorsements are the endorsements and disputes by those whose word counts.
type Endorsements struct {
	// Astray is how many name an entry that its log does not have there.
	Astray int `json:"astray"`
	// Ended is how many had ended before the report's interval.
	Ended int           `json:"ended"`
	List  []Endorsement `json:"list"` // what needs attention first
	More  int           `json:"more"`
	// Standings counts all of them but those that had ended: by verdict and
	// standing, such as "endorse holds".
	Standings []StandingCount `json:"standings"`
}

// StandingCount is how many have a standing.
type StandingCount struct {
	Count    int             `json:"count"`
	Standing Standing        `json:"standing"`
	Verdict  monitor.Verdict `json:"verdict"`
}

// Standing is a monitor.Standing, or Expiring.
type Standing string

// Expiring is an endorsement that holds, and will soon not.
const Expiring Standing = "expiring"

// Endorsement is one of them, and how it stands at the report's time.
type Endorsement struct {
	AgeMS    int64           `json:"age_ms"` // since it was signed
	By       []EntryLink     `json:"by"`     // the withdrawal or the disputes
	Entry    EntryLink       `json:"entry"`  // its own
	From     string          `json:"from"`
	Issuer   string          `json:"issuer"`
	LeftMS   int64           `json:"left_ms"` // until it ends; 0 when it has, or has no end
	Level    Level           `json:"level"`
	Reason   string          `json:"reason,omitempty"`
	Scope    []string        `json:"scope"`
	Signed   string          `json:"signed"`
	Standing Standing        `json:"standing"`
	Target   EndorsedEntry   `json:"target"`
	Until    string          `json:"until,omitempty"`
	Verdict  monitor.Verdict `json:"verdict"`
	endsAt   time.Time       // or withdrawn
}

// The states of an endorsed entry.
const (
	targetFound   = "found"
	targetAbsent  = "absent"  // the log has another entry there, or none
	targetUnknown = "unknown" // the log was not given, or could not be read
)

// EndorsedEntry is the entry that an endorsement is about.
type EndorsedEntry struct {
	EntryLink
	State   string `json:"state"`             // found, absent or unknown
	Subject string `json:"subject,omitempty"` // sub of the statement, when it was found
}

// LeftOut are the statements that do not count.
type LeftOut struct {
	Counts []LeftOutCount `json:"counts"` // by type and reason
	List   []LeftOutEntry `json:"list"`
	More   int            `json:"more"`
	// Outside is how many measurements count and are of another time.
	Outside int `json:"outside"`
}

// LeftOutCount is how many statements of a type were left out for a reason.
type LeftOutCount struct {
	Count  int    `json:"count"`
	Reason Reason `json:"reason"`
	Type   string `json:"type"` // measurement or endorsement
}

// LeftOutEntry is a statement that does not count.
type LeftOutEntry struct {
	Detail string    `json:"detail"`
	Entry  EntryLink `json:"entry"`
	Issuer string    `json:"issuer"`
	Reason Reason    `json:"reason"`
	Type   string    `json:"type"`
}

// Reason is why a statement does not count.
type Reason string

// The reasons.
const (
	ReasonSignature Reason = "signature"       // its issuer did not sign it
	ReasonUnchecked Reason = "unchecked"       // its issuer's key is not known
	ReasonStranger  Reason = "stranger"        // its issuer's word does not count
	ReasonInvalid   Reason = "invalid"         // it is not what its type says
	ReasonContent   Reason = "content_missing" // its content is not to be had
	ReasonLater     Reason = "later"           // it was signed after the report's time
	ReasonDuplicate Reason = "duplicate"       // it is in this log already
	ReasonAsOfLog   Reason = "as_of_log"       // it is in another log than its home
)

// LogHealth is a log and how it does.
type LogHealth struct {
	AgeMS      int64       `json:"age_ms"` // since its checkpoint was signed; 0 when that is not known
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
	Detail     string      `json:"detail,omitempty"`
	Grown      uint64      `json:"grown"` // entries that were signed in the report's interval, as their issuers say
	Keys       Keys        `json:"keys"`
	Level      Level       `json:"level"`
	Location   string      `json:"location"`
	Newest     string      `json:"newest,omitempty"` // when its newest statement was signed, as its issuer says
	Origin     string      `json:"origin,omitempty"`
	Pins       PinCounts   `json:"pins"`
	Proofs     []Proof     `json:"proofs"`
	Quiet      bool        `json:"quiet"` // its checkpoint is older than it should be
	Roles      []Role      `json:"roles"`
	SeenBefore bool        `json:"seen_before"` // and it extends what was seen
	Signed     string      `json:"signed,omitempty"`
	State      State       `json:"state"`
	VKeys      []string    `json:"vkeys"`
}

// PinCounts is how many checkpoints of a log that measurements pin are which.
type PinCounts struct {
	Ahead      int `json:"ahead"`
	Conflict   int `json:"conflict"`
	Consistent int `json:"consistent"`
}

// Proof is a proof of equivocation: that a log signed two histories.
type Proof struct {
	Detail string `json:"detail"`
	File   string `json:"file"`
}

// Command is a command that computes a part of the report again.
type Command struct {
	Line string `json:"line"`
	Text string `json:"text"` // what it does
}

// JSON is the document in JCS form (RFC 8785).
func (r *Report) JSON() ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if data, err = jsonx.Canonical(data); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return data, nil
}

const timeLayout = "2006-01-02T15:04:05.000Z"

func timestamp(t time.Time) string { return t.UTC().Format(timeLayout) }
