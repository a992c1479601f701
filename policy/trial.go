package policy

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/scitt"
)

// What becomes of a statement in a [Trial].
const (
	Admitted  = "admitted"
	Refused   = "refused"
	Undecided = "undecided" // what was not given decides
)

// Judged is what became of one statement in a [Trial].
type Judged struct {
	Result   string    `json:"result"` // Admitted, Refused or Undecided
	EntryID  string    `json:"entry_id,omitempty"`
	Findings []Finding `json:"findings"`
	Cost     uint64    `json:"cost"`           // of all rules, in units of CEL
	Note     string    `json:"note,omitempty"` // beside the findings: what was assumed, or what is missing
}

// Trial judges statements one after the other, as if each that is admitted were
// registered before the next. It is not safe for concurrent use.
type Trial struct {
	Policy *Policy
	// InForce is the policy's place in a log; nil when it is not in one, so that
	// nobody can tell what may replace it.
	InForce *InForce
	// Log reports whether the trial is of a log whose entries all went to
	// Registered: then it has no other chains.
	Log bool
	// Content is [Facts].Artifact; nil when no content is given.
	Content func(algorithm int64, digest []byte) (*Artifact, error)

	heads  chainHeads
	next   uint64                    // the index of the next statement
	places map[scitt.EntryID]*uint64 // of the statements to judge; nil for nowhere yet

	// For one statement.
	statement *scitt.Statement
	note      string
}

// errNotGiven: the policy asks for something that was not given. It is no
// reason to refuse and none to admit.
var errNotGiven = errors.New("not given")

// Expect tells which statements will be judged, so that Registered knows them.
func (t *Trial) Expect(statements ...[]byte) {
	if t.places == nil {
		t.places = map[scitt.EntryID]*uint64{}
	}
	for _, data := range statements {
		if s, err := scitt.ParseStatement(data); err == nil { // Judge tells what is wrong
			t.places[s.ID()] = nil
		}
	}
}

// chainLabel is in the header of every statement of a chain, in one piece.
var chainLabel = []byte("chain")

// Registered takes an entry of the log into account. Entries come in order.
func (t *Trial) Registered(index uint64, entry []byte) error {
	t.next = index + 1
	if id, ok := scitt.EntryIDOf(entry); ok {
		if _, expected := t.places[id]; expected {
			t.places[id] = &index
		}
	}
	if !bytes.Contains(entry, chainLabel) {
		return nil
	}
	s, err := scitt.ParseStatement(entry)
	if err != nil {
		return fmt.Errorf("entry %d is no Signed Statement: %w", index, err)
	}
	t.heads.Add(s, index)
	return nil
}

// Judge judges one statement. The error is about what kept it from looking.
func (t *Trial) Judge(data []byte) (Judged, error) {
	j := Judged{Result: Refused, Findings: []Finding{}}
	s, err := scitt.ParseStatement(data)
	if err != nil {
		j.Findings = append(j.Findings, Finding{Check: "form", Outcome: Failed, Message: err.Error(), Fix: "sign it again, as conmotion sign does"})
		return j, nil
	}
	j.EntryID = s.ID().String()
	if place := t.places[s.ID()]; place != nil {
		j.Result, j.Note = Admitted, fmt.Sprintf("registered already, as entry %d: a service answers with its receipt and judges nothing", *place)
		return j, nil
	}
	if s.Type == scitt.TypePolicy {
		t.replace(s, &j)
	} else if err := t.explain(s, &j); err != nil {
		return j, err
	}
	if j.Result == Admitted {
		t.Expect()
		index := t.next
		t.places[s.ID()] = &index
		t.heads.Add(s, index)
		t.next++
	}
	return j, nil
}

func (t *Trial) explain(s *scitt.Statement, j *Judged) error {
	t.statement, t.note = s, ""
	report, err := t.Policy.Explain(s, trialFacts{t})
	j.Note = t.note
	switch {
	case errors.Is(err, errNotGiven):
		j.Result, j.Note = Undecided, err.Error()
		return nil
	case err != nil:
		return err
	}
	j.Findings = append(j.Findings, report.Findings...)
	j.Cost = report.Cost
	if report.Admitted() {
		j.Result = Admitted
	}
	return nil
}

// replace judges a statement that is to replace the log's policy. When it is
// admitted, the statements after it are judged by it.
func (t *Trial) replace(s *scitt.Statement, j *Judged) {
	if t.InForce == nil {
		j.Result, j.Note = Undecided, "it is a policy, and which one it would replace is not known: that takes a log"
		return
	}
	next, err := t.Policy.AdmitPolicy(s, *t.InForce)
	if refusal := AsRefusal(err); refusal != nil {
		j.Findings = append(j.Findings, refusal.Failed...)
		return
	}
	j.Result, j.Note = Admitted, "it is a policy, and judges what follows"
	t.Policy, t.InForce.Entry = next, s.ID()
}

// trialFacts are the facts of a trial: the heads of chains that it has seen, and
// content that it is given.
type trialFacts struct{ *Trial }

// ChainHead implements [Facts]. Without a log, a chain that was not seen yet can
// only be taken to begin with the statement, if it says so.
func (f trialFacts) ChainHead(issuer, name string) (*scitt.Head, error) {
	head, err := f.heads.ChainHead(issuer, name)
	if err != nil || head != nil || f.Log {
		return head, err
	}
	begun := f.statement.Issuer // whose chain the statement's seq counts on
	if h, err := f.statement.Handover(); err == nil {
		begun = h.From
	}
	if issuer == begun && f.statement.Chain.Seq > 0 {
		return nil, fmt.Errorf("%w: the head of the chain %q, which is in the log, or among the statements before this one", errNotGiven, name)
	}
	f.note = fmt.Sprintf("no log was given; it is taken to begin the chain %q", name)
	return nil, nil
}

// Artifact implements [Facts].
func (f trialFacts) Artifact(algorithm int64, digest []byte) (*Artifact, error) {
	if f.Content == nil {
		return nil, fmt.Errorf("%w: the content behind the hash envelope", errNotGiven)
	}
	return f.Content(algorithm, digest)
}
