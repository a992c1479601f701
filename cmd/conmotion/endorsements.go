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
)

// endorsementsFlags are the flags of endorsements.
type endorsementsFlags struct {
	gatherFlags
	by []string
	at string
}

func (a *app) endorsements() *cobra.Command {
	var f endorsementsFlags
	cmd := &cobra.Command{
		Use: "endorsements ENTRY [--in URL-or-DIR]... [--by ISSUER]... [--at TIME]", Short: "Show who endorsed or disputed an entry, and whether it holds",
		Long: `Show who endorsed or disputed an entry, with scope and validity, and how each
stands at a time: holds, expired, not_yet, withdrawn by its issuer, disputed by
a dispute that holds and has a part of the scope, or as_of_log: it was read in
another log than its home, where it may have been withdrawn, so it does not count.
It is unknown when a statement may withdraw or dispute it whose content is withheld
(content_missing), or whose issuer's key is not known (unchecked, --issuer-key). Such
statements are listed, and the exit code is 2.

ENTRY is the URL of the entry, or its entry id or index in --log. Its log is
looked in and those given with --in. An entry is known by its id: the same
statement in another log is the same entry. With an entry id and no --log only
those of --in are looked in, and whether the entry exists is not checked.

Anybody may dispute. With --by only statements by these issuers are read, and
others neither endorse nor dispute.
` + cli.HomeHelp,
		Example: `  conmotion endorsements https://provider.example/entries/5a1c... --in https://auditor.example
  conmotion endorsements --log copy/public 17 --in auditor/public --by did:jwk:eyJr... --at 2026-07-01`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runEndorsements(cmd.Context(), f, args[0]) },
	}
	f.add(cmd, "URL or directory of the log that ENTRY is in, when ENTRY is an entry id or an index")
	fl := cmd.Flags()
	cli.Strings(fl, &f.by, "by", "issuer whose word counts (default: anybody); once for each")
	fl.StringVar(&f.at, "at", "now", "when to judge: "+timeHelp)
	return cmd
}

func (a *app) runEndorsements(ctx context.Context, f endorsementsFlags, name string) error {
	at, err := parseTime("at", f.at, time.Now())
	if err != nil {
		return err
	}
	about, err := a.openNamed(ctx, name, f.gatherFlags)
	if err != nil {
		return err
	}
	list, err := party.EndorsementsOf(ctx, about.id, about.logs, f.by, at, a.Notice)
	if err != nil {
		return err
	}
	if about.entry != nil {
		ref := about.logs[0].Ref(about.entry)
		list.Entry = &ref
	}
	err = a.Print(list, func(p *cli.Page) { showEndorsements(p, list) })
	if n := len(list.Unread); n > 0 {
		err = errors.Join(err, cli.Usage(fmt.Errorf("%s about it could not be read or checked", plural.Of(n, "statement"))))
	}
	return errors.Join(list.Wrong, err, incomplete(monitor.Unread{NoStatement: monitor.CountUnread(list.Unreadable).NoStatement}))
}

func showEndorsements(p *cli.Page, l *party.Endorsements) {
	where := "not looked for"
	if l.Entry != nil {
		where = l.Entry.String()
	}
	p.Rows([][]string{{"entry", l.EntryID}, {"is", where}, {"at", l.At}})
	for _, u := range l.Unread {
		p.Line("%s: a statement about it by %s, %s: %s", u.Kind, u.Issuer, &u.Entry, u.Detail)
	}
	if len(l.Endorsements)+len(l.Unread) == 0 {
		p.Line("nobody endorsed or disputed it")
	}
	var rows [][]string
	for _, e := range l.Endorsements {
		validity := "from " + e.From
		if e.Until != "" {
			validity += " until " + e.Until
		}
		rows = append(rows, []string{string(e.Standing), string(e.Verdict), strings.Join(e.Scope, ","), validity, e.Entry.String(), e.Issuer})
	}
	p.Rows(rows)
	for _, e := range l.Endorsements {
		if e.Standing == monitor.AsOfLog {
			p.Line("%s counts only as of that log: its home, where it can be withdrawn, is %s (--in)", &e.Entry, e.Home)
		}
		for _, ref := range e.By {
			by := " by "
			if e.Standing == monitor.Unknown {
				by = ", since it is not known what it says: "
			}
			p.Line("%s is %s%s%s", &e.Entry, e.Standing, by, &ref)
		}
		if e.Evidence != "" {
			p.Line("%s embeds the Transparent Statement: %s", &e.Entry, e.Evidence)
		}
		if e.Reason != "" {
			p.Line("%s says: %s", &e.Entry, e.Reason)
		}
	}
}
