package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// Exit codes.
const (
	ExitGood  = 0
	ExitBad   = 1 // what was checked is bad, or was refused
	ExitUsage = 2 // there is no verdict: wrong usage, or something that could not be read
	// ExitDuplicates: a log has contents more than once, and is otherwise good.
	ExitDuplicates = 3
)

// exitHelp is what exit codes mean: [party.Meanings].
func exitHelp() string {
	var b strings.Builder
	explain := func(refutes bool) {
		for _, m := range party.Meanings() {
			if m.Refutes == refutes {
				fmt.Fprintf(&b, "     %s\n", m.Text)
			}
		}
	}
	fmt.Fprintf(&b, "%d  good: all that was checked is as it should be\n", ExitGood)
	fmt.Fprintf(&b, "%d  bad: the result says what, or\n", ExitBad)
	explain(true)
	fmt.Fprintf(&b, "%d  no verdict: wrong usage, a file that is missing, whatever is not named here, or\n", ExitUsage)
	explain(false)
	fmt.Fprintf(&b, "%d  an audit found that contents are in a log more than once, and nothing else\n", ExitDuplicates)
	return b.String()
}

// coded is an error with its exit code, for where its kind does not tell.
type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

// WithCode gives an error an exit code, whatever [party.Refutes] says.
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
// file is missing which the checkpoint covers is said. It is no verdict: a copy may lack
// it, or somebody on the way.
func OfLog(err error) error {
	if errors.Is(err, fs.ErrNotExist) && !party.IsWithheld(err) {
		return Usage(fmt.Errorf("a file that the checkpoint covers is not there: %w", err))
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

// ExitCode returns the exit code of an error: that which it is marked with, or that of
// what [party.Refutes] says.
func ExitCode(err error) int {
	if err == nil {
		return ExitGood
	}
	if c, ok := errors.AsType[coded](err); ok {
		return c.code
	}
	if party.Refutes(err) {
		return ExitBad
	}
	return ExitUsage
}
