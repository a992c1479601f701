package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// endorseFlags are the flags of endorse, dispute and withdraw.
type endorseFlags struct {
	counterFlags
	verdict             monitor.Verdict
	scope               []string
	from, until, reason string
	last                time.Duration
	embed               bool
}

const endorseLong = `
ENTRY is the URL of the entry, or its entry id or index in the log of
--entry-log, by default in --log. It is read and verified first: the log's
checkpoint, the entry's place in it, and the issuer's signature. What is
registered names it by its log, index and entry id; with --embed its whole
Transparent Statement stands in the new statement too, as evidence for when its
log is gone. --log is where the statement is registered: one's own log, that of
the entry, or any other. The statement names that log as its home: only there it
can be withdrawn, and carried to another log by somebody else it counts there
only as of that log.

A run that was interrupted can be started again: it registers the statement
that was signed then, and not a second one.
` + cli.HomeHelp

func (a *app) endorse() *cobra.Command {
	f := endorseFlags{verdict: monitor.Endorse}
	cmd := f.command(a, "endorse ENTRY --log URL --key FILE --scope TOKEN... (--until TIME | --for DURATION)", "Endorse an entry of a log, with a scope and an end",
		`Register an endorsement of an entry: "what it says about this scope is so, from
then until then". The scope is a list of tokens; existence, configuration and
owner are meant for general use, and a control's name such as sc-28 can be one
too. An endorsement without an end would have to be remembered for ever.
`+endorseLong,
		`  conmotion endorse https://provider.example/entries/5a1c... --scope existence,configuration \
      --for 2160h --log https://auditor.example --key auditor.pem`)
	f.addScope(cmd)
	cmd.MarkFlagsOneRequired("until", "for")
	return cmd
}

func (a *app) dispute() *cobra.Command {
	f := endorseFlags{verdict: monitor.Dispute}
	cmd := f.command(a, "dispute ENTRY --log URL --key FILE --scope TOKEN...", "Dispute an entry of a log",
		`Register a dispute of an entry: "what it says about this scope is not so". To a
reader who trusts its issuer it takes away the endorsements that have a part of
the scope. It holds until it is withdrawn, or until its end if it has one.
`+endorseLong,
		`  conmotion dispute https://provider.example/entries/5a1c... --scope existence \
      --reason 'no such instance on 3 July' --log https://auditor.example --key auditor.pem`)
	f.addScope(cmd)
	return cmd
}

func (a *app) withdraw() *cobra.Command {
	f := endorseFlags{verdict: monitor.Withdraw}
	return f.command(a, "withdraw ENTRY --log URL --key FILE", "Withdraw one's own endorsement or dispute",
		`Register a withdrawal: ENTRY is the entry of one's own endorsement or dispute,
which ends with it. A withdrawal by another issuer would not count and is
refused.
`+endorseLong,
		`  conmotion withdraw https://auditor.example/entries/77ab... --reason 'measured again' \
      --log https://auditor.example --key auditor.pem`)
}

func (f *endorseFlags) command(a *app, use, short, long, example string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runEndorse(cmd.Context(), *f, args[0]) },
	}
	f.add(cmd, "entry")
	fl := cmd.Flags()
	fl.StringVar(&f.from, "from", "", "when it begins: "+timeHelp+" (default: now)")
	fl.StringVar(&f.reason, "reason", "", "text for people")
	fl.BoolVar(&f.embed, "embed", false, "embed the entry's Transparent Statement")
	return cmd
}

func (f *endorseFlags) addScope(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringSliceVar(&f.scope, "scope", nil, "what about the entry: tokens of a-z, 0-9 and . _ : / -, such as existence")
	fl.StringVar(&f.until, "until", "", "when it ends, itself not included: a time such as 2026-07-01T12:00:00Z, or a date")
	fl.DurationVar(&f.last, "for", 0, "how long it holds from its beginning, such as 720h")
	cli.Require(cmd, "scope")
	cmd.MarkFlagsMutuallyExclusive("until", "for")
}

// statement is what the flags say about an entry.
func (f endorseFlags) statement(entry monitor.EntryRef, home string, now time.Time) (*monitor.Endorsement, error) {
	e := &monitor.Endorsement{Entry: entry, Home: home, Verdict: f.verdict, Scope: slices.Clone(f.scope), Reason: f.reason, From: now.UTC().Truncate(time.Second)}
	slices.Sort(e.Scope)
	e.Scope = slices.Compact(e.Scope)
	var err error
	if f.from != "" {
		if e.From, err = parseTime("from", f.from, now); err != nil {
			return nil, err
		}
		e.From = e.From.Truncate(time.Second)
	}
	switch {
	case f.until != "":
		if e.Until, err = parseTime("until", f.until, now); err != nil {
			return nil, err
		}
		e.Until = e.Until.Truncate(time.Second)
	case f.last != 0:
		e.Until = e.From.Add(f.last).Truncate(time.Second)
	}
	// What cannot be said is told before anything is read.
	if _, _, err := e.ToSign(); err != nil {
		return nil, cli.Usage(err)
	}
	return e, nil
}

func (a *app) runEndorse(ctx context.Context, f endorseFlags, name string) error {
	// The form of what is said does not depend on the entry.
	if _, err := f.statement(monitor.EntryRef{EntryID: scitt.EntryID{}.String(), Origin: "-"}, "-", time.Now()); err != nil {
		return err
	}
	// With a bare id the entry is in --log, whose keys are then the ones.
	if n, err := party.ParseEntryName(name, f.entry.log); err != nil || n.Location == f.log {
		if f.entry.log == "" && !party.IsURL(name) {
			f.entry.log = f.log
		}
		if len(f.entry.VKeys) == 0 {
			f.entry.VKeys = f.own.VKeys
		}
	}
	log, entry, err := a.findEntry(ctx, name, f.entry.log, f.read())
	if err != nil {
		return err
	}
	if entry.Statement.Envelope != nil && f.verdict == monitor.Endorse {
		// Who endorses need not have the content, but if it is there it must be what was signed.
		switch _, err := log.ContentOf(ctx, entry); {
		case isMissing(err):
			a.Notice("notice: the content behind the entry's hash is not served here, and was not looked at")
		case err != nil:
			return err
		}
	}
	r, err := a.openRegistrar(ctx, party.RegistrarOptions{Services: []string{f.log}}, f.signer, f.own)
	if err != nil {
		return err
	}
	if f.verdict == monitor.Withdraw {
		home, err := log.Withdrawable(ctx, entry, r.Issuer)
		if err != nil {
			return err
		}
		if here := r.Log().Origin(); home != here {
			a.Notice("notice: the home of what is withdrawn is %s, and this withdrawal goes to %s: whoever reads only the former does not know of it", home, here)
		}
	}
	e, err := f.statement(log.Ref(entry), r.Log().Origin(), r.Now())
	if err != nil {
		return err
	}
	if f.embed {
		if e.Transparent, _, err = log.Evidence(ctx, entry); err != nil {
			return err
		}
	}
	payload, options, err := e.ToSign()
	if err != nil {
		return err
	}
	// Where the times are left to the clock, a second attempt means those of the first.
	words := slices.Concat([]string{"endorsement", string(e.Verdict), e.Entry.EntryID, e.Reason, f.from, f.until, f.last.String(), fmt.Sprint(f.embed)}, e.Scope)
	err = a.attest(ctx, r, f.counterFlags, party.Draft{Content: payload, Options: options, OrHash: true, Words: words}, e.Entry,
		[]string{"verdict", string(e.Verdict)}, []string{"scope", strings.Join(e.Scope, ", ")})
	if errors.Is(err, scitt.ErrTooLarge) && f.embed {
		err = fmt.Errorf("%w. Leave out --embed: the entry is named by its log, index and id all the same", err)
	}
	return err
}
