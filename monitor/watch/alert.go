package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/conmotion/conmotion/monitor"
)

// FormatAlert names the format of alerts: docs/schemas/alert.schema.json.
const FormatAlert = "conmotion-alert/1"

// Check is what an alert is about.
type Check string

// What is wrong with a log as a whole. All of them are conditions.
const (
	CheckUnreachable Check = "unreachable"  // nobody answers
	CheckTimeout     Check = "timeout"      // the answer takes too long
	CheckHTTP        Check = "http_error"   // the server answers with an error
	CheckMissing     Check = "missing"      // there is no log at the location
	CheckError       Check = "error"        // it cannot be looked at for another reason
	CheckOtherLog    Check = "other_log"    // another log is at the location
	CheckKeysChanged Check = "keys_changed" // it shows other keys than before
	CheckCheckpoint  Check = "checkpoint"   // the checkpoint's signature does not verify
	CheckFork        Check = "fork"         // the key signed two histories
	CheckQuorum      Check = "quorum"       // too few witnesses cosigned the checkpoint
	CheckCosigned    Check = "cosignatures" // the quorum of witnesses cosigned too long ago
	CheckWitness     Check = "witness"      // a witness of the policy did not cosign, while the quorum is there
	CheckBehind      Check = "behind"       // an older state than before, for long
	CheckRolledBack  Check = "rolled_back"  // fewer entries than before, for long; whether they are an older state is not known
	CheckHistory     Check = "history"      // entries or tiles that were there are wrong or gone
	// CheckConfiguration: it shows another issuer or policy than is in the log.
	CheckConfiguration Check = "configuration"
	CheckTiles         Check = "tiles"   // a tile is wrong or missing
	CheckEntries       Check = "entries" // a bundle is wrong, short or missing
	CheckStale         Check = "stale"   // the checkpoint's signature is old
	CheckIdle          Check = "idle"    // no new entries
	CheckClock         Check = "clock"   // signed in the future
)

// What the rules find. Admission, Record, Signature, Unchecked, Duplicate, Invalid, AsOfLog,
// Content, EndorsementExpired and Recomputed are events, the others conditions.
const (
	CheckAdmission           Check = "admission"             // the policy does not admit an entry
	CheckAdmissionStopped    Check = "admission_stopped"     // the audit cannot go on
	CheckAdmissionIncomplete Check = "admission_incomplete"  // artifacts are missing to judge by
	CheckRecord              Check = "record"                // a new entry that a rule selects
	CheckSignature           Check = "signature"             // an entry that would count is not signed by its issuer
	CheckUnchecked           Check = "unchecked"             // whether its issuer signed an entry that would count is not known
	CheckDuplicate           Check = "duplicate"             // the content of an entry that would count is in the log already
	CheckAsOfLog             Check = "as_of_log"             // an entry that would count is in another log than its home
	CheckInvalid             Check = "invalid"               // an entry that would count is not what its type says
	CheckContent             Check = "content"               // the content of an entry that may count is not available
	CheckExpected            Check = "expected"              // an expected record did not come
	CheckMeasurement         Check = "measurement"           // the newest measurement is over the threshold
	CheckRecomputed          Check = "measurement_differs"   // a measurement is not what its logs lead to
	CheckRecompute           Check = "measurement_unchecked" // measurements cannot be computed again
	CheckEndorsement         Check = "endorsement_expiring"
	CheckEndorsementExpired  Check = "endorsement_expired"
)

// severityOf is the severity of checks that are no rules.
func severityOf(c Check) monitor.Severity {
	switch c {
	case CheckUnreachable, CheckTimeout, CheckHTTP, CheckMissing, CheckError, CheckBehind, CheckStale, CheckIdle, CheckClock, CheckCosigned, CheckWitness, CheckAdmissionIncomplete, CheckRecompute:
		return monitor.Medium
	}
	return monitor.Critical
}

// Status reports whether an alert is about something that lasts.
type Status string

// The statuses.
const (
	Event    Status = "event"    // it happened
	Fired    Status = "fired"    // a condition began
	Resolved Status = "resolved" // it ended
)

// Alert is what a person or a program is told.
type Alert struct {
	Format string `json:"format"`
	// ID is the same whenever this alert is told again: a receiver drops what
	// it has.
	ID       string            `json:"id"`
	Time     time.Time         `json:"time"` // when the monitor found it
	Log      string            `json:"log"`  // its name in the configuration
	Location string            `json:"location"`
	Check    Check             `json:"check"`
	Rule     string            `json:"rule,omitempty"` // its name in the configuration
	Status   Status            `json:"status"`
	Severity monitor.Severity  `json:"severity"`
	Message  string            `json:"message"`
	Entry    *monitor.EntryRef `json:"entry,omitempty"` // that it is about
	Issuer   string            `json:"issuer,omitempty"`
	Subject  string            `json:"subject,omitempty"`
	Resolves string            `json:"resolves,omitempty"` // the id of the alert of the beginning
	// Proof is, of a fork, the document that proves it to anybody
	// (conmotion-equivocation/1), and ProofFile where the monitor keeps it.
	Proof     string `json:"proof,omitempty"`
	ProofFile string `json:"proof_file,omitempty"`
}

// ParseAlert reads an alert.
func ParseAlert(data []byte) (*Alert, error) {
	var a Alert
	err := json.Unmarshal(data, &a)
	return &a, err
}

// idOf makes an id of what tells an alert from all others.
func idOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// maxMessage is the longest message in bytes.
const maxMessage = 4 << 10

func limit(s string) string {
	if len(s) > maxMessage {
		s = s[:maxMessage] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
