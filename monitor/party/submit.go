package party

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/scitt"
)

// Skipped is the result of a [Submission] of which nothing was left to do: the files are
// there and verify.
const Skipped Result = "skipped"

// Submission is what became of a Signed Statement at all services.
type Submission struct {
	// Result is Registered when one of the services registered it now, Skipped, Refused, or
	// Failed when the same again may succeed.
	Result   Result         `json:"result"`
	EntryID  string         `json:"entry_id,omitempty"`
	Location string         `json:"location,omitempty"` // URL of the first service's Receipt
	Out      string         `json:"out,omitempty"`      // the file with the first service's signature
	Problem  *scitt.Problem `json:"problem,omitempty"`
	Error    string         `json:"error,omitempty"`
	// OtherSignature says that the first service holds the content with another signature,
	// and that Out is the Transparent Statement of that one.
	OtherSignature bool `json:"other_signature,omitempty"`
	// Also is what became of it at the other services.
	Also []SubmittedAt `json:"also,omitempty"`

	Copies []Copy `json:"-"` // see [Outcome]
	Err    error  `json:"-"` // is Error
}

// SubmittedAt is what became of a statement at one service.
type SubmittedAt struct {
	Log            string `json:"log"`
	Result         Result `json:"result"`
	Location       string `json:"location,omitempty"`
	OtherSignature bool   `json:"other_signature,omitempty"`
	Out            string `json:"out,omitempty"` // when it is another file than that of the first service
}

// Fail says that something went wrong with a submission.
func (s *Submission) Fail(err error) {
	s.Err, s.Error, s.Result = err, err.Error(), resultOf(err)
	if p, ok := errors.AsType[*scitt.Problem](err); ok {
		s.Problem = p
	}
}

// resultOf is what an error comes to: a refusal, or no verdict.
func resultOf(err error) Result {
	if Refutes(err) {
		return Refused
	}
	return Failed
}

// Submit registers a Signed Statement with each service. What one of them does not do keeps
// it from no other. The Transparent Statement of each signature that the services hold is
// written to a file: the first to out, and the others beside it, see [CopyFile]. What an
// earlier call wrote there, and verifies, is kept. Without write no file is read or written.
func (r *Registrar) Submit(ctx context.Context, statement []byte, out string, write func(path string, data []byte) error) (s Submission) {
	st, err := scitt.DecodeStatement(statement)
	if err != nil {
		s.Fail(err)
		return s
	}
	s.Result, s.EntryID = Skipped, st.ID().String()
	d := Draft{signed: statement}
	if write != nil {
		d.file = func(n int) ([]byte, error) { return durable.ReadFile(CopyFile(out, n)) }
		d.written = func(n int, c Copy) error { return write(CopyFile(out, n), c.Transparent()) }
	}
	// What is wrong is in the outcome, for each service.
	outcomes, _ := r.Register(ctx, []Draft{d})
	s.Copies = outcomes[0].Copies
	var failures []error
	for n, at := range outcomes[0].At {
		url := r.services[n].url
		also := SubmittedAt{Log: url, Result: Skipped, Location: at.Location, OtherSignature: at.other}
		switch err := at.err; {
		case err != nil:
			also.Result = resultOf(err)
			if len(r.services) > 1 {
				err = fmt.Errorf("%s: %w", url, err)
			}
			failures = append(failures, err)
		case at.Result == Registered:
			also.Result, s.Result = Registered, Registered
			fallthrough
		default:
			if also.Out = CopyFile(out, at.Copy); s.Out == "" {
				s.Out = also.Out
			}
			if also.Out == s.Out {
				also.Out = ""
			}
		}
		if n == 0 {
			s.Location, s.OtherSignature = also.Location, also.OtherSignature
		} else {
			s.Also = append(s.Also, also)
		}
	}
	if err := r.together(failures); err != nil {
		s.Problem, _ = errors.AsType[*scitt.Problem](errors.Join(failures...))
		s.Fail(err)
	}
	return s
}

// CopyFile names the file of the n-th signature of a statement, from 0: NAME.cose and then
// NAME.2.cose, NAME.3.cose and so on. On standard output they follow each other.
func CopyFile(out string, n int) string {
	if n == 0 || out == "" || out == "-" {
		return out
	}
	ext := filepath.Ext(out)
	return fmt.Sprintf("%s.%d%s", strings.TrimSuffix(out, ext), n+1, ext)
}

// together is the error that those of several services come to. One that is no verdict comes
// first: without a verdict by each of them the same call may succeed.
func (r *Registrar) together(failures []error) error {
	if len(failures) == 0 || len(r.services) == 1 {
		return errors.Join(failures...)
	}
	e := &severalError{}
	text := make([]string, len(failures))
	for i, err := range failures {
		text[i] = err.Error()
		if e.error == nil || !Refutes(err) {
			e.error = err
		}
	}
	e.text = fmt.Sprintf("registered with %d of %d services: %s", len(r.services)-len(failures), len(r.services), strings.Join(text, "; "))
	return e
}

// severalError is what several services said, in one line. It is the error of the one that
// decides what follows.
type severalError struct {
	text string
	error
}

// Error implements error.
func (e *severalError) Error() string { return e.text }

// Unwrap is what one of them said.
func (e *severalError) Unwrap() error { return e.error }
