package report

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/monitor"
)

// documentFormat names the document.
const documentFormat = "conmotion-report/1"

// Bounds of what a report lists; what is beyond them is counted.
const (
	maxFindings     = 10_000 // of one comparison
	maxEndorsements = 200
	maxLeftOut      = 100
	maxPoints       = 5000 // of one kind in one assessment, the newest ones
)

// Report is the dashboard as data. All times are RFC 3339 in UTC with
// milliseconds, numbers are integers, fractions are decimal numbers in
// strings.
type Report struct {
	Assessments  []assessment   `json:"assessments"`      // by origin and issuer
	At           string         `json:"at"`               // the time that it is made for
	Attention    []attention    `json:"attention"`        // the worst first
	Before       *changes       `json:"before,omitempty"` // what is otherwise than in the report before
	Commands     []command      `json:"commands"`
	Comparisons  []comparison   `json:"comparisons"`
	Endorsements endorsements   `json:"endorsements"`
	Format       string         `json:"format"`
	From         string         `json:"from"`
	LeftOut      leftOut        `json:"left_out"`
	Level        attentionLevel `json:"level"` // the worst of Attention
	Logs         []logHealth    `json:"logs"`
	To           string         `json:"to"`
	Trust        trustDocument  `json:"trust"`
}

// attentionLevel is how much something asks for attention. The scores' levels are those
// of OCSF severities; unknown is that there is no data to say.
type attentionLevel string

// The levels, the worst first.
const (
	critical     attentionLevel = "critical"
	levelHigh    attentionLevel = "high"
	levelMedium  attentionLevel = "medium"
	levelUnknown attentionLevel = "unknown"
	levelLow     attentionLevel = "low"
	levelNone    attentionLevel = "none"
)

var levels = []attentionLevel{critical, levelHigh, levelMedium, levelUnknown, levelLow, levelNone}

// attention is one thing that a person should know.
type attention struct {
	About string         `json:"about"` // assessment, comparison, endorsement, log, trust
	Level attentionLevel `json:"level"`
	Text  string         `json:"text"`
}

// trustDocument says whose word counts.
type trustDocument struct {
	EndorsedBy countedIssuers `json:"endorsed_by"`
	ExpiringMS int64          `json:"expiring_ms"`
	MeasuredBy countedIssuers `json:"measured_by"`
	Names      []issuerName   `json:"names"`
	StaleMS    int64          `json:"stale_ms"`
}

// issuerName is what the reader calls an issuer.
type issuerName struct {
	Issuer string `json:"issuer"`
	Name   string `json:"name"`
}

// countedIssuers is whose statements of a kind count. Where nobody was named, those
// count who registered one in a log given as an auditor's or as your own; these
// are who did.
type countedIssuers struct {
	Issuers []string `json:"issuers"`
	Named   bool     `json:"named"`
}

// EntryLink is an entry, with its URL where its log is a service.
type EntryLink struct {
	monitor.EntryRef
	URL string `json:"url,omitempty"`
}

// assessment is what one issuer measured of one log of reports.
type assessment struct {
	Issuer string   `json:"issuer"`
	Origin string   `json:"origin"`
	Series []series `json:"series"` // inventory, then configuration; those that there are
}

// series are the measurements of one kind.
type series struct {
	Level attentionLevel `json:"level"` // the newest one's
	// Missing are the first of the objects that the newest measurement misses;
	// its Missing has their number.
	Missing    []string     `json:"missing"`
	Points     []point      `json:"points"` // by the end of their intervals; the last is the newest
	PointsMore int          `json:"points_more"`
	Recomputed recomputed   `json:"recomputed"` // the newest one
	What       monitor.Kind `json:"what"`
	newest     measurement
}

// Newest is the newest measurement.
func (s series) Newest() point { return s.Points[len(s.Points)-1] }

// point is one measurement.
type point struct {
	AlsoIn           []string       `json:"also_in"`            // origins of other logs that hold the statement
	Coverage         string         `json:"coverage,omitempty"` // 0.000000 to 1.000000; not there when nothing was observed
	Data             bool           `json:"data"`               // false: neither side had anything
	Drift            int            `json:"drift"`
	Entry            EntryLink      `json:"entry"`
	EvidenceComplete bool           `json:"evidence_complete"`
	From             string         `json:"from"`
	GraceMS          int64          `json:"grace_ms"`
	Impact           int            `json:"impact_score"`
	LagCount         int            `json:"lag_count"`
	LagLongest       int64          `json:"lag_longest_ms"`
	LagMedian        int64          `json:"lag_median_ms"`
	Late             int            `json:"late"`
	Level            attentionLevel `json:"level"` // the worst of its numbers
	Measured         string         `json:"measured"`
	Missing          int            `json:"missing"`
	Observed         measuredSide   `json:"observed"`
	Pending          int            `json:"pending"`
	Phantom          int            `json:"phantom"`
	Reported         measuredSide   `json:"reported"`
	To               string         `json:"to"`
	Undisclosed      int            `json:"undisclosed,omitempty"`
	Union            int            `json:"union"`
}

// measuredSide is one side of a measurement.
type measuredSide struct {
	Anomalies  uint64     `json:"anomalies"`
	Checkpoint checkpoint `json:"checkpoint"`
	Objects    int        `json:"objects"`
	Pin        logPin     `json:"pin"`
}

// checkpoint pins a log.
type checkpoint struct {
	Origin string `json:"origin"`
	Root   string `json:"root"` // lowercase hex
	Size   uint64 `json:"size"`
}

// logPin is whether the log that the reader sees has the history that the
// measurer saw.
type logPin string

// The states of a pin.
const (
	pinConsistent logPin = "consistent" // the log extends the checkpoint
	pinConflict   logPin = "conflict"   // it does not: two histories
	pinAhead      logPin = "ahead"      // the measurer saw more of the log
	pinUnknown    logPin = "unknown"    // the log was not given, or could not be read
)

// recomputed is what computing the measurement again from the logs came to.
type recomputed struct {
	Detail    string   `json:"detail,omitempty"`
	Paths     []string `json:"paths"` // where it differs
	PathsMore int      `json:"paths_more"`
	State     string   `json:"state"` // same, differs, not_done or failed
	withheld  *monitor.WithheldError
}

// The states of a recomputation.
const (
	recomputedSame    = "same"
	recomputedDiffers = "differs"
	recomputedNot     = "not_done"
	recomputedFailed  = "failed"
)

// comparison is the reader's own comparison of two logs.
type comparison struct {
	Breakdown    []breakdown       `json:"breakdown"`        // by kind, and by type, account and region
	Detail       string            `json:"detail,omitempty"` // why there is none
	Findings     []comparedFinding `json:"findings"`
	FindingsMore int               `json:"findings_more"`
	From         string            `json:"from"`
	GraceMS      int64             `json:"grace_ms"`
	// Metrics of both kinds.
	Metrics  map[monitor.Kind]*monitor.Metrics `json:"metrics"`
	Observed comparedSide                      `json:"observed"`
	Reported comparedSide                      `json:"reported"`
	Scope    monitor.Scope                     `json:"scope,omitempty"`
	State    string                            `json:"state"` // done or failed
	To       string                            `json:"to"`
}

// comparedFinding is a difference, with links to the entries.
type comparedFinding struct {
	monitor.Finding
	Account     string   `json:"account,omitempty"`
	ObservedURL string   `json:"observed_url,omitempty"`
	Region      string   `json:"region,omitempty"`
	ReportedURL string   `json:"reported_url,omitempty"`
	Type        string   `json:"type,omitempty"`
	Values      []values `json:"values,omitempty"` // at Paths
}

// values are what both sides have in one place of a configuration, as JSON that is cut
// to what differs where it is long; "" where there is nothing.
type values struct {
	Observed string `json:"observed"`
	Reported string `json:"reported"`
}

// The states of a comparison.
const (
	stateDone   = "done"
	stateFailed = "failed"
)

// comparedSide is one side of a comparison.
type comparedSide struct {
	Anomalies  []anomalyCount     `json:"anomalies"`
	More       uint64             `json:"anomalies_more"`
	Checkpoint checkpoint         `json:"checkpoint"`
	Handovers  []monitor.Handover `json:"handovers,omitempty"` // of chains, to which the records belong
	Issuers    []string           `json:"issuers"`             // all when empty
	Location   string             `json:"location"`
	Types      []string           `json:"types"`
	Unread     monitor.Unread     `json:"unread"` // where there are any, what differs may be what they say
}

// anomalyCount is how many anomalies of a kind there are.
type anomalyCount struct {
	Count int                 `json:"count"`
	Kind  monitor.AnomalyKind `json:"kind"`
}

// leftOut are the statements that do not count.
type leftOut struct {
	Counts []leftOutCount `json:"counts"` // by type and reason
	List   []leftOutEntry `json:"list"`
	More   int            `json:"more"`
	// Outside is how many measurements count and are of another time.
	Outside int `json:"outside"`
}

// leftOutCount is how many statements of a type were left out for a reason.
type leftOutCount struct {
	Count  int    `json:"count"`
	Reason reason `json:"reason"`
	Type   string `json:"type"` // measurement or endorsement
}

// leftOutEntry is a statement that does not count.
type leftOutEntry struct {
	Detail string    `json:"detail"`
	Entry  EntryLink `json:"entry"`
	Issuer string    `json:"issuer"`
	Reason reason    `json:"reason"`
	Type   string    `json:"type"`
}

// reason is why a statement does not count.
type reason string

// The reasons.
const (
	reasonSignature reason = "signature"       // its issuer did not sign it
	reasonUnchecked reason = "unchecked"       // its issuer's key is not known
	reasonStranger  reason = "stranger"        // its issuer's word does not count
	reasonInvalid   reason = "invalid"         // it is not what its type says
	reasonContent   reason = "content_missing" // its content is not available
	reasonLater     reason = "later"           // it was signed after the report's time
	reasonDuplicate reason = "duplicate"       // it is in this log already
	reasonAsOfLog   reason = "as_of_log"       // it is in another log than its home
	reasonScope     reason = "scope"           // it is a measurement of another scope than the report
)

// logHealth is a log and how it does.
type logHealth struct {
	AgeMS      *int64         `json:"age_ms,omitempty"` // since its checkpoint was signed; nil when that is not known
	Checkpoint *checkpoint    `json:"checkpoint,omitempty"`
	Detail     string         `json:"detail,omitempty"`
	Grown      uint64         `json:"grown"` // entries that were signed in the report's interval, as their issuers say
	Keys       keys           `json:"keys"`
	Level      attentionLevel `json:"level"`
	Location   string         `json:"location"`
	Newest     string         `json:"newest,omitempty"` // when its newest statement was signed, as its issuer says
	Origin     string         `json:"origin,omitempty"`
	Pins       pinCounts      `json:"pins"`
	Proofs     []proof        `json:"proofs"`
	Quiet      bool           `json:"quiet"` // its checkpoint is older than it should be, or its age is not known
	Roles      []role         `json:"roles"`
	SeenBefore bool           `json:"seen_before"` // and it extends what was seen
	Signed     string         `json:"signed,omitempty"`
	State      state          `json:"state"`
	VKeys      []string       `json:"vkeys"`
	Witnesses  *witnesses     `json:"witnesses,omitempty"` // whose quorum the reader demands
}

// witnesses are those of the reader's policy who cosigned a log's checkpoint.
type witnesses struct {
	By     []cosignature `json:"by"`
	Needed string        `json:"needed"` // the quorum, such as "2 of (w1, w2, w3)"
}

// cosignature is a witness, and when it cosigned by its own clock.
type cosignature struct {
	At   string `json:"at,omitempty"`
	Name string `json:"name"`
}

// pinCounts is how many checkpoints of a log that measurements pin are which.
type pinCounts struct {
	Ahead      int `json:"ahead"`
	Conflict   int `json:"conflict"`
	Consistent int `json:"consistent"`
}

// proof is a proof of equivocation: that a log signed two histories.
type proof struct {
	Detail string `json:"detail"`
	File   string `json:"file"`
}

// command is a command that computes a part of the report again.
type command struct {
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
