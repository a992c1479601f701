package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/report"
)

type reportFlags struct {
	readFlags
	logs                                           report.Locations
	measuredBy, endorsedBy, reportedBy, observedBy []string
	from, to, at, format, out, before              string
	scope                                          []string
	grace, expiring, stale                         time.Duration
	compare, recompute                             bool
}

const reportLong = `Make a risk report out of verified statements only: how complete a provider's
reports are over time, as auditors measured it; what is missing, drifting or
late, by type, account and region; which endorsements hold; how the logs do; what
changed since the report before. HTML has no script and makes no request; json is
the document behind it (docs/schemas/report.schema.json); prometheus is for a
textfile collector.

With --out r.html the folder r.files lies beside the page: a page about each entry
that it names, decoded, with its Receipt verified; and report.json, which the next
report with the same --out is held against (--before gives another one). The page
shows what drifting configurations have: whoever gets it can read that.

Every log is opened at its newest checkpoint, which must be signed by trusted
keys and extend what was seen before. A statement counts when it is proven to be
in such a log, its issuer signed it, and the issuer's word counts: --measured-by
for measurements, --endorsed-by for endorsements and disputes. Where nobody is
named, those count whose statements are in a log given with --auditor or --own,
and the report says so. What was left out is listed, with the reason.

What measurements rest on is held against the logs at hand: the checkpoints that
they pin, and by computing the newest ones again (--recompute=false leaves that
out). The records of each --provider are compared with the observations of each
--auditor over the interval (--compare=false): of the issuers in --reported-by
and --observed-by, or else those of the newest measurement.

The same logs, options, memory (--home), report before and --at give the same bytes.

Exit code 0: the report is made, whatever it says about the provider. 1: it is
made, and what it rests on contradicts itself: a log that forked, went back or
does not verify, a measurement that comes out differently or rests on another
history. 2: something that it rests on could not be read or checked (the report
says so): a log, or one that shows fewer entries than were measured, content that
is withheld, an issuer whose key is not known; or the report could not be made.
` + cli.HomeHelp + `
--vkey counts for the log whose name it bears.`

func (a *app) report() *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use: "report --provider URL-or-DIR --auditor URL-or-DIR [--from TIME] [--to TIME]", Short: "Make a risk report: HTML, JSON or for Prometheus", Long: reportLong,
		Example: `  conmotion report --provider https://provider.example --auditor https://auditor.example --from -720h --out report.html
  conmotion report --provider mirror/provider --auditor mirror/auditor --measured-by did:jwk:... --name did:jwk:...=Auditor \
      --from 2026-07-01 --to 2026-08-01 --at 2026-08-01T06:00:00Z --format json --out report.json
  conmotion report --auditor https://auditor.example --format prometheus --out /var/lib/node_exporter/conmotion.prom`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runReport(cmd.Context(), f) },
	}
	f.add(cmd)
	fl := cmd.Flags()
	location := func(to *[]string, name, what string) {
		cli.Strings(fl, to, name, what+": URL, or directory with its files; once for each")
	}
	location(&f.logs.Provider, "provider", "log of a provider, whose records are compared")
	location(&f.logs.Auditor, "auditor", "log of an auditor, with measurements, observations and endorsements")
	location(&f.logs.Own, "own", "own log")
	location(&f.logs.Other, "log", "any other log that may hold measurements or endorsements")
	issuers := func(to *[]string, name, what string) {
		cli.Strings(fl, to, name, "issuer whose "+what+" count; once for each")
	}
	issuers(&f.measuredBy, "measured-by", "measurements")
	issuers(&f.endorsedBy, "endorsed-by", "endorsements and disputes")
	issuers(&f.reportedBy, "reported-by", "records")
	issuers(&f.observedBy, "observed-by", "observations")
	fl.StringVar(&f.at, "at", "now", "when the report is made for: "+timeHelp)
	fl.StringVar(&f.from, "from", "", "begin of the interval: "+timeHelp+" (default: 30 days before --to)")
	fl.StringVar(&f.to, "to", "", "end of the interval, as --from (default: --at)")
	fl.StringVar(&f.format, "format", "html", "html, json or prometheus (--json is the same as --format json)")
	fl.StringVar(&f.out, "out", "-", `file for the report, or "-" for standard output`)
	fl.StringVar(&f.before, "before", "", "JSON of the report to hold this one against (default: of the one that is where --out is)")
	fl.DurationVar(&f.grace, "grace", 15*time.Minute, "how late a report may be, and how far clocks may disagree, when comparing")
	fl.StringSliceVar(&f.scope, "scope", nil, scopeHelp)
	fl.DurationVar(&f.expiring, "expiring", 14*24*time.Hour, "how long before its end an endorsement is reported as expiring")
	fl.DurationVar(&f.stale, "stale", 48*time.Hour, "how old a log's checkpoint, and the newest measurement, may be")
	fl.BoolVar(&f.compare, "compare", true, "compare the logs over the interval")
	fl.BoolVar(&f.recompute, "recompute", true, "compute the newest measurements again")
	return cmd
}

// formats are how a report is written.
var formats = map[string]func(*report.Report) ([]byte, error){
	"html":       (*report.Report).HTML,
	"json":       (*report.Report).JSON,
	"prometheus": func(r *report.Report) ([]byte, error) { return r.Prometheus(), nil },
}

func (a *app) runReport(ctx context.Context, f reportFlags) error {
	if a.JSON {
		f.format = "json"
	}
	write, ok := formats[f.format]
	if !ok {
		return cli.Usage(fmt.Errorf("--format %q: it is html, json or prometheus", f.format))
	}
	o, err := f.options(time.Now(), a.Names, a.Given())
	if err != nil {
		return err
	}
	if o.Before, err = a.reportBefore(ctx, f); err != nil {
		return err
	}
	limitMemory()
	open, err := a.partyOptions(ctx, f.readFlags)
	if err != nil {
		return err
	}
	sources, err := f.logs.Open(ctx, open)
	if err != nil {
		return err
	}
	p := a.Progress()
	defer p.Done()
	o.Progress = p.Part
	r, err := report.Make(ctx, sources, o)
	if err != nil {
		return cli.Usage(err)
	}
	p.Done()
	if f.pages() {
		err = r.WritePages(ctx, sources, f.out)
	} else {
		var data []byte
		if data, err = write(r); err == nil && f.format == "json" && f.out == "-" {
			data = append(data, '\n')
		}
		err = errors.Join(err, a.WriteOutput(ctx, f.out, data))
	}
	if err != nil {
		return err
	}
	if f.out != "-" {
		a.Notice("%s: %s; %s for attention", f.out, r.Level, plural.Verb(len(r.Attention), "thing", "asks", "ask"))
	}
	contradictions, unread := r.Verdict()
	switch all := strings.Join(slices.Concat(contradictions, unread), "; "); {
	case len(contradictions) > 0:
		return cli.Bad(errors.New(all))
	case len(unread) > 0:
		return cli.Usage(errors.New(all))
	}
	return nil
}

// pages reports whether the report is a page in a file, which has a folder.
func (f reportFlags) pages() bool {
	info, err := os.Stat(f.out)
	return f.format == "html" && f.out != "-" && (err != nil || info.Mode().IsRegular())
}

// reportBefore is the report to hold this one against: the one that is given, or that lies where the page will be. One
// that is not given and cannot be read is reported.
func (a *app) reportBefore(ctx context.Context, f reportFlags) (*report.Report, error) {
	path := f.before
	if path == "" && f.pages() {
		path = report.DataFile(f.out)
	}
	if path == "" {
		return nil, nil
	}
	data, err := a.ReadInput(ctx, path)
	if f.before == "" && isMissing(err) {
		return nil, nil
	}
	var r *report.Report
	if err == nil {
		r, err = report.Parse(data)
	}
	switch {
	case err == nil:
		return r, nil
	case f.before != "":
		return nil, cli.Usage(fmt.Errorf("--before: %w", err))
	}
	a.Notice("%s is not held against: %v", path, err)
	return nil, nil
}

// options reads what the flags say.
func (f reportFlags) options(now time.Time, names party.Names, given []string) (o report.Options, err error) {
	o = report.Options{
		MeasuredBy: f.measuredBy, EndorsedBy: f.endorsedBy, ReportedBy: f.reportedBy, ObservedBy: f.observedBy, Names: names,
		Grace: f.grace, Expiring: f.expiring, Stale: f.stale, Compare: f.compare, Recompute: f.recompute,
	}
	if o.At, err = parseTime("at", f.at, now); err != nil {
		return o, err
	}
	o.To = o.At
	if f.to != "" {
		if o.To, err = parseTime("to", f.to, o.At); err != nil {
			return o, err
		}
	}
	o.From = o.To.Add(-30 * 24 * time.Hour)
	if f.from != "" {
		if o.From, err = parseTime("from", f.from, o.At); err != nil {
			return o, err
		}
	}
	if o.Scope, err = readScope(f.scope); err != nil {
		return o, err
	}
	o.Command = o.Invocation(f.logs, report.Given{VKeys: f.VKeys, IssuerKeys: f.issuerKeys, Names: given, Artifacts: f.artifacts, Before: f.before, Format: f.format})
	return o, nil
}
