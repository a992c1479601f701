package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
)

type replayFlags struct {
	readFlags
	log, at, since, save, asset, diff string
	follow                            string
	upstream, upstreamVKeys           []string
	depth                             int
	issuers, types                    []string
	atIndex                           int64
	selected                          bool // issuers or types were given
}

const replayLong = `Show the inventory and the configuration that the records in a log amount to, now
or at a moment: which assets are alive, which configurations they have, and what
is anomalous about the records. Everything is read from the log's files and
verified: tree, checkpoint and every signature; the service is not needed.

Records count in the log's order. --at TIME takes those whose event is not after
TIME, --at-index N those up to and including entry N. --issuer and --types select
whose records count; an auditor's own observations are --types observation.

--asset UID shows every record about one asset and its configurations, with the
deletions; UID is any name that the records give it. --diff T1 T2 shows what changed between two moments, each a time or
the index of an entry.

--follow UID walks from an asset to what it rests on in other logs: the entries
that acknowledgements of it name and embed (conmotion ack), and those that its
newest records refer to. Each is verified with its Receipt: in its log, which is
given with --upstream or is where it was seen before, and with the Transparent
Statement that is embedded, which needs no log but its keys; a log that can be read
must extend the tree of that Receipt. It goes on from the upstream's assets. What does not
verify ends with exit code 1, what cannot be checked or read with 2: a log that is not
known here or older than the Receipt, an issuer whose key is not known, or files
or contents of an upstream that are not there, or not what was signed.

--save FILE keeps the state, and --since FILE goes on from there: only what is new
in the log is read, which must extend the one that was read before. The result
is the same as from the start, bit for bit. When both name one file that is not
there yet, the log is read from its start.

With --json the document of docs/monitoring.md in its canonical form (RFC 8785),
without a line feed: the same bytes at every run, by everybody. Exit code 1: the
log is damaged, forked, was rolled back, or is not the one that was seen before.
Anomalies of the records are reported and do not change the exit code, with one
exception. Exit code 2: what is shown is incomplete, since records were left out
whose content is withheld, or whose issuer's key is not known (--issuer-key; read the
log from its start then, without --since), or entries are nobody's statement
(no_statement): an honest service registers none, and what was meant to be there is
unknown.
` + cli.HomeHelp

const replayExample = `  conmotion replay --log https://transparency.example
  conmotion replay --log mirror --issuer did:jwk:eyJ... --at 2026-07-01T12:00:00Z
  conmotion replay --log mirror --since provider.replay --save provider.replay
  conmotion replay --log mirror --asset i-0a1b2c3d
  conmotion replay --log https://customer.example --follow vm-web-1 --upstream https://provider.example
  conmotion replay --log mirror --diff 2026-07-01 2026-07-02
  conmotion replay --log mirror --json | sha256sum`

func (a *app) replay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use: "replay --log URL-or-DIR [--at TIME | --at-index N | --asset UID | --diff T1 T2 | --follow UID]", Short: "Inventory and configuration at a moment",
		Long: replayLong, Example: replayExample,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case f.diff == "" && len(args) > 0:
				return cli.Usage(fmt.Errorf("%q is not expected here; the log is named with --log", args[0]))
			case f.diff != "" && len(args) != 1:
				return cli.Usage(errors.New("--diff needs two moments: --diff T1 T2"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("at-index") && f.atIndex < 0 {
				return cli.Usage(fmt.Errorf("--at-index %d is not the index of an entry", f.atIndex))
			}
			f.selected = cmd.Flags().Changed("issuer") || cmd.Flags().Changed("types")
			return a.runReplay(cmd.Context(), f, args)
		},
	}
	f.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the log, or directory with its files")
	cli.Strings(fl, &f.issuers, "issuer", "issuer whose records count; once for each (default: all)")
	fl.StringSliceVar(&f.types, "types", []string{"record"}, typesHelp)
	fl.StringVar(&f.at, "at", "", "events up to then: "+timeHelp)
	fl.Int64Var(&f.atIndex, "at-index", -1, "entries up to and including this index")
	fl.StringVar(&f.since, "since", "", "file of --save to go on from")
	fl.StringVar(&f.save, "save", "", "file to keep the state in")
	fl.StringVar(&f.asset, "asset", "", "uid of the asset whose records are shown")
	fl.StringVar(&f.diff, "diff", "", "T1 T2: show what changed between two moments")
	fl.StringVar(&f.follow, "follow", "", "uid of the asset whose references to other logs are followed")
	cli.Strings(fl, &f.upstream, "upstream", "with --follow: URL or directory of an upstream log (default: where it was seen before); once for each")
	cli.Strings(fl, &f.upstreamVKeys, "upstream-vkey", "with --follow: verifier key of an upstream log; once for each key")
	fl.IntVar(&f.depth, "max-depth", 8, "with --follow: how many logs are followed, one after the other")
	cli.Require(cmd, "log")
	cmd.MarkFlagsMutuallyExclusive("at", "asset", "diff", "follow")
	cmd.MarkFlagsMutuallyExclusive("at-index", "diff")
	cmd.MarkFlagsMutuallyExclusive("at-index", "follow")
	for _, one := range []string{"asset", "diff", "follow"} {
		cmd.MarkFlagsMutuallyExclusive("since", one)
		cmd.MarkFlagsMutuallyExclusive("save", one)
	}
	return cmd
}

func (a *app) runReplay(ctx context.Context, f replayFlags, args []string) error {
	limitMemory()
	filter, err := monitor.NewFilter(f.issuers, f.types)
	if err != nil {
		return cli.Usage(fmt.Errorf("--types %w", err))
	}
	r := &replaying{app: a, flags: f, filter: filter, now: time.Now()}
	var moments [2]point
	if f.diff != "" {
		for i, text := range []string{f.diff, args[0]} {
			if moments[i], err = r.point("diff", text); err != nil {
				return err
			}
		}
	}
	begin, err := r.begin(ctx)
	if err != nil {
		return err
	}
	if r.log, err = a.openLog(ctx, f.log, f.readFlags); err != nil {
		return err
	}
	r.progress = a.Progress()
	defer r.progress.Done()
	switch {
	case f.follow != "":
		return r.follow(ctx)
	case f.asset != "":
		err = r.history(ctx)
	case f.diff != "":
		err = r.difference(ctx, moments)
	default:
		err = r.inventory(ctx, begin)
	}
	return cli.OfLog(err)
}

// replaying is one run of replay.
type replaying struct {
	*app
	flags    replayFlags
	filter   monitor.Filter
	now      time.Time
	log      *party.Log
	progress *cli.Progress
}

// point is a moment of a log.
type point struct {
	until *time.Time // events up to this time
	to    uint64     // entries before this index
}

const everything = 1 << 63

// point reads a time, or the index of the last entry that counts.
func (r *replaying) point(flag, text string) (point, error) {
	if index, err := strconv.ParseUint(text, 10, 62); err == nil {
		return point{to: index + 1}, nil
	}
	at, err := parseTime(flag, text, r.now)
	return point{&at, everything}, err
}

// begin makes the replay that goes on: a new one, or the saved one.
func (r *replaying) begin(ctx context.Context) (*monitor.Replay, error) {
	f := r.flags
	var until *time.Time
	if f.at != "" {
		at, err := parseTime("at", f.at, r.now)
		if err != nil {
			return nil, err
		}
		until = &at
	}
	if f.since == "" {
		return monitor.NewReplay(r.filter, until), nil
	}
	saved, err := resumeFile(ctx, "since", f.since)
	if isMissing(err) && f.save != "" && party.SamePlace(f.since, f.save) {
		r.Notice("notice: there is no %s yet; the log is read from its start", f.since)
		return monitor.NewReplay(r.filter, until), nil
	}
	if err != nil {
		return nil, err
	}
	savedFilter, savedUntil := saved.Selection()
	if f.selected && !savedFilter.Equal(r.filter) {
		return nil, cli.Usage(fmt.Errorf("--since %s: it has other issuers or types (%s)", f.since, savedFilter))
	}
	if f.at != "" && (savedUntil == nil || !savedUntil.Equal(*until)) {
		return nil, cli.Usage(fmt.Errorf("--since %s: a saved replay goes on with its own --at, or without one", f.since))
	}
	return saved, nil
}

// upTo is the index before which the entries count.
func (r *replaying) upTo() (uint64, error) {
	size := r.log.View.Checkpoint.Size
	if r.flags.atIndex < 0 {
		return size, nil
	}
	if uint64(r.flags.atIndex) >= size {
		return 0, cli.Bad(fmt.Errorf("%w: index %d, and %s has %d entries", party.ErrNoEntry, r.flags.atIndex, r.flags.log, size))
	}
	return uint64(r.flags.atIndex) + 1, nil
}

func (r *replaying) inventory(ctx context.Context, replay *monitor.Replay) error {
	to, err := r.upTo()
	if err != nil {
		return err
	}
	if r.flags.atIndex >= 0 && to < replay.Next() {
		return cli.Usage(fmt.Errorf("--since %s has read %d entries already, more than --at-index asks for", r.flags.since, replay.Next()))
	}
	if err := replay.Advance(ctx, r.progress.Count("replay", r.log.Monitor()), to); err != nil {
		return err
	}
	r.progress.Done()
	if r.flags.save != "" {
		// A crash before the rename leaves the older state, which goes on as well.
		if err := r.WriteStream(ctx, r.flags.save, replay.Save); err != nil {
			return err
		}
	}
	if records, _ := replay.Counts(); records == 0 {
		r.Notice("notice: no records of the selected issuers and types; an auditor's own are --types observation")
	}
	return errors.Join(r.Print(replay, r.showReplay(replay)), incomplete(replay.Unread()))
}

// incomplete is the verdict where it is not known what records say.
func incomplete(unread monitor.Unread) error {
	if !unread.Any() {
		return nil
	}
	return cli.Usage(fmt.Errorf("what is shown is incomplete: %s", unread))
}

func (r *replaying) history(ctx context.Context) error {
	to, err := r.upTo()
	if err != nil {
		return err
	}
	h, err := monitor.HistoryOf(ctx, r.progress.Count("history", r.log.Monitor()), r.filter, r.flags.asset, to)
	if err != nil {
		return err
	}
	r.progress.Done()
	return errors.Join(r.Print(h, showHistory(h)), incomplete(h.Unread))
}

func (r *replaying) difference(ctx context.Context, moments [2]point) error {
	var replays [2]*monitor.Replay
	for i, p := range moments {
		replays[i] = monitor.NewReplay(r.filter, p.until)
		log := r.progress.Count(fmt.Sprintf("replay %d of 2", i+1), r.log.Monitor())
		if size := log.Checkpoint.Size; p.to != everything && p.to > size {
			return cli.Bad(fmt.Errorf("%w: index %d, and %s has %d entries", party.ErrNoEntry, p.to-1, r.flags.log, size))
		}
		if err := replays[i].Advance(ctx, log, p.to); err != nil {
			return err
		}
	}
	r.progress.Done()
	d, err := monitor.Diff(replays[0], replays[1])
	if err != nil {
		return err
	}
	before, after := replays[0].Unread(), replays[1].Unread()
	return errors.Join(r.Print(d, showDifference(d)), incomplete(before.Most(after)))
}

// follow walks from an asset to the entries of other logs that it rests on.
func (r *replaying) follow(ctx context.Context) error {
	f := r.flags
	if f.depth < 1 {
		return cli.Usage(errors.New("--max-depth is at least 1"))
	}
	asset := f.follow
	f.artifacts, f.token, f.VKeys = "", "", f.upstreamVKeys // those are of the log where it begins
	logs, err := r.openLogs(ctx, f.upstream, f.readFlags)
	if err != nil {
		return err
	}
	o := party.FollowOptions{Depth: f.depth, Upstream: logs}
	if o.Options, err = r.partyOptions(ctx, f.readFlags); err != nil {
		return err
	}
	w, err := party.Follow(ctx, r.log, asset, o)
	if err != nil {
		return err
	}
	if err := r.Print(w.Root, func(p *cli.Page) { showFollowed(p, &w.Root, "") }); err != nil {
		return err
	}
	if n := len(w.Failed); n > 0 {
		return cli.Bad(fmt.Errorf("%s not verified: %s", plural.Verb(n, "reference", "is", "are"), strings.Join(w.Failed, "; ")))
	}
	if n := len(w.Unread); n > 0 {
		return cli.Usage(fmt.Errorf("%s not be checked or read: %s", plural.Verb(n, "reference or statement", "could", "could"), strings.Join(w.Unread, "; ")))
	}
	return nil
}
