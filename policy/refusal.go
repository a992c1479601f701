package policy

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
)

// Outcome is what a check found.
type Outcome string

// The outcomes of a check.
const (
	Passed Outcome = "passed"
	Warned Outcome = "warned" // noted, and no reason to refuse
	Failed Outcome = "failed"
)

// Finding is the outcome of one check: a built-in one, or a rule of the
// document.
type Finding struct {
	Check   string  `json:"check"` // one of the Check constants, or the id of a rule
	Outcome Outcome `json:"outcome"`
	Message string  `json:"message,omitempty"` // what is wrong; "" when it passed
	Fix     string  `json:"fix,omitempty"`     // what would make it pass
}

// String is one line.
func (f Finding) String() string {
	s := f.Check + ": "
	if f.Message == "" {
		return s + string(f.Outcome)
	}
	s += f.Message
	if f.Fix != "" {
		s += " (to pass: " + f.Fix + ")"
	}
	return s
}

// Report is what every check of a policy found about a statement. Checks that
// the policy does not have, or that were not reached, are not in it.
type Report struct {
	Signed   bool      `json:"signed"` // the issuer's signature verifies; else nothing beyond it was checked
	Findings []Finding `json:"findings"`
	Cost     uint64    `json:"cost"` // of all rules, in units of CEL
}

// Admitted reports whether the policy admits the statement.
func (r *Report) Admitted() bool {
	for _, f := range r.Findings {
		if f.Outcome == Failed {
			return false
		}
	}
	return true
}

// Refusal says why a policy refuses a statement. It is never empty. Where a
// refusal has a cause in package scitt, such as ErrSignature, it wraps it.
type Refusal struct {
	Failed []Finding
	causes []error
}

// maxDetail is the longest detail of a problem in bytes.
const maxDetail = 8 << 10

func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString("the Registration Policy refuses the statement: ")
	for i, f := range r.Failed {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.String())
	}
	return jsonx.Cut(b.String(), maxDetail)
}

// Unwrap gives the causes.
func (r *Refusal) Unwrap() []error { return r.causes }

// Problem is the refusal as SCRAPI tells it (draft-ietf-scitt-scrapi-11
// section 2.3.3): "Bad Signature Algorithm" when the algorithm is one of the
// reasons, else "Rejected".
func (r *Refusal) Problem() *scitt.Problem {
	title := "Rejected"
	for _, f := range r.Failed {
		if f.Check == CheckAlgorithm {
			title = "Bad Signature Algorithm"
		}
	}
	return &scitt.Problem{Status: http.StatusBadRequest, Title: title, Detail: r.Error()}
}

// As lets errors.As, and so scitt.ProblemOf, find the problem in a refusal.
func (r *Refusal) As(target any) bool {
	p, ok := target.(**scitt.Problem)
	if ok {
		*p = r.Problem()
	}
	return ok
}

// quote shows a text from outside, cut to a bounded length.
func quote(s string) string { return jsonx.Quote(s, 120) }

// list shows patterns, and not too many of them.
func list(s []string) string {
	const most = 8
	out := make([]string, 0, most+1)
	for i, v := range s {
		if i == most {
			out = append(out, fmt.Sprintf("and %d more", len(s)-most))
			break
		}
		out = append(out, quote(v))
	}
	return strings.Join(out, ", ")
}
