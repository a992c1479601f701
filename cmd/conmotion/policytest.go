package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// policyTestFlags are the flags of policy test.
type policyTestFlags struct {
	logFlags
	policy, artifacts, schema string
}

func (a *app) policyTest() *cobra.Command {
	var f policyTestFlags
	cmd := &cobra.Command{
		Use: "test --policy FILE|URL-or-DIR[@INDEX] STATEMENT...", Short: "Say which statements a policy admits, and why",
		Long: `Say which statements a policy would admit, with the outcome of each check and
rule. Statements are judged in the order in which they are given, as if each
that is admitted were registered before the next: so a chain goes on.

A policy may ask for more than the statement. The heads of chains come from the
statements before, and from a log with --log or --static, whose policy in force
is also the one that is tried unless --policy names another. The content behind
hash envelopes comes from the files in --artifacts, by the SHA-256 of each. What
cannot be told without is undecided, neither admitted nor refused.

The exit code is 1 when a statement is refused, and 2 when none is but one is
undecided.`,
		Example: `  conmotion policy test --policy policy.json statements/*.cose
  conmotion policy test --log http://127.0.0.1:8080 s.cose
  conmotion policy test --policy new.json --static conmotion-data/public --artifacts files s.cose`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runPolicyTest(cmd.Context(), f, args) },
	}
	f.add(cmd)
	schemaFlag(cmd, &f.schema)
	cmd.Flags().StringVar(&f.policy, "policy", "", "the policy: a file, or the one in force in a log at an index, by default at its end")
	cmd.Flags().StringVar(&f.artifacts, "artifacts", "", "directory with the content behind hash envelopes")
	cmd.MarkFlagsOneRequired("policy", "log", "static")
	return cmd
}

// Outcomes of a test. Also resultRefused.
const (
	resultAdmitted  = "admitted"
	resultUndecided = "undecided"
)

// judged is what became of one statement.
type judged struct {
	File     string           `json:"file"`
	Result   string           `json:"result"` // admitted, refused or undecided
	EntryID  string           `json:"entry_id,omitempty"`
	Findings []policy.Finding `json:"findings"`
	Cost     uint64           `json:"cost"`           // of all rules, in units of CEL
	Note     string           `json:"note,omitempty"` // beside the findings: what was assumed, or what is missing
}

func (a *app) runPolicyTest(ctx context.Context, f policyTestFlags, files []string) error {
	statements := make([][]byte, len(files))
	for i, file := range files {
		var err error
		if statements[i], err = a.ReadInput(file); err != nil {
			return err
		}
	}
	t, err := a.newTrial(ctx, f, statements)
	if err != nil {
		return noVerdict(err) // on any statement
	}
	counts := map[string]int{}
	for i, data := range statements {
		r, err := t.judge(files[i], data)
		if err != nil {
			return err
		}
		counts[r.Result]++
		if a.JSON {
			err = a.PrintJSONLine(r)
		} else {
			_, err = fmt.Fprint(a.Stdout, r.text())
		}
		if err != nil {
			return err
		}
	}
	switch {
	case counts[resultRefused] > 0:
		return cli.Bad(fmt.Errorf("%d of %s refused, %d undecided", counts[resultRefused], count(len(files), "statement"), counts[resultUndecided]))
	case counts[resultUndecided] > 0:
		return cli.Usage(fmt.Errorf("%d of %s undecided", counts[resultUndecided], count(len(files), "statement")))
	}
	return nil
}

// text is a line for the statement and one for each finding.
func (r judged) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s", r.Result, cli.Clean(r.File))
	if r.EntryID != "" {
		fmt.Fprintf(&b, "  entry id %s", r.EntryID)
	}
	b.WriteByte('\n')
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "  %-7s  %s", f.Outcome, f.Check)
		if f.Message != "" {
			fmt.Fprintf(&b, ": %s", cli.Clean(f.Message))
		}
		b.WriteByte('\n')
		if f.Fix != "" {
			fmt.Fprintf(&b, "           to pass: %s\n", cli.Clean(f.Fix))
		}
	}
	if r.Note != "" {
		fmt.Fprintf(&b, "  note     %s\n", cli.Clean(r.Note))
	}
	return b.String()
}

// trial judges statements one after the other.
type trial struct {
	policy  *policy.Policy
	inForce *policy.InForce // nil when the policy is not a log's
	facts   *trialFacts
	next    uint64                    // the index of the next statement
	places  map[scitt.EntryID]*uint64 // where the given statements are; nil for nowhere yet
}

// newTrial reads the policy and the log that the facts come from.
func (a *app) newTrial(ctx context.Context, f policyTestFlags, statements [][]byte) (*trial, error) {
	schema, err := loadSchema(f.schema)
	if err != nil {
		return nil, err
	}
	t := &trial{facts: &trialFacts{ctx: ctx}, places: map[scitt.EntryID]*uint64{}}
	if f.artifacts != "" {
		if t.facts.artifacts, err = reader.Files(ctx, f.artifacts, reader.Options{}); err != nil {
			return nil, fmt.Errorf("--artifacts: %w", err)
		}
	}
	for _, data := range statements {
		if st, err := scitt.ParseStatement(data); err == nil { // judge tells what is wrong
			t.places[st.ID()] = nil
		}
	}
	var p *namedPolicy
	if f.policy != "" {
		if p, err = a.loadPolicy(ctx, f.policy, f.MemoryFlags, schema); err != nil {
			return nil, err
		}
	}
	if location := f.location(); location != "" {
		log, err := a.openLog(ctx, location, readFlags{MemoryFlags: f.MemoryFlags})
		if err != nil {
			return nil, err
		}
		h, err := a.policiesOf(ctx, log, nil, schema, t.registered)
		if err != nil {
			return nil, err
		}
		t.facts.log = true
		if p == nil {
			if p, err = a.named(h); err != nil {
				return nil, err
			}
		}
	}
	t.policy = p.Policy
	if p.history != nil {
		at := p.history.InForce()
		t.inForce = &at
		a.Notice("policy: entry %d of %s, %s", p.history.Last().Index, p.history.Origin, at.Entry)
	}
	return t, nil
}

// chainLabel is in the header of every statement of a chain, in one piece.
var chainLabel = []byte("chain")

// registered takes an entry of the log into account.
func (t *trial) registered(e tiles.Entry) error {
	index, entry := e.Index, e.Data
	t.next = index + 1
	if id, ok := scitt.EntryIDOf(entry); ok && t.given(id) {
		t.places[id] = &index
	}
	if !bytes.Contains(entry, chainLabel) {
		return nil
	}
	st, err := scitt.ParseStatement(entry)
	if err != nil {
		return cli.Bad(fmt.Errorf("entry %d is no Signed Statement: %w", index, err))
	}
	t.facts.heads.Add(st, index)
	return nil
}

func (t *trial) given(id scitt.EntryID) bool { _, ok := t.places[id]; return ok }

// admitted takes a statement into account as if it were registered now.
func (t *trial) admitted(st *scitt.Statement) {
	index := t.next
	t.places[st.ID()] = &index
	t.facts.heads.Add(st, index)
	t.next++
}

// judge judges one statement. The error is about what kept it from looking.
func (t *trial) judge(file string, data []byte) (judged, error) {
	r := judged{File: file, Result: resultRefused, Findings: []policy.Finding{}}
	st, err := scitt.ParseStatement(data)
	if err != nil {
		r.Findings = append(r.Findings, policy.Finding{Check: "form", Outcome: policy.Failed, Message: err.Error(), Fix: "sign it again, as conmotion sign does"})
		return r, nil
	}
	r.EntryID = st.ID().String()
	if place := t.places[st.ID()]; place != nil {
		r.Result, r.Note = resultAdmitted, fmt.Sprintf("registered already, as entry %d: a service answers with its receipt and judges nothing", *place)
		return r, nil
	}
	if st.Type == scitt.TypePolicy {
		t.judgePolicy(st, &r)
	} else if err := t.explain(st, &r); err != nil {
		return r, err
	}
	if r.Result == resultAdmitted {
		t.admitted(st)
	}
	return r, nil
}

func (t *trial) explain(st *scitt.Statement, r *judged) error {
	t.facts.begin(st)
	report, err := t.policy.Explain(st, t.facts)
	r.Note = t.facts.note
	switch {
	case errors.Is(err, errNoFact):
		r.Result, r.Note = resultUndecided, err.Error()
		return nil
	case err != nil:
		return err
	}
	r.Findings = append(r.Findings, report.Findings...)
	r.Cost = report.Cost
	if report.Admitted() {
		r.Result = resultAdmitted
	}
	return nil
}

// judgePolicy judges a statement that is to replace a log's policy. When it
// is admitted, the statements behind it are judged by it.
func (t *trial) judgePolicy(st *scitt.Statement, r *judged) {
	if t.inForce == nil {
		r.Result, r.Note = resultUndecided, "it is a policy, and which one it would replace is not known; name the log with --log, --static or --policy"
		return
	}
	next, err := t.policy.AdmitPolicy(st, *t.inForce)
	if refusal := policy.AsRefusal(err); refusal != nil {
		r.Findings = append(r.Findings, refusal.Failed...)
		return
	}
	r.Result, r.Note = resultAdmitted, "it is a policy, and judges what follows"
	t.policy, t.inForce.Entry = next, st.ID()
}
