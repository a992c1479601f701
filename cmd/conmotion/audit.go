package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/witness/audit"
)

// shownPolicies is how many policies are shown to people, the last ones.
const shownPolicies = 20

type auditFlags struct {
	cli.MemoryFlags
	artifactStore cli.StoreFlags // --artifacts, which may be a directory too
	schema, state string
	since         uint64
	most          int
	follow        bool
	interval      time.Duration
}

const auditLong = `Replay a whole log from its static files: the checkpoint's signatures, the
entries, the tiles and the root, and for every entry whether the Registration
Policy in force at its index admits it, with its signature and its place in its
chain. Nothing of it needs the service, and nothing that the operator says is
believed but what the checkpoint signs. It finds entries that were put in past
the service's checks.

Each violation is reported with its index and the check or rule that it fails. Exit
code 0: every entry was looked at and is good. 1: there are violations. 2: not
everything could be looked at (the audit is incomplete), and what could is good; a
file that is not there is no violation, since nothing is known of it. 3: there are
duplicates and no other violations. At entries that are not there the audit ends: they
may have the policy, the keys or the chain that what follows is to be judged by.

--artifacts is where the content behind hash envelopes is: the service's URL, or
the directory of its artifact storage. What is read there is hashed. Without it,
or where it does not give the content that was signed, an entry whose policy asks
for its artifact is held only to what needs none (issuer, key, signature,
subject, content type, size, chain), and the audit is incomplete. An artifact that
cannot be read now hides nothing behind it: the audit goes on, and one that goes on
from --state judges that entry again.

--since N judges entries from index N on. Those before are read and taken as
admitted: policies, keys, chains and duplicates are followed through them, and
nothing is reported about them, which the result says. A chain that a bad entry
continued before N may look wrong after it.

--state FILE keeps where the audit is. The next one goes on from there and first
proves that the log extends what was audited. Where the log has fewer entries than
that, the copy may only be old: the audit is incomplete, unless the two are proven
to be of different histories. The file holds each violation
exactly once; a violation is printed before the file is written, so a crash in
between has it printed again and never lost. To go on, the audit reads 32 bytes
of each entry before, from the tiles; the entry ids, by which duplicates are
found, are in the file with 12 bytes each.

A content counts once: the first entry with its id whose signature verifies. A
later one is reported as log/duplicate. That is a fault of the service, such as a failing
disk makes, and changes nothing for a reader that counts once: so a log with no other
violation is called FAULTY and not BAD, and has an exit code of its own. An entry whose
signature does not verify is reported as signature, and takes nothing from a later
one whose signature does.

The issuer and the policy that the log shows in its transparency configuration must
be its own and the one in force; else that is reported as log/configuration.

--follow goes on until it is interrupted.
` + cli.HomeHelp

func (a *app) audit() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "audit URL-or-DIR", Short: "Replay every admission of a log", Long: auditLong,
		Example: `  conmotion audit conmotion-data/public
  conmotion audit --artifacts https://transparency.example --state audit.json https://transparency.example
  conmotion audit --follow --interval 1m --state audit.json --json https://transparency.example`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runAudit(cmd.Context(), args[0], f) },
	}
	f.Add(cmd)
	flags := cmd.Flags()
	f.artifactStore.AddReading(cmd, "artifacts", "where the content behind hashes is: URL of a service, or directory of an artifact storage")
	schemaFlag(cmd, &f.schema)
	flags.StringVar(&f.state, "state", "", "file to go on from, and to keep the state in")
	flags.Uint64Var(&f.since, "since", 0, "first index to judge; with --state only at the beginning")
	flags.IntVar(&f.most, "max", 1000, "violations to report; all are counted")
	flags.BoolVar(&f.follow, "follow", false, "go on when the log grows")
	flags.DurationVar(&f.interval, "interval", 10*time.Second, "time between two looks at the log with --follow")
	return cmd
}

func (a *app) runAudit(ctx context.Context, location string, f auditFlags) error {
	if f.most < 0 || f.interval <= 0 {
		return cli.Usage(errors.New("--max is at least 0, and --interval more than 0"))
	}
	log, err := a.examine(ctx, location, f.MemoryFlags)
	if err != nil {
		return err
	}
	o := audit.Options{VKeys: log.VKeys, Since: f.since, List: f.most}
	if err := a.auditFacts(ctx, f, &o); err != nil {
		return err
	}
	var state *audit.State
	if f.state != "" {
		if state, err = audit.ReadState(f.state); err != nil {
			return cli.Usage(fmt.Errorf("--state: %w", err))
		}
		if state != nil && f.since != 0 && f.since != state.Since {
			return cli.Usage(fmt.Errorf("--since %d: the audit in %s began with --since %d", f.since, f.state, state.Since))
		}
		o.Save = func(s *audit.State) error { return s.Write(f.state) }
	}
	p := a.Progress()
	violations := 0
	o.Report = func(v audit.Violation) {
		p.Done()
		violations++
		_ = a.printViolation(v) // a failed write shows when the summary is printed
		if v.Proof != nil {
			a.keepProof(ctx, f.MemoryFlags, v.Proof)
		}
	}
	o.Progress = func(done, size uint64) {
		p.Show(func() string {
			return fmt.Sprintf("audited %d of %d entries, %s", done, size, plural.Of(violations, "violation"))
		})
	}
	auditor, err := audit.New(log.Files, state, o)
	if err != nil {
		return cli.Usage(err)
	}
	if f.follow {
		err = auditor.Follow(ctx, f.interval, func(err error) { a.Notice("will try again: %v", err) })
	} else {
		err = auditor.Run(ctx)
	}
	p.Done()
	summary := auditor.Summary()
	if err != nil && ctx.Err() == nil {
		if summary.Violations == 0 && summary.Done == 0 {
			return cli.Usage(err)
		}
		a.Notice("the audit ended early: %v", err)
		summary.Complete = false
	}
	if err := a.auditResult(summary, f); err != nil {
		return err
	}
	return log.Damage // that the audit did not meet: it was mended meanwhile, or is where only what was seen before leads
}

// auditFacts opens what an audit needs beside the log.
func (a *app) auditFacts(ctx context.Context, f auditFlags, o *audit.Options) (err error) {
	if o.Artifacts, err = a.Artifacts(ctx, f.artifactStore, cli.Readers); err != nil {
		return err
	}
	schema, err := loadSchema(ctx, f.schema)
	o.Policy, o.Schema = schema.options, schema.digest
	return err
}

// auditViolation is a violation as --json prints it.
type auditViolation struct {
	Type string `json:"type"` // violation
	audit.Violation
}

// auditSummary is the last line of an audit as --json prints it.
type auditSummary struct {
	Type string `json:"type"` // summary
	OK   bool   `json:"ok"`
	audit.Summary
}

func (a *app) printViolation(v audit.Violation) error {
	return a.PrintLine(auditViolation{"violation", v}, func(p *cli.Page) {
		place := "log"
		if v.Index != nil {
			place = fmt.Sprintf("entry %d", *v.Index)
			if v.EntryID != "" {
				place += " (" + v.EntryID + ")"
			}
		}
		p.Line("VIOLATION  %s  %s: %s", place, v.Check, v.Message)
		for i, raw := range v.Checkpoints {
			p.Line("%s checkpoint:", []string{"earlier", "later"}[i])
			p.Raw(raw)
		}
	})
}

// auditResult prints the summary and gives the verdict.
func (a *app) auditResult(s audit.Summary, f auditFlags) error {
	outcome, verdict, err := s.Outcome()
	switch outcome {
	case audit.Bad:
		err = cli.Bad(err)
	case audit.Incomplete:
		err = cli.Usage(err)
	case audit.Faulty:
		err = cli.WithCode(err, cli.ExitDuplicates)
	}
	if s.Violations > uint64(f.most) {
		a.Notice("only %s listed (--max)", plural.Verb(f.most, "violation", "is", "are"))
	}
	issuers := fmt.Sprint(s.Issuers)
	if s.MoreIssuers {
		issuers += " or more"
	}
	rows := [][]string{
		{"log", s.Origin}, {"entries", fmt.Sprintf("%d of %d", s.Done, s.Size)}, {"judged since", sinceOf(s)}, {"root", s.Root},
		{"signed", printable.Time(s.Signed)}, {"issuers", issuers}, {"keys", registrations(s)},
	}
	rows = append(rows, []string{"policies", fmt.Sprint(len(s.Policies))})
	for _, p := range s.Policies[max(0, len(s.Policies)-shownPolicies):] {
		rows = append(rows, []string{"policy", policyRange(p)})
	}
	for _, check := range slices.Sorted(maps.Keys(s.Checks)) {
		rows = append(rows, []string{"violations", fmt.Sprintf("%d %s", s.Checks[check], check)})
	}
	return errors.Join(a.PrintLine(auditSummary{"summary", err == nil, s}, cli.Rows(append(rows, []string{"result", verdict}))), err)
}

func sinceOf(s audit.Summary) string {
	if s.Since == 0 {
		return ""
	}
	return fmt.Sprintf("entry %d; nothing is said about the admission of those before", s.Since)
}

func registrations(s audit.Summary) string {
	if len(s.Keys) == 0 {
		return "none"
	}
	return fmt.Sprintf("%s of the service's keys, the last at entry %d", plural.Of(len(s.Keys), "statement"), s.Keys[len(s.Keys)-1].Index)
}

func policyRange(p audit.PolicyRange) string {
	text := fmt.Sprintf("entry %d (%s), for entries %d to %d", p.Index, p.EntryID, p.From, p.To)
	if p.From > p.To {
		text = fmt.Sprintf("entry %d (%s), for no entry yet", p.Index, p.EntryID)
	}
	switch p.Bootstrap {
	case audit.BootstrapService:
		text += "; the first, signed by the service"
	case audit.BootstrapStatement:
		text += "; the first, ACCEPTED UNCHECKED as the log's first statement"
	}
	return text
}
