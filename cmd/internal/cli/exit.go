package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/storage/search"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
	"github.com/conmotion/conmotion/witness/mirror"
)

// Exit codes.
const (
	ExitGood  = 0
	ExitBad   = 1 // what was checked is bad, or was refused
	ExitUsage = 2 // there is no verdict: wrong usage, or something that could not be read
	// ExitDuplicates: a log has contents more than once, and is otherwise good.
	ExitDuplicates = 3
)

// otherLog are the errors that say that a log is not what was seen of it.
var otherLog = []error{
	party.ErrForked, party.ErrOtherLog, party.ErrKeysChanged, tiles.ErrKeys,
	monitor.ErrPinned, monitor.ErrResume, mirror.ErrOtherLog,
}

// exits is the table from errors to exit codes. The first row that fits an error
// counts, and no row is exit code 2.
var exits = []struct {
	code  int
	means string // for people, as "conmotion help exit-codes" prints it
	any   []error
	is    func(error) bool // where a sentinel does not say it
}{
	{code: ExitUsage, means: "a copy of a log is older than what was seen of it", any: []error{party.ErrRolledBack, tiles.ErrBehind}},
	{code: ExitBad, means: "a log shows other keys or another history than before, or is another one",
		any: otherLog},
	{code: ExitUsage, means: "the quorum of witnesses cosigned longer ago than --max-age, or no witness policy is for the log", any: []error{witness.ErrStale, witness.ErrPolicy}},
	{code: ExitBad, means: "too few witnesses cosigned what is shown, by the witness policy", any: []error{witness.ErrQuorum}},
	{code: ExitBad, means: "a log does not hold the entry", any: []error{party.ErrNoEntry}},
	{code: ExitUsage, means: "a signature or the content behind a hash could not be checked with what is known and served here",
		any: []error{scitt.ErrUnchecked, search.ErrUnchecked, reader.ErrPrivate, monitor.ErrUnverified, party.ErrVKeys, party.ErrIssuerKey}, is: withheld},
	{code: ExitBad, means: "a storage gave other bytes than those that were asked for, or says that its own are damaged or that it is full",
		any: []error{reader.ErrWrong}, is: problem(func(p *scitt.Problem) bool {
			return p.Title == reader.TitleDamaged || p.Status == http.StatusInsufficientStorage
		})},
	{code: ExitBad, means: "a service refused a request, other than for being busy (429) or broken (5xx)",
		is: problem(func(p *scitt.Problem) bool {
			return p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests
		})},
	{code: ExitUsage, means: "a service is busy, broken or out of reach", is: problem(func(*scitt.Problem) bool { return true })},
	{code: ExitBad, means: "a statement, Receipt, checkpoint, event, document or answer is malformed, does not verify or is not true",
		any: []error{
			tiles.ErrCorrupt, scitt.ErrMalformed, scitt.ErrAlgorithm, scitt.ErrNoKeyID, scitt.ErrPayloadMissing,
			scitt.ErrTooLarge, scitt.ErrSignature, scitt.ErrUnknownKey, scitt.ErrProof, scitt.ErrCheckpoint,
			monitor.ErrMalformed, monitor.ErrEvent, monitor.ErrOther, search.ErrAnswer, party.ErrReceipt, party.ErrNoMeasurement, client.ErrOther,
		}},
}

func problem(is func(*scitt.Problem) bool) func(error) bool {
	return func(err error) bool {
		p, ok := errors.AsType[*scitt.Problem](err)
		return ok && is(p)
	}
}

func withheld(err error) bool {
	_, ok := errors.AsType[*monitor.WithheldError](err)
	return ok
}

// ExitHelp is what the table means.
func ExitHelp() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d  good: all that was checked is as it should be\n", ExitGood)
	fmt.Fprintf(&b, "%d  bad: the result says what, or\n", ExitBad)
	for _, row := range exits {
		if row.code == ExitBad {
			fmt.Fprintf(&b, "     %s\n", row.means)
		}
	}
	fmt.Fprintf(&b, "%d  no verdict: wrong usage, a file that is missing, whatever is not named here, or\n", ExitUsage)
	for _, row := range exits {
		if row.code == ExitUsage {
			fmt.Fprintf(&b, "     %s\n", row.means)
		}
	}
	fmt.Fprintf(&b, "%d  an audit found that contents are in a log more than once, and nothing else\n", ExitDuplicates)
	return b.String()
}

// coded is an error with its exit code, for where its kind does not tell.
type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

// WithCode gives an error an exit code, whatever the table says.
func WithCode(err error, code int) error {
	if err == nil {
		return nil
	}
	return coded{err, code}
}

// Usage marks an error as no verdict: how the tool was called, or what it was
// called with, is at fault.
func Usage(err error) error { return WithCode(err, ExitUsage) }

// Bad marks an error as the verdict on what was checked.
func Bad(err error) error { return WithCode(err, ExitBad) }

// OfLog is an error of reading what a log's entries say: [OfStorage], and that a
// file is missing which the checkpoint covers is a verdict.
func OfLog(err error) error {
	if errors.Is(err, fs.ErrNotExist) && !withheld(err) {
		return Bad(fmt.Errorf("a file that the checkpoint covers is not there: %w", err))
	}
	return OfStorage(err)
}

// OfStorage is an error of reading the content behind hashes, where a storage that
// refuses to serve it is no verdict.
func OfStorage(err error) error {
	if _, refused := errors.AsType[*scitt.Problem](err); refused {
		return Usage(err)
	}
	return err
}

// IsUsage reports whether [Usage] marked an error.
func IsUsage(err error) bool {
	c, ok := errors.AsType[coded](err)
	return ok && c.code == ExitUsage
}

// ExitCode returns the exit code of an error.
func ExitCode(err error) int {
	if err == nil {
		return ExitGood
	}
	if c, ok := errors.AsType[coded](err); ok {
		return c.code
	}
	for _, row := range exits {
		if row.is != nil && row.is(err) {
			return row.code
		}
		for _, e := range row.any {
			if errors.Is(err, e) {
				return row.code
			}
		}
	}
	return ExitUsage
}
