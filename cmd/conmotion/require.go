package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
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
		Use: "require [--endorsed-by ISSUER]... [--max-impact N] [--max-age D] (ENTRY | --log LOCATION ASSET)", Short: "Ask, before relying on a record, that others vouch for it: exit 0, 1 or 2",
		Long: `A gate for scripts that acquire something on the strength of a record: it exits
with 0 when everything that is asked for is there, and with 1 when not, and
tells every reason. What is not known is not there: no measurement, no data in
it, or an endorsement that nobody gave. Where the outcome depends on a statement
whose content is withheld, or whose issuer's key is not known (--issuer-key), it
is neither: exit code 2. So it is with logs that have entries that are nobody's
statement: a dispute could be among them.

It judges one entry. ENTRY is its URL, or with --log and --entry its entry id or
index. Without --entry the argument to --log is the uid of an asset; its newest
record in that log is judged, and the asset must be alive. Endorsements of older
records of the asset do not count.

--endorsed-by asks for an endorsement of the entry that holds at --at, by each
issuer that is named; with --scope it must cover these tokens. A dispute by a
named issuer that holds refuses, if it has a part of --scope or no --scope is
given.

--max-impact and --max-age ask for a measurement of the log that the entry is
in, by an issuer named with --measured-by, or else --endorsed-by. The newest one
counts: that which speaks of the latest time, and was not made after --at. Its
age is counted from the end of the interval that was measured. A measurement
counts only if the log extends the checkpoint that it pins, and not when a named
issuer disputes it. With --recompute it must also come out the same, bit for
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
	fl.StringArrayVar(&f.endorsedBy, "endorsed-by", nil, "issuer who must endorse the record; once for each")
	fl.StringSliceVar(&f.scope, "scope", nil, "tokens that the endorsements must cover, such as existence (default: any)")
	fl.StringArrayVar(&f.measuredBy, "measured-by", nil, "issuer whose measurements count (default: those of --endorsed-by); once for each")
	fl.StringVar(&f.what, "what", "", "measurement of inventory or configuration (default: what the record is about)")
	fl.IntVar(&f.maxImpact, "max-impact", 0, "largest impact score of the newest measurement, 0 to 100")
	fl.DurationVar(&f.maxAge, "max-age", 0, "largest age of the newest measurement, such as 24h")
	fl.StringArrayVar(&f.issuers, "issuer", nil, "issuer of the records that count for ASSET (default: anybody); once for each")
	fl.BoolVar(&f.entry, "entry", false, "the argument is the entry id or index of an entry in --log")
	fl.BoolVar(&f.recompute, "recompute", false, "compute the measurement again")
	fl.StringVar(&f.at, "at", "", "the time to judge at: a time, a date, or -24h for a day ago (default: now)")
	return cmd
}

// gate is one run of require.
type gate struct {
	*app
	gateFlags
	at    time.Time
	asked monitor.Requirements
	logs  []*party.Log // the entry's first
	entry *party.Entry
	out   gateReport
}

// gateReport is what require found.
type gateReport struct {
	Satisfied bool              `json:"satisfied"`
	At        string            `json:"at"`
	Asset     string            `json:"asset,omitempty"`
	Entry     *monitor.EntryRef `json:"entry,omitempty"`
	Checks    []finding         `json:"checks"`
}

func (a *app) runRequire(ctx context.Context, f gateFlags, name string) error {
	limitMemory()
	now := time.Now()
	g := &gate{app: a, gateFlags: f, at: now.UTC(), out: gateReport{Checks: []finding{}}}
	if f.at != "" {
		var err error
		if g.at, err = parseTime("at", f.at, now); err != nil {
			return err
		}
	}
	g.asked = monitor.Requirements{EndorsedBy: f.endorsedBy, Scope: f.scope, MeasuredBy: f.measuredBy, MaxAge: f.maxAge, What: monitor.Kind(f.what)}
	if f.impact {
		g.asked.MaxImpact = &f.maxImpact
	}
	if err := g.asked.Check(); err != nil {
		return cli.Usage(fmt.Errorf("%w: give --endorsed-by, or --max-impact or --max-age with --measured-by", err))
	}
	if g.asked.What != "" && g.asked.What != monitor.Inventory && g.asked.What != monitor.Configuration {
		return cli.Usage(fmt.Errorf("--what is inventory or configuration, not %q", f.what))
	}
	g.out.At = g.at.Format(time.RFC3339)
	if err := g.run(ctx, name); err != nil {
		return err
	}
	return g.print()
}

func (g *gate) run(ctx context.Context, name string) error {
	location, n := g.log, party.EntryName{}
	if g.log == "" || g.gateFlags.entry {
		var err error
		if n, err = party.ParseEntryName(name, g.log); err != nil {
			return cli.Usage(err)
		}
		location = n.Location
	}
	var err error
	g.newest = true // a withdrawal may be the newest entry
	if g.logs, err = g.openLogs(ctx, append([]string{location}, g.in...), g.readFlags); err != nil {
		return err
	}
	if n.Location != "" {
		g.entry, err = g.findIn(ctx, g.logs[0], n)
	} else {
		g.out.Asset = name
		g.entry, err = g.newestRecord(ctx, name)
	}
	if err != nil || g.entry == nil {
		return err
	}
	ref := g.logs[0].Ref(g.entry)
	g.out.Entry = &ref
	if g.asked.What == "" {
		g.asked.What = monitor.Inventory
		if strings.HasPrefix(g.entry.Statement.Subject, string(monitor.Configuration)+"/") {
			g.asked.What = monitor.Configuration
		}
	}
	return g.judge(ctx)
}

// newestRecord replays the log and finds the asset's newest inventory record;
// nil when it is not alive.
func (g *gate) newestRecord(ctx context.Context, uid string) (*party.Entry, error) {
	l := g.logs[0]
	var until *time.Time
	if g.gateFlags.at != "" {
		until = &g.at
	}
	r := monitor.NewReplay(monitor.Filter{Issuers: g.issuers}, until)
	p := g.Progress()
	defer p.Done()
	// In steps, so that a long replay shows that it goes on.
	for size := l.View.Checkpoint.Size; r.Next() < size; {
		if err := r.Advance(ctx, l.Monitor(), min(size, r.Next()+replayStep)); err != nil {
			return nil, fmt.Errorf("replay %s: %w", l.Location, err)
		}
		p.Show(func() string { return fmt.Sprintf("replayed %d of %d entries", r.Next(), size) })
	}
	asset, alive := r.Asset(uid)
	switch unread := r.Unread(); {
	case unread.Any():
		g.found("asset", resultNotChecked, "whether %q is in the inventory, and which is its newest record, cannot be told: %s. --issuer selects whose records count", uid, unread)
	case alive:
		g.found("asset", resultOK, "%q is in the inventory of %s", uid, l.View.Checkpoint.Origin)
	default:
		g.found("asset", resultBad, "%q is not in the inventory of %s: it was never there, or was deleted", uid, l.View.Checkpoint.Origin)
	}
	if !alive {
		return nil, nil
	}
	return g.findIn(ctx, l, party.EntryName{Location: l.Location, Index: asset.Last.Index})
}

// replayStep is how many entries are replayed between two words about progress.
const replayStep = 1 << 14

func (g *gate) found(check, result, format string, args ...any) {
	g.out.Checks = append(g.out.Checks, finding{check, result, fmt.Sprintf(format, args...)})
}

// judge gathers what is said about the entry, and about its log.
func (g *gate) judge(ctx context.Context) error {
	said, err := g.gather(ctx, g.logs, g.asked.Named(), g.impact || g.maxAge > 0)
	if err != nil {
		return err
	}
	var measured []monitor.Measured
	for _, m := range said.measured {
		if m.Reported.Origin != g.logs[0].View.Checkpoint.Origin {
			continue
		}
		switch result, why, err := g.pinned(ctx, m); {
		case err != nil:
			return err
		case result != resultOK:
			g.found("measurement", result, "%s does not count: %s", m.Self, why)
		default:
			measured = append(measured, m)
		}
	}
	for _, j := range g.asked.Judge(g.entry.Statement.ID(), g.out.Entry.Origin, said.statements, measured, said.unread, g.at) {
		result := resultOK
		switch {
		case len(j.Unread) > 0:
			result = resultNotChecked
		case !j.OK:
			result = resultBad
		}
		g.found(j.Requirement, result, "%s", j.Detail)
	}
	if n := monitor.CountUnread(said.bad).NoStatement; n > 0 {
		g.found("entries", resultNotChecked, "%s nobody's statement in these logs: a dispute or a withdrawal could be among them; conmotion audit names them", plural.Verb(n, "entry", "is", "are"))
	}
	if newest := g.asked.Newest(said.statements, measured, g.at); g.recompute && newest != nil {
		return g.again(ctx, newest)
	}
	return nil
}

// pinned reports whether a measurement is of this log's history, and why not.
func (g *gate) pinned(ctx context.Context, m monitor.Measured) (result, why string, err error) {
	l := g.logs[0]
	if m.Reported.Size > l.View.Checkpoint.Size { // it grew meanwhile
		o, err := g.partyOptions(g.readFlags)
		if err != nil {
			return "", "", err
		}
		if err := l.Refresh(ctx, o); err != nil {
			return "", "", err
		}
		if m.Reported.Size > l.View.Checkpoint.Size {
			return resultNotChecked, fmt.Sprintf("it is of %s, and the log shows %d", plural.Of(m.Reported.Size, "entry"), l.View.Checkpoint.Size), nil
		}
	}
	err = l.View.Consistency(ctx, m.Reported)
	if errors.Is(err, scitt.ErrProof) {
		return "left out", "the log does not extend the checkpoint that it pins: one of the two is not true", nil
	}
	return resultOK, "", err
}

// again computes the measurement that counts once more.
func (g *gate) again(ctx context.Context, m *monitor.Measured) error {
	found := func(result, format string, args ...any) error {
		g.found("recomputed", result, format, args...)
		return nil
	}
	reported, err := g.logs[0].At(ctx, m.Reported)
	if err != nil {
		return err // that it extends what is pinned has been checked
	}
	var observed *monitor.Log
	for _, l := range g.logs {
		if l.View.Checkpoint.Origin != m.Observed.Origin {
			continue
		}
		switch at, err := l.At(ctx, m.Observed); {
		case errors.Is(err, scitt.ErrProof):
			return found(resultBad, "the log %s does not extend the checkpoint that the measurement pins", m.Observed.Origin)
		case err != nil:
			return err
		default:
			observed = &at
		}
	}
	if observed == nil {
		return found(resultNotChecked, "the log %s is needed for that: give it with --in", m.Observed.Origin)
	}
	r, err := monitor.Recompute(ctx, m.Payload, reported, *observed)
	if unchecked(err) {
		return found(resultNotChecked, "%s: %v", m.Self, err)
	}
	if err != nil {
		return err
	}
	if !r.Same() {
		return found(resultBad, "%s differs at %s", m.Self, strings.Join(r.Paths, ", "))
	}
	return found(resultOK, "%s, bit for bit", m.Self)
}

// print tells everything that was found. The error has the reasons.
func (g *gate) print() error {
	reasons := map[string][]string{}
	for _, c := range g.out.Checks {
		reasons[c.Result] = append(reasons[c.Result], c.Check+": "+c.Detail)
	}
	refused, open := strings.Join(reasons[resultBad], "; "), strings.Join(reasons[resultNotChecked], "; ")
	g.out.Satisfied = refused == "" && open == ""
	if g.JSON {
		if err := g.PrintJSON(g.out); err != nil {
			return err
		}
	} else {
		rows := [][]string{}
		if g.out.Entry != nil {
			rows = append(rows, []string{"", "record", fmt.Sprintf("%s, %s", g.out.Entry, g.out.Entry.EntryID)})
		}
		for _, c := range g.out.Checks {
			rows = append(rows, []string{c.Result, c.Check, c.Detail})
		}
		if err := g.PrintRows(rows); err != nil {
			return err
		}
		verdict := "SATISFIED"
		switch {
		case refused != "":
			verdict = "NOT SATISFIED"
		case open != "":
			verdict = "CANNOT BE TOLD"
		}
		if _, err := fmt.Fprintln(g.Stdout, verdict); err != nil {
			return err
		}
	}
	switch {
	case refused != "":
		return cli.Bad(fmt.Errorf("not satisfied: %s", refused))
	case open != "":
		return cli.Usage(fmt.Errorf("whether it is satisfied cannot be told: %s", open))
	}
	return nil
}
