package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
)

// scanFlags say that the events are all that there is.
type scanFlags struct {
	complete         []string
	started, ended   string
	maxGone          int
	empty, allowLate bool
	holds            bool // events are held to what the log says
}

const scanHelp = `
--complete SCOPE says that the events are all that there is in a scope: all, or terms
such as account=123456789012,region=eu-central-1,type=AWS::EC2::*. What did not change
is not registered again. At the end a signed statement of the scan is registered
beside the events: what was known before --started in the scope, and was not seen, is
gone from then on. It says nothing is gone when the scan was not complete: an item was
late or refused, a page is missing, or nothing was seen in a region where something was
(--allow-empty says that this is true). Then, and when more than --max-gone percent
would be gone, the exit code is 1.
`

func (f *scanFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringSliceVar(&f.complete, "complete", nil, "SCOPE in which the events are all that there is: all, or terms such as account=123,region=eu")
	fl.StringVar(&f.started, "started", "", "when the source began to look, with --complete")
	fl.StringVar(&f.ended, "ended", "", "when it had looked at everything, with --complete")
	fl.IntVar(&f.maxGone, "max-gone", 10, "percent of what was there that a complete scan may say is gone")
	fl.BoolVar(&f.empty, "allow-empty", false, "a region in which nothing was seen is empty, and access to it was not denied")
	cmd.MarkFlagsRequiredTogether("complete", "started", "ended")
}

func (f *scanFlags) scans() bool { return len(f.complete) > 0 }

// begin reads what a scan looks at; nil when the events are not all.
func (f *scanFlags) begin(typ string, now time.Time) (*monitor.Seen, error) {
	if !f.scans() {
		return nil, nil
	}
	s := &monitor.Seen{Of: typ, Assets: map[string]bool{}, Empty: f.empty}
	var err error
	if len(f.complete) != 1 || f.complete[0] != "all" {
		if s.Scope, err = monitor.ParseScope(f.complete); err != nil {
			return nil, cli.Usage(fmt.Errorf("--complete: %w", err))
		}
	}
	if s.Started, err = parseTime("started", f.started, now); err != nil {
		return nil, err
	}
	if s.Ended, err = parseTime("ended", f.ended, now); err != nil {
		return nil, err
	}
	switch {
	case s.Ended.Before(s.Started):
		return nil, cli.Usage(errors.New("--ended is before --started"))
	case s.Ended.After(now):
		return nil, cli.Usage(fmt.Errorf("--ended %s has not come yet: is a clock wrong?", f.ended))
	case f.maxGone < 0 || f.maxGone > 100:
		return nil, cli.Usage(errors.New("--max-gone is between 0 and 100"))
	}
	return s, nil
}

// incomplete notes why the scan says nothing of what it did not see.
func (r *recording) incomplete(reason string) {
	if r.seen != nil && len(r.seen.Incomplete) < 20 {
		r.seen.Incomplete = append(r.seen.Incomplete, reason)
	}
}

// saw notes what an input says is there.
func (r *recording) saw(in party.Input, result string) {
	if r.seen == nil {
		return
	}
	switch {
	case result == resultInvalid || result == resultRefused || result == resultLate:
		r.incomplete(fmt.Sprintf("%s: %s", where(in), result))
	case in.Event == nil || in.Event.Kind != monitor.Inventory:
	case in.Event.Time > r.seen.Ended.UnixMilli():
		r.incomplete(fmt.Sprintf("%s: the event is of %s, after the end of the scan: a clock is wrong", where(in), printable.Moment(in.Event.Time)))
	default:
		for _, uid := range in.Event.Assets {
			r.seen.Assets[uid] = in.Event.Action != monitor.Delete
		}
	}
}

// scan registers the statement of the scan.
func (r *recording) scan(ctx context.Context) error {
	scan, o, err := r.registrar.Scan(ctx, *r.seen, r.maxGone)
	switch {
	case errors.Is(err, party.ErrGone):
		return cli.Bad(err)
	case err != nil:
		return err
	case scan == nil:
		r.Notice("the scan is already recorded")
		return nil
	}
	at := o.At[0].Ref
	for _, uid := range scan.Gone {
		r.Notice("gone: %s", printable.Line(uid))
	}
	r.Notice("scan: entry %d, %s: %s, %d gone", at.Index, at.EntryID, plural.Of(scan.Count, "asset"), len(scan.Gone))
	if len(scan.Incomplete) == 0 {
		return nil
	}
	for _, reason := range scan.Incomplete {
		r.Notice("not complete: %s", printable.Line(reason))
	}
	return cli.Bad(errors.New("the scan is not complete: nothing is gone that it did not see"))
}
