package party

import (
	"errors"
	"net/http"
	"slices"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// Meaning is what errors of one kind say about what was looked at.
type Meaning struct {
	// Refutes says that they speak against it. Else they are about what kept from
	// looking, and there is no verdict.
	Refutes bool
	Text    string // for people
	any     []error
	is      func(error) bool // where a sentinel does not say it; may be nil
}

// otherLog are the errors that say that a log is not what was seen of it.
var otherLog = []error{
	ErrForked, tiles.ErrOtherLog, ErrKeysChanged, tiles.ErrKeys, monitor.ErrPinned, monitor.ErrResume,
}

// meanings is the table of what errors say. The first row that fits an error counts.
var meanings = []Meaning{
	{Text: "a copy of a log is older than what was seen of it", any: []error{ErrRolledBack, tiles.ErrBehind}},
	{Refutes: true, Text: "a log shows other keys or another history than before, or is another one", any: otherLog},
	{Text: "the quorum of witnesses cosigned longer ago than --max-age, or no witness policy is for the log", any: []error{witness.ErrStale, witness.ErrPolicy}},
	{Refutes: true, Text: "too few witnesses cosigned what is shown, by the witness policy", any: []error{witness.ErrQuorum}},
	{Refutes: true, Text: "a log does not hold the entry", any: []error{ErrNoEntry}},
	{Text: "a signature or the content behind a hash could not be checked with what is known and served here",
		any: []error{scitt.ErrUnchecked, reader.ErrPrivate, monitor.ErrUnverified, ErrVKeys, ErrIssuerKey}, is: IsWithheld},
	{Refutes: true, Text: "a storage gave other bytes than those that were asked for, or says that its own are damaged or that it is full",
		any: []error{reader.ErrWrong}, is: problem(func(p *scitt.Problem) bool {
			return p.Title == reader.TitleDamaged || p.Status == http.StatusInsufficientStorage
		})},
	{Refutes: true, Text: "a service refused a request, other than for being busy (429) or broken (5xx)",
		is: problem(func(p *scitt.Problem) bool {
			return p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests
		})},
	{Text: "a service is busy, broken or out of reach", is: problem(func(*scitt.Problem) bool { return true })},
	{Refutes: true, Text: "a statement, Receipt, checkpoint, event, document or answer is malformed, does not verify or is not true",
		any: []error{
			tiles.ErrCorrupt, scitt.ErrMalformed, scitt.ErrAlgorithm, scitt.ErrNoKeyID, scitt.ErrPayloadMissing,
			scitt.ErrTooLarge, scitt.ErrSignature, scitt.ErrUnknownKey, scitt.ErrProof, scitt.ErrCheckpoint,
			monitor.ErrMalformed, monitor.ErrEvent, monitor.ErrOther, errGiven, errNotOwn, ErrReceipt, ErrNoMeasurement, client.ErrOther,
		}},
}

func problem(is func(*scitt.Problem) bool) func(error) bool {
	return func(err error) bool {
		p, ok := errors.AsType[*scitt.Problem](err)
		return ok && is(p)
	}
}

// IsWithheld reports whether an error is that content is withheld.
func IsWithheld(err error) bool {
	_, ok := errors.AsType[*monitor.WithheldError](err)
	return ok
}

func isAny(err error, kinds []error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

// Meanings is the table that Refutes reads: the first row that fits an error counts.
func Meanings() []Meaning { return slices.Clone(meanings) }

// Refutes reports whether an error speaks against what was looked at. Any other one is
// about what kept from looking, which is no verdict: one that is in no row of the table too.
func Refutes(err error) bool {
	for _, m := range meanings {
		if isAny(err, m.any) || m.is != nil && m.is(err) {
			return m.Refutes
		}
	}
	return false
}

// IsOtherLog reports whether an error is that a log is not what was seen of it.
func IsOtherLog(err error) bool { return isAny(err, otherLog) }
