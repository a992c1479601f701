package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
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

// judged is what became of one statement.
type judged struct {
	File string `json:"file"`
	policy.Judged
}

func (a *app) runPolicyTest(ctx context.Context, f policyTestFlags, files []string) error {
	statements := make([][]byte, len(files))
	for i, file := range files {
		var err error
		if statements[i], err = a.ReadInput(ctx, file); err != nil {
			return err
		}
	}
	t, err := a.newTrial(ctx, f, statements)
	if err != nil {
		return noVerdict(err) // on any statement
	}
	counts := map[string]int{}
	for i, data := range statements {
		j, err := t.Judge(data)
		if err != nil {
			return err
		}
		r := judged{files[i], j}
		counts[r.Result]++
		if err := a.PrintLine(r, r.show); err != nil {
			return err
		}
	}
	switch {
	case counts[policy.Refused] > 0:
		return cli.Bad(fmt.Errorf("%d of %s refused, %d undecided", counts[policy.Refused], plural.Of(len(files), "statement"), counts[policy.Undecided]))
	case counts[policy.Undecided] > 0:
		return cli.Usage(fmt.Errorf("%d of %s undecided; --artifacts, and --log or --static, give what a policy asks for", counts[policy.Undecided], plural.Of(len(files), "statement")))
	}
	return nil
}

// show shows a line for the statement and one for each finding.
func (r judged) show(p *cli.Page) {
	id := ""
	if r.EntryID != "" {
		id = "  entry id " + r.EntryID
	}
	p.Line("%s  %s%s", r.Result, r.File, id)
	for _, f := range r.Findings {
		message := ""
		if f.Message != "" {
			message = ": " + f.Message
		}
		p.Line("  %-7s  %s%s", f.Outcome, f.Check, message)
		if f.Fix != "" {
			p.Line("           to pass: %s", f.Fix)
		}
	}
	if r.Note != "" {
		p.Line("  note     %s", r.Note)
	}
}

// newTrial reads the policy and the log that the facts come from.
func (a *app) newTrial(ctx context.Context, f policyTestFlags, statements [][]byte) (*policy.Trial, error) {
	schema, err := loadSchema(ctx, f.schema)
	if err != nil {
		return nil, err
	}
	t := &policy.Trial{}
	t.Expect(statements...)
	if f.artifacts != "" {
		files, err := reader.Files(ctx, f.artifacts, reader.Options{})
		if err != nil {
			return nil, fmt.Errorf("--artifacts: %w", err)
		}
		t.Content = func(algorithm int64, digest []byte) (*policy.Artifact, error) {
			a, err := audit.Artifact(ctx, files, algorithm, digest)
			if isMissing(err) {
				return nil, nil
			}
			return a, err
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
		h, err := a.policiesOf(ctx, log, nil, schema, func(e tiles.Entry) error { return cli.Bad(t.Registered(e.Index, e.Data)) })
		if err != nil {
			return nil, err
		}
		t.Log = true
		if p == nil {
			if p, err = a.named(h); err != nil {
				return nil, err
			}
		}
	}
	t.Policy = p.Policy
	if p.history != nil {
		at := p.history.InForce()
		t.InForce = &at
		a.Notice("policy: entry %d of %s, %s", p.history.Last().Index, p.history.Origin, at.Entry)
	}
	return t, nil
}
