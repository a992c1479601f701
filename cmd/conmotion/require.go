package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/witness"
)

// gateFlags are the flags of require.
type gateFlags struct {
	gatherFlags
	endorsedBy, scope, measuredBy, issuers []string
	what, at                               string
	maxImpact                              int
	maxAge                                 time.Duration
	entry, recompute                       bool
	impact                                 bool // --max-impact is given
}

func (a *app) requireCommand() *cobra.Command {
	var f gateFlags
	cmd := &cobra.Command{
		Use: "require [--endorsed-by ISSUER]... [--max-impact N] [--max-age D] (ENTRY | --log URL-or-DIR ASSET)", Short: "Ask, before relying on a record, that others vouch for it: exit 0, 1 or 2",
		Long: `A gate for scripts that acquire something on the strength of a record: it exits
with 0 when everything that is asked for is there, and with 1 when not, and
tells every reason. What is not known is not there: no measurement, no data in
it, or an endorsement that nobody gave. Where the outcome depends on a statement
whose content is withheld, or whose issuer's key is not known (--issuer-key), it
is neither: exit code 2. So it is with logs that have entries that are nobody's
statement: a dispute could be among them.

It judges one entry. ENTRY is its URL, or with --log and --entry its entry id or
index. Without --entry the argument to --log is an asset, by any name that its records
give it; its newest
record in that log is judged, and the asset must be alive. Endorsements of older
records of the asset do not count. A dispute of the newest record of one of its
configurations counts like one of the record.

--endorsed-by asks for an endorsement of the entry that holds at --at, by each
issuer that is named; with --scope it must cover these tokens. A dispute by a
named issuer that holds refuses, if it has a part of --scope or no --scope is
given.

--max-impact and --max-age ask for a measurement of the log that the entry is
in, by an issuer named with --measured-by, or else --endorsed-by. The newest one
counts: that which speaks of the latest time, and was not made after --at. Its
age is counted from the end of the interval that was measured. A measurement
counts only if the log extends the checkpoint that it pins, and not when a named
issuer disputes it, and only when it has the scope that the terms in --scope, such
as account=1, are: one of a part says nothing of the whole. The record must be of
something in it. With --recompute it must also come out the same, bit for
bit, when it is computed again; the log of observations must be among --in.

Statements are looked for in the entry's own log and in those of --in. Each counts
only in its home, the log that it names: carried to another one, it may have been
withdrawn at home.
` + cli.HomeHelp,
		Example: `  conmotion require --endorsed-by did:jwk:eyJr... --scope existence --max-impact 10 --max-age 24h \
      --log https://provider.example --in https://auditor.example i-0abc && terraform apply`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.impact = cmd.Flags().Changed("max-impact")
			return a.runRequire(cmd.Context(), f, args[0])
		},
	}
	f.add(cmd, "URL or directory of the log with the records of ASSET, or with --entry the one that ENTRY is in")
	fl := cmd.Flags()
	cli.Strings(fl, &f.endorsedBy, "endorsed-by", "issuer who must endorse the record; once for each")
	fl.StringSliceVar(&f.scope, "scope", nil, "tokens that the endorsements must cover, such as existence (default: any), and terms of the scope that the measurement must have, such as account=1 (default: none, which is everything)")
	cli.Strings(fl, &f.measuredBy, "measured-by", "issuer whose measurements count (default: those of --endorsed-by); once for each")
	fl.StringVar(&f.what, "what", "", "measurement of inventory or configuration (default: what the record is about)")
	fl.IntVar(&f.maxImpact, "max-impact", 0, "largest impact score of the newest measurement, 0 to 100")
	fl.DurationVar(&f.maxAge, "max-age", 0, "largest age of the newest measurement, such as 24h")
	cli.Strings(fl, &f.issuers, "issuer", "issuer of the records that count for ASSET (default: anybody); once for each")
	fl.BoolVar(&f.entry, "entry", false, "the argument is the entry id or index of an entry in --log")
	fl.BoolVar(&f.recompute, "recompute", false, "compute the measurement again")
	fl.StringVar(&f.at, "at", "", "when to judge: "+timeHelp+" (default: now)")
	return cmd
}

// gateReport is what require found.
type gateReport struct {
	Satisfied bool              `json:"satisfied"`
	At        string            `json:"at"`
	Asset     string            `json:"asset,omitempty"`
	Entry     *monitor.EntryRef `json:"entry,omitempty"`
	Checks    []witness.Finding `json:"checks"`
}

func (a *app) runRequire(ctx context.Context, f gateFlags, name string) (err error) {
	limitMemory()
	now := time.Now()
	g := &party.Gate{At: now.UTC(), Issuers: f.issuers, Recompute: f.recompute, Checks: []witness.Finding{}}
	if f.at != "" {
		if g.At, err = parseTime("at", f.at, now); err != nil {
			return err
		}
		g.Until = &g.At
	}
	g.Requirements = monitor.Requirements{EndorsedBy: f.endorsedBy, MeasuredBy: f.measuredBy, MaxAge: f.maxAge, What: monitor.Kind(f.what)}
	if err := g.Demand(f.scope); err != nil {
		return cli.Usage(fmt.Errorf("--scope: %w", err))
	}
	if f.impact {
		g.MaxImpact = &f.maxImpact
	}
	if err := g.Check(); err != nil {
		return cli.Usage(fmt.Errorf("%w: give --endorsed-by, or --max-impact or --max-age with --measured-by", err))
	}
	if g.What != "" && g.What != monitor.Inventory && g.What != monitor.Configuration {
		return cli.Usage(fmt.Errorf("--what is inventory or configuration, not %q", f.what))
	}
	out := gateReport{At: g.At.Format(time.RFC3339)}
	location, n := f.log, party.EntryName{}
	if f.log == "" || f.entry {
		if n, err = party.ParseEntryName(name, f.log); err != nil {
			return cli.Usage(err)
		}
		location = n.Location
	}
	f.newest = true // a withdrawal may be the newest entry
	if g.Open, err = a.partyOptions(ctx, f.readFlags); err != nil {
		return err
	}
	if g.Logs, err = a.openLogs(ctx, append([]string{location}, f.in...), f.readFlags); err != nil {
		return err
	}
	if n.Location != "" {
		g.Entry, err = a.findIn(ctx, g.Logs[0], n)
	} else {
		out.Asset = name
		p := a.Progress()
		err = g.Asset(ctx, name, p.Of("replay"))
		p.Done()
	}
	if err == nil && g.Entry != nil {
		ref := g.Logs[0].Ref(g.Entry)
		out.Entry = &ref
		err = g.Judge(ctx)
	}
	if err != nil {
		return err
	}
	out.Checks = g.Checks
	return a.printGate(g, &out)
}

// printGate prints everything that was found. The error has the reasons.
func (a *app) printGate(g *party.Gate, out *gateReport) error {
	refused, unknown := g.Verdict()
	verdict, err := "SATISFIED", error(nil)
	switch {
	case refused != "":
		verdict, err = "NOT SATISFIED", cli.Bad(fmt.Errorf("not satisfied: %s", refused))
	case unknown != "":
		verdict, err = "CANNOT BE TOLD", cli.Usage(fmt.Errorf("whether it is satisfied cannot be told: %s", unknown))
	}
	out.Satisfied = err == nil
	return errors.Join(a.Print(out, func(p *cli.Page) {
		rows := [][]string{}
		if out.Entry != nil {
			rows = append(rows, []string{"", "record", fmt.Sprintf("%s, %s", out.Entry, out.Entry.EntryID)})
		}
		p.Rows(append(rows, findings(out.Checks)...))
		p.Line("%s", verdict)
	}), err)
}

// findings are rows for people.
func findings(checks []witness.Finding) (rows [][]string) {
	for _, c := range checks {
		rows = append(rows, []string{c.Result, c.Check, c.Detail})
	}
	return rows
}
