package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// gatherFlags say in which logs statements about an entry are looked for.
type gatherFlags struct {
	log string
	in  []string
	readFlags
}

func (f *gatherFlags) add(cmd *cobra.Command, logUsage string) {
	f.readFlags.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", logUsage)
	fl.StringArrayVar(&f.in, "in", nil, "URL or directory of another log to look in; once for each")
}

// openLogs opens several logs, each once. With verifier keys every log needs
// its own among them. The token for artifacts goes to the place that
// --artifacts names, or else to the first log only.
func (a *app) openLogs(ctx context.Context, locations []string, f readFlags) ([]*party.Log, error) {
	var logs []*party.Log
	for i, location := range locations {
		one := f
		if i > 0 && f.artifacts == "" {
			one.token = ""
		}
		l, err := a.openLog(ctx, location, one)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(logs, func(o *party.Log) bool { return o.Key() == l.Key() }) {
			logs = append(logs, l)
		}
	}
	return logs, nil
}

// gathered is what logs say about entries.
type gathered struct {
	logs       []*party.Log
	statements []monitor.Registered
	measured   []monitor.Measured
	bad        []monitor.Anomaly // what does not count
	unread     []monitor.Anomaly // those of them that no log let read
}

// gather reads the endorsements, disputes and withdrawals in logs, and the
// measurements when they are wanted; by these issuers, or by anybody when there
// are none.
func (a *app) gather(ctx context.Context, logs []*party.Log, issuers []string, measurements bool) (*gathered, error) {
	g := &gathered{logs: logs}
	for _, l := range logs {
		found, flaws, err := monitor.Endorsements(ctx, l.Monitor(), issuers)
		if err != nil {
			return nil, fmt.Errorf("the log at %s: %w", l.Location, err)
		}
		g.statements, g.bad = append(g.statements, found...), append(g.bad, flaws...)
		if !measurements {
			continue
		}
		measured, flaws, err := monitor.Measurements(ctx, l.Monitor(), issuers)
		if err != nil {
			return nil, fmt.Errorf("the log at %s: %w", l.Location, err)
		}
		// What is nobody's statement was told above.
		flaws = slices.DeleteFunc(flaws, func(a monitor.Anomaly) bool { return a.Kind == monitor.AnomalyNoStatement })
		g.measured, g.bad = append(g.measured, measured...), append(g.bad, flaws...)
	}
	g.statements = monitor.Distinct(g.statements)
	read := map[string]bool{}
	for _, s := range g.statements {
		read[s.Self.EntryID] = true
	}
	for _, m := range g.measured {
		read[m.Self.EntryID] = true
	}
	for _, b := range g.bad {
		if b.Unread() && !read[b.Entry.EntryID] {
			g.unread = append(g.unread, b)
		}
	}
	a.noticeFlaws(g.bad)
	return g, nil
}

// noticeFlaws tells which entries do not count.
func (a *app) noticeFlaws(flaws []monitor.Anomaly) {
	for _, f := range flaws {
		a.Notice("notice: %s does not count: %s: %s", f.Entry, f.Kind, f.Detail)
	}
}

// named is the entry that a command is about, in logs that are open: the first
// is the one that it is in.
type named struct {
	id    scitt.EntryID
	entry *party.Entry // nil when it is known by its id alone
	logs  []*party.Log
}

// openNamed opens the log of an entry and others, and finds the entry. An
// entry id without a log is looked for in none: its statements can be found all the same.
// What they say together depends on the newest of them, such as a withdrawal.
func (a *app) openNamed(ctx context.Context, name string, f gatherFlags) (*named, error) {
	f.newest = true
	if id, err := scitt.ParseEntryID(name); err == nil && f.log == "" && len(f.in) > 0 {
		logs, err := a.openLogs(ctx, f.in, f.readFlags)
		return &named{id: id, logs: logs}, err
	}
	n, err := party.ParseEntryName(name, f.log)
	if err != nil {
		return nil, cli.Usage(err)
	}
	logs, err := a.openLogs(ctx, append([]string{n.Location}, f.in...), f.readFlags)
	if err != nil {
		return nil, err
	}
	e, err := a.findIn(ctx, logs[0], n)
	if err != nil {
		return nil, err
	}
	return &named{e.Statement.ID(), e, logs}, nil
}

// findIn finds an entry of an open log, which its issuer must have signed.
func (a *app) findIn(ctx context.Context, l *party.Log, n party.EntryName) (*party.Entry, error) {
	p := a.Progress()
	defer p.Done()
	e, err := l.Find(ctx, n, func(done, size uint64) {
		p.Show(func() string { return fmt.Sprintf("searched %d of %d entries", done, size) })
	})
	if err != nil {
		return nil, err
	}
	if err := l.VerifyStatement(e.Statement); err != nil {
		return nil, fmt.Errorf("entry %d of %s: %w", e.Index, l.Location, err)
	}
	return e, nil
}
