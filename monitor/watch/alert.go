package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/conmotion/conmotion/monitor"
)

// formatAlert names the format of alerts: docs/schemas/alert.schema.json.
const formatAlert = "conmotion-alert/1"

// Check is what an alert is about.
type Check string

// What is wrong with a log as a whole. All of them are conditions.
const (
	checkUnreachable Check = "unreachable"  // nobody answers
	checkTimeout     Check = "timeout"      // the answer takes too long
	checkHTTP        Check = "http_error"   // the server answers with an error
	checkMissing     Check = "missing"      // there is no log at the location
	checkError       Check = "error"        // it cannot be looked at for another reason
	checkOtherLog    Check = "other_log"    // another log is at the location
	checkKeysChanged Check = "keys_changed" // it shows other keys than before
	checkCheckpoint  Check = "checkpoint"   // the checkpoint's signature does not verify
	checkFork        Check = "fork"         // the key signed two histories
	checkQuorum      Check = "quorum"       // too few witnesses cosigned the checkpoint
	checkCosigned    Check = "cosignatures" // the quorum of witnesses cosigned too long ago
	checkWitness     Check = "witness"      // a witness of the policy did not cosign, while the quorum is there
	checkBehind      Check = "behind"       // an older state than before, for long
	checkRolledBack  Check = "rolled_back"  // fewer entries than before, for long; whether they are an older state is not known
	checkHistory     Check = "history"      // entries or tiles that were there are wrong or gone
	// checkConfiguration: it shows another issuer or policy than is in the log.
	checkConfiguration Check = "configuration"
	checkTiles         Check = "tiles"   // a tile is wrong or missing
	checkEntries       Check = "entries" // a bundle is wrong, short or missing
	checkStale         Check = "stale"   // the checkpoint's signature is old
	checkIdle          Check = "idle"    // no new entries
	checkClock         Check = "clock"   // signed in the future
)

// What the rules find. checkAdmission, checkRecord, checkSignature, checkUnchecked, checkDuplicate, checkInvalid, checkAsOfLog,
// checkContent, checkEndorsementExpired and checkRecomputed are events, the others conditions.
const (
	checkAdmission           Check = "admission"             // the policy does not admit an entry
	checkAdmissionStopped    Check = "admission_stopped"     // the audit cannot go on
	checkAdmissionIncomplete Check = "admission_incomplete"  // artifacts are missing to judge by
	checkRecord              Check = "record"                // a new entry that a rule selects
	checkSignature           Check = "signature"             // an entry that would count is not signed by its issuer
	checkUnchecked           Check = "unchecked"             // whether its issuer signed an entry that would count is not known
	checkDuplicate           Check = "duplicate"             // the content of an entry that would count is in the log already
	checkAsOfLog             Check = "as_of_log"             // an entry that would count is in another log than its home
	checkInvalid             Check = "invalid"               // an entry that would count is not what its type says
	checkContent             Check = "content"               // the content of an entry that may count is not available
	checkExpected            Check = "expected"              // an expected record did not come
	checkMeasurement         Check = "measurement"           // the newest measurement is over the threshold
	checkRecomputed          Check = "measurement_differs"   // a measurement is not what its logs lead to
	checkRecompute           Check = "measurement_unchecked" // measurements cannot be computed again
	checkEndorsement         Check = "endorsement_expiring"
	checkEndorsementExpired  Check = "endorsement_expired"
)

// severityOf is the severity of checks that are no rules.
func severityOf(c Check) monitor.Severity {
	switch c {
	case checkUnreachable, checkTimeout, checkHTTP, checkMissing, checkError, checkBehind, checkStale, checkIdle, checkClock, checkCosigned, checkWitness, checkAdmissionIncomplete, checkRecompute:
		return monitor.Medium
	}
	return monitor.Critical
}

// Status reports whether an alert is about something that lasts.
type Status string

// The statuses.
const (
	event    Status = "event"    // it happened
	fired    Status = "fired"    // a condition began
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
