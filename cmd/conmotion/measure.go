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
	o := monitor.MeasureOptions{What: what, At: now, ReportedURL: serviceURL(f.reported.location), ObservedURL: serviceURL(f.observed.location)}
	if f.dryRun {
		return a.dryMeasure(ctx, f, c, o)
	}
	m, err := r.Measure(ctx, c, o)
	if err == nil && f.out != "" {
		err = a.WriteOutput(ctx, f.out, m.Outcome.Copies[0].Transparent())
	}
	if err != nil {
		return err
	}
	return errors.Join(a.printMeasured(m), m.Outcome.Done())
}

// dryMeasure prints a measurement that is not registered. Without --log its home is the log
// of observations, which is the measurer's most of the time.
func (a *app) dryMeasure(ctx context.Context, f measureFlags, c *monitor.Comparison, o monitor.MeasureOptions) error {
	o.Home = c.Observed.Checkpoint.Origin
	if f.log != "" {
		l, err := a.openLog(ctx, f.log, f.readFlags)
		if err != nil {
			return err
		}
		o.Home = l.Origin()
	}
	m, err := monitor.Measure(c, o)
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(m.Payload)
	return err
}

func (a *app) printMeasured(m *party.Measured) error {
	what, c := m.What, m.Claim
	impact := fmt.Sprintf("%d of 100", m.Impact)
	if !m.Data {
		impact = "no data"
	}
	undisclosed := ""
	if m.Undisclosed > 0 {
		undisclosed = fmt.Sprintf("%d of them, which may drift in fields that are hidden", m.Undisclosed)
	}
	return a.Print(m, func(p *cli.Page) {
		p.Rows([][]string{
			{"measured", string(what) + " of " + c.Reported.Origin},
			{"scope", strings.Join(c.Interval.Scope, ", ")},
			{"interval", spanOf(c.Interval)},
			{"missing", fmt.Sprintf("%d of %s observed or reported", m.Missing, plural.Verb(m.Union, "object", "that was", "that were"))},
			{"drift", fmt.Sprintf("%d of them", m.Drift)},
			{"undisclosed", undisclosed},
			{"impact", impact},
			{"coverage", orDash(monitor.Percent(m.Coverage))},
			{"entry", fmt.Sprintf("%d of %s", m.Index, m.Origin)},
			{"entry id", m.EntryID},
		})
		showCoverage(p, what, &c.Metrics)
	})
}
