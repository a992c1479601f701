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
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
)

type measureFlags struct {
	compareFlags
	signerFlags
	log, out, recompute string
	dryRun              bool
}

const measureLong = `Measure how complete the reports about the inventory, or about the configuration,
were over an interval: compare both logs (see conmotion compare), and register the
result in your log as a Signed Statement. The payload is a Detection Finding of
OCSF 1.5.0 (class 2004): impact_score is 100 x missing / all objects. It pins both
logs' checkpoints, names the entries it rests on, and the algorithm, so that
anybody can compute it again.

The measurement names the log that it is registered in as its home. Carried to
another log by somebody else it counts there only as of that log.

--dry-run prints the payload and signs nothing; without --log its home is the log
of --observed. --out gets the Transparent
Statement. If the command is interrupted, the next one registers what was signed
and says so, so that nothing is measured twice.

--recompute ENTRY or FILE computes a measurement again, from the two logs' files
alone, and compares it bit for bit: ENTRY is the URL of an entry, or with --log its
id or index; FILE a statement, or the payload alone. The logs may have grown
since: the checkpoints that the measurement pins are what is read. Without
--reported and --observed the logs are looked for at the URLs in the measurement,
which its issuer has chosen. Exit code 1: it does not come out the same, and it is
said where; or a log is not the one that it pins. Exit code 2: it cannot be
checked, since contents that it rests on are withheld by their provider, or the key
of an issuer is not known (--issuer-key). Contents that were not there for the
measurer are named in the measurement and do not count again.
` + cli.HomeHelp

const measureExample = `  conmotion measure inventory --reported https://provider.example --observed https://auditor.example \
      --from 2026-07-01 --to 2026-07-02 --log https://auditor.example --key auditor.pem --out m.cose
  conmotion measure configuration --reported mirror --observed own --from -24h --dry-run
  conmotion measure --recompute https://auditor.example/entries/17
  conmotion measure --recompute m.cose --reported provider-mirror --observed auditor-mirror`

func (a *app) measure() *cobra.Command {
	var f measureFlags
	cmd := &cobra.Command{
		Use: "measure inventory|configuration | measure --recompute ENTRY|FILE", Short: "Measure how complete the reports are, or compute it again",
		Long: measureLong, Example: measureExample,
		ValidArgs: []string{string(monitor.Inventory), string(monitor.Configuration)},
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case f.recompute != "" && len(args) > 0:
				return cli.Usage(errors.New("--recompute takes what is measured from the measurement"))
			case f.recompute == "" && (len(args) != 1 || args[0] != string(monitor.Inventory) && args[0] != string(monitor.Configuration)):
				return cli.Usage(errors.New("say what to measure: inventory or configuration; or --recompute a measurement"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.recompute != "" {
				return a.runRecompute(cmd.Context(), f)
			}
			for _, need := range []struct{ flag, value string }{{"reported", f.reported.location}, {"observed", f.observed.location}, {"from", f.from}} {
				if need.value == "" {
					return cli.Usage(fmt.Errorf("--%s is required", need.flag))
				}
			}
			if !f.dryRun && (f.log == "" || f.key == "") {
				return cli.Usage(errors.New("--log and --key are required to register it; --dry-run only prints it"))
			}
			return a.runMeasure(cmd.Context(), f, monitor.Kind(args[0]))
		},
	}
	f.addAll(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of your service, where the measurement is registered; with --recompute the log of ENTRY")
	fl.StringVar(&f.key, "key", "", cli.KeyHelp)
	fl.StringVar(&f.issuer, "iss", "", "issuer (default: the did:jwk of the key)")
	fl.StringVar(&f.out, "out", "", "file for the Transparent Statement")
	fl.StringVar(&f.recompute, "recompute", "", "ENTRY or FILE: the measurement to compute again")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the payload; sign and register nothing")
	for _, flag := range []string{"from", "to", "grace", "scope", "key", "iss", "out", "dry-run", "reported-issuer", "observed-issuer",
		"reported-types", "observed-types", "reported-since", "observed-since"} {
		cmd.MarkFlagsMutuallyExclusive("recompute", flag)
	}
	cmd.MarkFlagsMutuallyExclusive("dry-run", "out")
	cmd.MarkFlagsMutuallyExclusive("no-home", "key") // unfinished work is there
	return cmd
}

// serviceURL is the URL that a measurement gives for links to a log's entries.
func serviceURL(location string) string {
	if party.IsURL(location) {
		return location
	}
	return ""
}

func (a *app) runMeasure(ctx context.Context, f measureFlags, what monitor.Kind) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	var r *party.Registrar
	if !f.dryRun {
		// Before the work: a wrong key or service shows at once.
		var err error
		if r, err = a.openRegistrar(ctx, party.RegistrarOptions{Services: []string{f.log}}, f.signerFlags, f.readFlags); err != nil {
			return err
		}
	}
	c, _, err := a.compareLogs(ctx, f.compareFlags, now)
	if err != nil {
		return err
	}
	// The measurement is not older than what it is about, also when that ends
	// a moment ahead of this clock.
	if c.Interval.To.After(now) {
		return cli.Usage(fmt.Errorf("--to %s has not come yet", printable.Moment(c.Interval.To.UnixMilli())))
	}
	// Nothing is registered in a dry run without --log: the log of observations is
	// the measurer's most of the time.
	home := c.Observed.Checkpoint.Origin
	switch {
	case r != nil:
		home = r.Log().Origin()
	case f.log != "":
		l, err := a.openLog(ctx, f.log, f.readFlags)
		if err != nil {
			return err
		}
		home = l.Origin()
	}
	m, err := monitor.Measure(c, monitor.MeasureOptions{
		What: what, At: now, Home: home, ReportedURL: serviceURL(f.reported.location), ObservedURL: serviceURL(f.observed.location),
	})
	if err != nil {
		return err
	}
	if f.dryRun {
		_, err := a.Stdout.Write(m.Payload)
		return err
	}
	in := c.Interval
	words := []string{"measurement", string(what), c.Reported.Checkpoint.Origin, c.Observed.Checkpoint.Origin,
		printable.Moment(in.From.UnixMilli()), printable.Moment(in.To.UnixMilli()), in.Grace.String(),
		fmt.Sprint(c.Reported.Issuers, c.Reported.Types, c.Observed.Issuers, c.Observed.Types, in.Scope)}
	payload, options, err := m.ToSign()
	if err != nil {
		return err
	}
	o, err := a.register(ctx, r, party.Draft{Content: payload, Options: options, OrHash: true, Words: words}, f.out)
	if err != nil {
		return err
	}
	// What an earlier run had signed may be of logs that were smaller.
	content, err := r.Log().Content(ctx, o.Copies[0].Statement)
	if err != nil {
		return err
	}
	claim, err := monitor.ParseClaim(content)
	if err != nil {
		return err
	}
	return errors.Join(a.printMeasured(claim, o), o.Done())
}

// measured is a measurement that was registered.
type measured struct {
	monitor.EntryRef
	What   monitor.Kind `json:"what"`
	Impact int          `json:"impact_score"`
	Data   bool         `json:"data"`
	// Of Union objects that were observed or reported, Missing were not reported, and
	// the configuration of Drift differed.
	Union   int `json:"union"`
	Missing int `json:"missing"`
	Drift   int `json:"drift"`
	// Coverage is the share of the observed time that was reported too.
	Coverage string                 `json:"coverage,omitempty"`
	ByTime   []monitor.TimeCoverage `json:"coverage_by_time,omitempty"`
	ByType   []monitor.TypeCoverage `json:"coverage_by_type,omitempty"`
	Resumed  bool                   `json:"resumed"`
}

func (a *app) printMeasured(c *monitor.Claim, o party.Outcome) error {
	what, in, ref := c.Options.What, c.Interval, o.At[0].Ref
	impact := fmt.Sprintf("%d of 100", c.Impact)
	if !c.Data {
		impact = "no data"
	}
	return a.Print(measured{ref, what, c.Impact, c.Data, c.Metrics.Union, c.Metrics.Missing, c.Metrics.Drift, c.Coverage, c.Metrics.ByTime, c.Metrics.ByType, o.Resumed}, func(p *cli.Page) {
		p.Rows([][]string{
			{"measured", string(what) + " of " + c.Reported.Origin},
			{"scope", strings.Join(in.Scope, ", ")},
			{"interval", spanOf(in)},
			{"missing", fmt.Sprintf("%d of %s observed or reported", c.Metrics.Missing, plural.Verb(c.Metrics.Union, "object", "that was", "that were"))},
			{"drift", fmt.Sprintf("%d of them", c.Metrics.Drift)},
			{"impact", impact},
			{"coverage", percent(c.Coverage)},
			{"entry", fmt.Sprintf("%d of %s", ref.Index, ref.Origin)},
			{"entry id", ref.EntryID},
		})
		showCoverage(p, what, &c.Metrics)
	})
}
