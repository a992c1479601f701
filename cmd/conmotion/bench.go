package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/bench"
	"github.com/conmotion/conmotion/scitt/client"
)

func (a *app) bench() *cobra.Command {
	var o bench.Options
	var payload string
	cmd := &cobra.Command{
		Use: "bench --log URL", Short: "Put load on a service and measure it",
		Long: `Register distinct ES256 Signed Statements, signed before the clock starts, and
report throughput and latency. Without --rate each connection sends its next
statement as soon as the last one is answered (closed loop): that shows what the
service can do at most. With --rate statements are due at fixed times (open
loop), and latency counts from when a statement was due: that shows what clients
see. --reads then gets Receipts again by entry id.

With --chain each connection registers a chain of its own, one statement after
the other. --bulk sends so many statements in one request, which is how a chain
grows fast; latency is that of the whole request then.

--overload then sends 0.5, 1, 2 and 4 times as many statements per second as were
registered, and 0.5 times again, in an open loop with so many seconds for each:
what is registered meanwhile, how long that takes, and how long others wait for
their refusal. "Sent late" is the load generator's own delay: where it is not
small, the generator needs a processor of its own or more --concurrency.

It writes to the log that it measures: use one that may be thrown away. Nothing is
remembered of it; its keys are those that the service gives now. A service
that limits rates (conmotiond --rate) answers 429 above its limit.`,
		Example: `  conmotion bench --log http://127.0.0.1:8080 --concurrency 1024 -n 100000
  conmotion bench --log http://127.0.0.1:8080 --rate 1000 -n 20000 --json
  conmotion bench --log http://127.0.0.1:8080 -n 20000 --reads 100000 --concurrency 64
  conmotion bench --log http://127.0.0.1:8080 --chain --bulk 1000 --concurrency 1 --payload event.json
  conmotion bench --log http://127.0.0.1:8080 --concurrency 4096 --overload 10s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runBench(cmd.Context(), o, payload) },
	}
	f := cmd.Flags()
	f.StringVar(&o.URL, "log", "", "URL of the service")
	f.IntVarP(&o.Statements, "statements", "n", 20000, "statements to register")
	f.IntVar(&o.Size, "size", 700, "bytes of each payload; the statement is about 400 bytes longer")
	f.IntVar(&o.Concurrency, "concurrency", 1024, "connections")
	f.Float64Var(&o.Rate, "rate", 0, "registrations per second, in an open loop; 0 for as fast as it goes")
	f.IntVar(&o.Reads, "reads", 0, "Receipts to get by entry id afterwards")
	f.IntVar(&o.Verify, "verify", 100, "verify every n-th Receipt; 0 for none")
	f.IntVar(&o.Bulk, "bulk", 1, "statements in one request, at most 1000")
	f.DurationVar(&o.Overload, "overload", 0, "time for each multiple of the peak, in an open loop; 0 for none of it")
	f.BoolVar(&o.Chain, "chain", false, "have the statements of each connection form a chain")
	f.StringVar(&payload, "payload", "", "JSON file that is the content of every statement (default: random bytes)")
	f.IntVar(&o.Wave, "wave", 50000, "statements that are signed, and kept in memory, at a time")
	cli.Require(cmd, "log")
	return cmd
}

func (a *app) runBench(ctx context.Context, o bench.Options, payload string) error {
	if payload != "" {
		var err error
		if o.Payload, err = cli.ReadFileFlag(ctx, "payload", payload); err != nil {
			return cli.Usage(err)
		}
		if !json.Valid(o.Payload) {
			return cli.Usage(fmt.Errorf("--payload: %s is not JSON", payload))
		}
	}
	if err := o.Check(); err != nil {
		return cli.Usage(err)
	}
	debug.SetGCPercent(400) // the load generator should cost little
	c, err := client.New(o.URL, a.ClientOptions(1))
	if err != nil {
		return cli.Usage(err)
	}
	keys, err := c.Keys(ctx)
	if err != nil {
		return fmt.Errorf("keys of %s: %w", o.URL, err)
	}
	o.Keys = keys
	p := a.Progress()
	o.Progress = p.Part
	report, err := bench.Run(ctx, o)
	p.Done()
	if err != nil {
		return err
	}
	return a.Print(report, func(p *cli.Page) {
		showPhase(p, "registrations", report.Registrations)
		if report.Overload != nil {
			showOverload(p, report.Overload)
		}
		if report.Reads != nil {
			showPhase(p, "reads", *report.Reads)
		}
	})
}

func showOverload(p *cli.Page, o *bench.Overload) {
	p.Line("overload       the peak is %.0f per second", o.Peak)
	for _, s := range o.Steps {
		p.Line("  %.1f times    %.0f per second, %.0f registered (%.0f %% of the peak), p50 %.0f ms, p99 %.0f ms; others p99 %.0f ms; sent late p99 %.0f ms; status %s",
			s.Times, s.Offered, s.Goodput, 100*s.Goodput/o.Peak, s.P50, s.P99, s.Refused, s.Late, statuses(s.Status))
		showFailed(p, s.Errors)
	}
	p.Line("  recovered    %.1f s after it", o.Recovery)
}

func statuses(counted map[int]int) string {
	var all []string
	for status, n := range counted {
		all = append(all, fmt.Sprintf("%d: %d", status, n))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func showFailed(p *cli.Page, messages map[string]int) {
	for message, n := range messages {
		p.Line("  failed       %d: %s", n, message)
	}
}

func showPhase(p *cli.Page, name string, of bench.Phase) {
	p.Line("%-14s %d in %.1f s: %.0f per second done", name, of.Requests, of.Seconds, of.PerSecond)
	p.Line("  latency      p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, longest %.1f ms", of.P50, of.P90, of.P99, of.Max)
	p.Line("  status       %s; %d Receipts verified", statuses(of.Status), of.Verified)
	showFailed(p, of.Errors)
}
