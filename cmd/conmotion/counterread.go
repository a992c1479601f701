package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
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
	cli.Strings(fl, &f.in, "in", "URL or directory of another log to look in; once for each")
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
