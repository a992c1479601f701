package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
)

// memoryLimit is what a replay of large logs may take: without a limit Go lets
// the heap grow to twice what is in use.
const memoryLimit = 900 << 20

// limitMemory sets the limit, or a lower one where the machine has less; GOMEMLIMIT wins.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	most := int64(memoryLimit)
	if machine, err := cli.MachineMemory(); err == nil {
		most = min(most, machine)
	}
	cli.LimitMemory(most)
}

const typesHelp = "types of statements that count: record, observation, or both with a comma"

// sideFlags are one side of a comparison.
type sideFlags struct {
	name            string // reported or observed
	location, since string
	artifacts       string
	issuers, types  []string
	VKeys           []string
}

func (f *sideFlags) add(cmd *cobra.Command, name, who string) {
	f.name = name
	fl := cmd.Flags()
	fl.StringVar(&f.location, name, "", "log "+who+": URL, or directory with its files")
	fl.StringVar(&f.artifacts, name+"-artifacts", "", "content behind its hashes: URL of a service, or directory of an artifact storage (default: where the log is)")
	cli.Strings(fl, &f.VKeys, name+"-vkey", "verifier key of that log; once for each key")
}

// addSelection adds which statements count, and from where on.
func (f *sideFlags) addSelection(cmd *cobra.Command, name, defaultType string) {
	fl := cmd.Flags()
	cli.Strings(fl, &f.issuers, name+"-issuer", "issuer whose statements count there; once for each (default: all)")
	fl.StringSliceVar(&f.types, name+"-types", []string{defaultType}, typesHelp)
	fl.StringVar(&f.since, name+"-since", "", "saved replay of the log's beginning, from replay --save, with events before --from only")
}

// open opens the side's log.
func (a *app) openSide(ctx context.Context, f sideFlags, common readFlags) (*party.Log, error) {
	common.VKeys, common.artifacts = f.VKeys, f.artifacts
	l, err := a.openLog(ctx, f.location, common)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	return l, nil
}

// party is the side of a comparison.
func (f sideFlags) party(ctx context.Context, from time.Time) (monitor.Party, error) {
	filter, err := monitor.NewFilter(f.issuers, f.types)
	if err != nil {
		return monitor.Party{}, cli.Usage(fmt.Errorf("--%s-types %w", f.name, err))
	}
	p := monitor.Party{Filter: filter}
	if f.since == "" {
		return p, nil
	}
	flag := f.name + "-since"
	if p.Since, err = resumeFile(ctx, flag, f.since); err != nil {
		return p, err
	}
	if err := p.CheckSince(from); err != nil {
		return p, cli.Usage(fmt.Errorf("--%s %s: %w", flag, f.since, err))
	}
	return p, nil
}

// resumeFile reads a saved replay.
func resumeFile(ctx context.Context, flag, path string) (*monitor.Replay, error) {
	data, err := cli.ReadFileFlag(ctx, flag, path)
	if err != nil {
		return nil, err
	}
	r, err := monitor.Resume(data)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("--%s %s: %w", flag, path, err))
	}
	return r, nil
}

// intervalFlags are the time that is compared.
type intervalFlags struct {
	from, to string
	grace    time.Duration
	scope    []string
}

func (f *intervalFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.from, "from", "", "begin of the interval: "+timeHelp)
	fl.StringVar(&f.to, "to", "now", "end of the interval, as --from")
	fl.DurationVar(&f.grace, "grace", 15*time.Minute, "how late a report may be, and how far clocks may disagree")
	fl.StringSliceVar(&f.scope, "scope", nil, scopeHelp)
}

func (f intervalFlags) read(now time.Time) (in monitor.Interval, err error) {
	if in.From, err = parseTime("from", f.from, now); err != nil {
		return in, err
	}
	if in.To, err = parseTime("to", f.to, now); err != nil {
		return in, err
	}
	if in.Scope, err = readScope(f.scope); err != nil {
		return in, err
	}
	in.Grace = f.grace
	return in, cli.Usage(in.Check())
}

// scopeHelp is about the objects that are judged.
const scopeHelp = "which objects: account, region, type or tag, = and a value that may end with *; - before a term leaves out; once for each, or with commas"

func readScope(terms []string) (monitor.Scope, error) {
	s, err := monitor.ParseScope(terms)
	if err != nil {
		err = cli.Usage(fmt.Errorf("--scope: %w", err))
	}
	return s, err
}

// spanOf is the time that is compared, for people.
func spanOf(in monitor.Interval) string {
	return fmt.Sprintf("%s to %s, grace %v", printable.Moment(in.From.UnixMilli()), printable.Moment(in.To.UnixMilli()), in.Grace)
}
