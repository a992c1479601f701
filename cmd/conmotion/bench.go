package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/internal/bench"
	"github.com/conmotion/conmotion/scitt"
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

It writes to the log that it measures: use one that may be thrown away. Nothing is
remembered of it; its keys are those that the service gives now. A service
that limits rates (conmotiond --rate) answers 429 above its limit.`,
		Example: `  conmotion bench --log http://127.0.0.1:8080 --concurrency 1024 -n 100000
  conmotion bench --log http://127.0.0.1:8080 --rate 1000 -n 20000 --json
  conmotion bench --log http://127.0.0.1:8080 -n 20000 --reads 100000 --concurrency 64
  conmotion bench --log http://127.0.0.1:8080 --chain --bulk 1000 --concurrency 1 --payload event.json`,
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
	f.BoolVar(&o.Chain, "chain", false, "have the statements of each connection form a chain")
	f.StringVar(&payload, "payload", "", "JSON file that is the content of every statement (default: random bytes)")
	f.IntVar(&o.Wave, "wave", 50000, "statements that are signed, and kept in memory, at a time")
	require(cmd, "log")
	return cmd
}

func (a *app) runBench(ctx context.Context, o bench.Options, payload string) error {
	if o.Statements < 1 || o.Concurrency < 1 || o.Wave < 1 || o.Size < 16 {
		return usage(errors.New("--statements, --concurrency and --wave are at least 1, and --size is at least 16"))
	}
	if o.Bulk < 1 || o.Bulk > scitt.MaxSequence {
		return usage(fmt.Errorf("--bulk is from 1 to %d", scitt.MaxSequence))
	}
	if payload != "" {
		var err error
		if o.Payload, err = os.ReadFile(payload); err != nil {
			return usage(fmt.Errorf("--payload: %w", err))
		}
		if !json.Valid(o.Payload) {
			return usage(fmt.Errorf("--payload: %s is not JSON", payload))
		}
	}
	debug.SetGCPercent(400) // the load generator should cost little
	c, err := a.connect(o.URL, 1)
	if err != nil {
		return usage(err)
	}
	keys, err := c.Keys(ctx)
	if err != nil {
		return fmt.Errorf("keys of %s: %w", o.URL, err)
	}
	o.Keys = keys
	var mu sync.Mutex
	last := time.Now()
	o.Progress = func(phase string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(last) >= 2*time.Second {
			last = now
			a.notice("%s: %d of %d", phase, done, total)
		}
	}
	report, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(report)
	}
	a.printPhase("registrations", report.Registrations)
	if report.Reads != nil {
		a.printPhase("reads", *report.Reads)
	}
	return nil
}

func (a *app) printPhase(name string, p bench.Phase) {
	fmt.Fprintf(a.stdout, "%-14s %d in %.1f s: %.0f per second\n", name, p.Requests, p.Seconds, p.PerSecond)
	fmt.Fprintf(a.stdout, "  latency      p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, longest %.1f ms\n", p.P50, p.P90, p.P99, p.Max)
	var statuses []string
	for status, n := range p.Status {
		statuses = append(statuses, fmt.Sprintf("%d: %d", status, n))
	}
	slices.Sort(statuses)
	fmt.Fprintf(a.stdout, "  status       %s; %d Receipts verified\n", strings.Join(statuses, ", "), p.Verified)
	for message, n := range p.Errors {
		fmt.Fprintf(a.stdout, "  failed       %d: %s\n", n, clean(message))
	}
}
