package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/party"
	"github.com/conmotion/conmotion/scitt"
)

// measurementChain is the chain of measurements where a policy requires one.
const measurementChain = "measurement"

type measureFlags struct {
	compareFlags
	signerFlags
	log, out, recompute string
	dryRun              bool
}

const measureLong = `Measure how complete the reports about the inventory, or about the configuration,
were over an interval: compare both logs (see conmotion compare), and register the
result in the own log as a Signed Statement. The payload is a Detection Finding of
OCSF 1.5.0 (class 2004): impact_score is 100 x missing / all objects. It pins both
logs' checkpoints, names the entries it rests on, and the algorithm, so that
anybody can compute it again.

--dry-run prints the payload and signs nothing. --out gets the Transparent
Statement. If the command is interrupted, the next one registers what was signed
and says so, so that nothing is measured twice.

--recompute ENTRY or FILE computes a measurement again, from the two logs' files
alone, and compares it bit for bit: ENTRY is the URL of an entry, or with --log its
id or index; FILE a statement, or the payload alone. The logs may have grown
since: the checkpoints that the measurement pins are what is read. Without
--reported and --observed the logs are looked for at the URLs in the measurement,
which its issuer has chosen. Exit code 1: it does not come out the same, and it is
said where; or a log is not the one that it pins.
` + homeHelp

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
				return usage(errors.New("--recompute takes what is measured from the measurement"))
			case f.recompute == "" && (len(args) != 1 || args[0] != string(monitor.Inventory) && args[0] != string(monitor.Configuration)):
				return usage(errors.New("say what to measure: inventory or configuration; or --recompute a measurement"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.recompute != "" {
				return a.runRecompute(cmd.Context(), f)
			}
			for _, need := range []struct{ flag, value string }{{"reported", f.reported.location}, {"observed", f.observed.location}, {"from", f.from}} {
				if need.value == "" {
					return usage(fmt.Errorf("--%s is required", need.flag))
				}
			}
			if !f.dryRun && (f.log == "" || f.key == "") {
				return usage(errors.New("--log and --key are required to register it; --dry-run only prints it"))
			}
			return a.runMeasure(cmd.Context(), f, monitor.Kind(args[0]))
		},
	}
	f.addAll(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the own service, where the measurement is registered; with --recompute the log of ENTRY")
	fl.StringVar(&f.key, "key", "", "file with the private key, from keygen")
	fl.StringVar(&f.issuer, "iss", "", "issuer (default: the did:jwk of the key)")
	fl.StringVar(&f.out, "out", "", "file for the Transparent Statement")
	fl.StringVar(&f.recompute, "recompute", "", "ENTRY or FILE: the measurement to compute again")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the payload; sign and register nothing")
	for _, flag := range []string{"from", "to", "grace", "key", "iss", "out", "dry-run", "reported-issuer", "observed-issuer",
		"reported-types", "observed-types", "reported-since", "observed-since"} {
		cmd.MarkFlagsMutuallyExclusive("recompute", flag)
	}
	cmd.MarkFlagsMutuallyExclusive("dry-run", "out")
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
	var w *party.Writer
	if !f.dryRun {
		// Before the work: a wrong key or service shows at once.
		var err error
		if w, err = a.openWriter(ctx, f.log, f.signerFlags, f.readFlags); err != nil {
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
		return usage(fmt.Errorf("--to %s has not come yet", moment(c.Interval.To.UnixMilli())))
	}
	m, err := monitor.Measure(c, monitor.MeasureOptions{
		What: what, At: now, ReportedURL: serviceURL(f.reported.location), ObservedURL: serviceURL(f.observed.location),
	})
	if err != nil {
		return err
	}
	if f.dryRun {
		_, err := a.stdout.Write(m.Payload)
		return err
	}
	p, err := a.publishMeasurement(ctx, w, m, now)
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := a.writeOutput(f.out, p.Transparent); err != nil {
			return err
		}
	}
	return a.printMeasured(c, m, p)
}

// publishMeasurement registers the measurement. One that an interrupted run
// has signed counts in its place when it measured the same.
func (a *app) publishMeasurement(ctx context.Context, w *party.Writer, m *monitor.Measurement, now time.Time) (*party.Published, error) {
	sign := func(link *scitt.ChainLink) ([]byte, error) {
		return signMeasurement(ctx, w, m, scitt.SignOptions{Issuer: w.Issuer, IssuedAt: now, Chain: link})
	}
	p, err := w.Publish(ctx, measurementChain, sign)
	if err != nil || !p.Resumed {
		return p, partyError(err)
	}
	content, err := w.Log().Content(ctx, p.Statement)
	if err != nil {
		return nil, err
	}
	if sameMeasurement(content, m.Payload) {
		a.notice("notice: an earlier run had signed this measurement; it is registered now")
		m.Payload = content
		return p, nil
	}
	a.notice("notice: another measurement that an earlier run had signed is registered now, as entry %d", p.Ref.Index)
	p, err = w.Publish(ctx, measurementChain, sign)
	return p, partyError(err)
}

// inlineMeasurement is how large a payload may be within the statement, whose
// entry has 65,535 bytes at most.
const inlineMeasurement = 60_000

// signMeasurement signs the measurement itself, or its hash where it is too
// large for an entry: then the service stores it. A crash between the two
// leaves an artifact that nothing speaks of.
func signMeasurement(ctx context.Context, w *party.Writer, m *monitor.Measurement, o scitt.SignOptions) ([]byte, error) {
	if len(m.Payload) > inlineMeasurement {
		location, err := w.Store(ctx, m.Payload)
		if err != nil {
			return nil, fmt.Errorf("the measurement has %d bytes, too many for an entry: %w", len(m.Payload), err)
		}
		o.Hash, o.Location = true, location
	}
	return m.Sign(w.Key, o)
}

// sameMeasurement says whether two payloads measured the same logs over the
// same interval, at whatever time.
func sameMeasurement(a, b []byte) bool {
	x, errX := monitor.ParseMeasurement(a)
	y, errY := monitor.ParseMeasurement(b)
	if errX != nil || errY != nil {
		return false
	}
	same := func(a, b *scitt.Checkpoint) bool {
		return a.Origin == b.Origin && a.Size == b.Size && bytes.Equal(a.Root, b.Root)
	}
	filters := func(a, b monitor.Filter) bool {
		return slices.Equal(a.Issuers, b.Issuers) && slices.Equal(a.Types, b.Types)
	}
	return x.Options.What == y.Options.What && x.Interval.From.Equal(y.Interval.From) && x.Interval.To.Equal(y.Interval.To) &&
		x.Interval.Grace == y.Interval.Grace && same(x.Reported, y.Reported) && same(x.Observed, y.Observed) &&
		filters(x.ReportedFilter, y.ReportedFilter) && filters(x.ObservedFilter, y.ObservedFilter)
}

func (a *app) printMeasured(c *monitor.Comparison, m *monitor.Measurement, p *party.Published) error {
	if a.json {
		return a.printJSON(struct {
			monitor.EntryRef
			What    monitor.Kind `json:"what"`
			Impact  int          `json:"impact_score"`
			Data    bool         `json:"data"`
			Resumed bool         `json:"resumed"`
		}{p.Ref, m.What, m.Impact, m.Data, p.Resumed})
	}
	metrics := c.Metrics[m.What]
	impact := fmt.Sprintf("%d of 100", m.Impact)
	if !m.Data {
		impact = "no data"
	}
	return a.printRows([][]string{
		{"measured", string(m.What) + " of " + c.Reported.Checkpoint.Origin},
		{"interval", fmt.Sprintf("%s to %s, grace %v", moment(c.Interval.From.UnixMilli()), moment(c.Interval.To.UnixMilli()), c.Interval.Grace)},
		{"missing", fmt.Sprintf("%d of %d objects that were observed or reported", metrics.Missing, metrics.Union)},
		{"impact", impact},
		{"entry", fmt.Sprintf("%d of %s", p.Ref.Index, p.Ref.Origin)},
		{"entry id", p.Ref.EntryID},
	})
}
