package scitt

import (
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Problem is a refusal as HTTP tells it.
type Problem struct {
	Status int    // HTTP status code
	Title  string // short, for a log line
	Detail string // what is wrong and how to put it right
	// RetryAfter, when not zero, is how long to wait before trying again.
	RetryAfter time.Duration
}

// ProblemMediaType is the content type of every error of SCRAPI.
const ProblemMediaType = "application/concise-problem-details+cbor"

// Error makes a Problem an error, so that a client can return what it was told.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%s (status %d)", p.Title, p.Status)
	}
	return fmt.Sprintf("%s: %s (status %d)", p.Title, p.Detail, p.Status)
}

// Marshal encodes the body of the answer (RFC 9290 section 2): a map with
// title (-1) and detail (-2).
func (p *Problem) Marshal() []byte {
	return encode(map[int64]string{-1: p.Title, -2: p.Detail})
}

// ParseProblem reads the body of an answer with this status. Title and detail
// are text, or text with a language (tag 38).
func ParseProblem(status int, body []byte) (*Problem, error) {
	h, err := parseHeader("problem details", body)
	if err != nil {
		return nil, err
	}
	return &Problem{Status: status, Title: olText(h[int64(-1)]), Detail: olText(h[int64(-2)])}, nil
}

// olText reads RFC 9290's oltext: text, or tag 38 around [language, text].
func olText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case cbor.Tag:
		if a, ok := v.Content.([]any); ok && v.Number == 38 && len(a) >= 2 {
			s, _ := a[1].(string)
			return s
		}
	}
	return ""
}

// problems says once, for every reason to refuse a statement, what SCRAPI
// answers (draft-ietf-scitt-scrapi-11 section 2.3.3).
var problems = []struct {
	err    error
	status int
	title  string
	retry  time.Duration
}{
	{ErrAlgorithm, 400, "Bad Signature Algorithm", 0},
	{ErrNoKeyID, 400, "Confirmation Missing", 0},
	{ErrPayloadMissing, 400, "Payload Missing", 0},
	{ErrTooLarge, 413, "Statement Too Large", 0},
	{ErrSignature, 400, "Rejected", 0},
	{ErrUnknownKey, 400, "Rejected", 0},
	{ErrMalformed, 400, "Malformed request", 0},
	{ErrBusy, 503, "Log Busy", time.Second},
	{ErrUnavailable, 503, "Registration Failed", 5 * time.Second},
}

// ProblemOf says how to answer a request that failed with an error of this
// package, or nil when the error is none of its own.
func ProblemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	for _, p := range problems {
		if errors.Is(err, p.err) {
			return &Problem{p.status, p.title, err.Error(), p.retry}
		}
	}
	return nil
}
