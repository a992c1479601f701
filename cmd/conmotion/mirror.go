package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/witness/mirror"
)

type mirrorFlags struct {
	cli.MemoryFlags
	follow    bool
	repair    bool
	interval  time.Duration
	perSecond float64
}

const mirrorLong = `Copy a log into a directory, and bring the copy up to date: checkpoint, entries and
tiles of any log whose files are laid out as C2SP tlog-tiles says, and its keys where
it publishes them. A log that does not is copied with --vkey.

Everything is verified on its way, as it lies on the disk, and the checkpoint is
written last: at every moment the copy is a whole log at its checkpoint. The same
command again goes on where it was, also after a crash, and fetches only what is new.
Wrong files leave the copy as it was. Any file server can serve the directory, and
whatever takes a log by --log or --static reads it there.

A server that is busy is waited for, as long as it says. --rate bounds the requests in
a second. --follow goes on until it is interrupted: what cannot be read is reported and
tried again. It ends when the log forked, or shows other keys. --repair reads the whole
copy first, and fetches again what was damaged there; conmotion fsck DIR tells what is.

"conmotion export" copies the artifacts too, with a manifest.
` + cli.HomeHelp

func (a *app) mirror() *cobra.Command {
	var f mirrorFlags
	cmd := &cobra.Command{
		Use: "mirror URL-or-DIR DIR", Short: "Copy any tiled log, and follow it", Long: mirrorLong,
		Example: `  conmotion mirror https://transparency.example mirror
  conmotion mirror --follow --rate 20 --vkey log.example+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k https://log.example/2026 mirror
  conmotion audit mirror`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runMirror(cmd.Context(), args[0], args[1], f) },
	}
	f.Add(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&f.follow, "follow", false, "go on when the log grows")
	fl.BoolVar(&f.repair, "repair", false, "read all of the copy, and fetch again what is not as the checkpoint says")
	fl.DurationVar(&f.interval, "interval", 10*time.Second, "time between two looks at the log with --follow")
	fl.Float64Var(&f.perSecond, "rate", 100, "requests in a second at most; 0 for no limit")
	return cmd
}

func (a *app) runMirror(ctx context.Context, location, dir string, f mirrorFlags) error {
	if f.interval <= 0 || f.perSecond < 0 || f.perSecond > 0 && f.perSecond < 1 {
		return cli.Usage(errors.New("--interval is more than 0, and --rate 0 or at least 1"))
	}
	if party.SamePlace(location, dir) {
		return cli.Usage(errors.New("both are the same directory"))
	}
	o, err := a.LogOptions(ctx, f.MemoryFlags)
	if err != nil {
		return err
	}
	if f.perSecond > 0 {
		o.Client.HTTP.Transport = mirror.Paced(o.Client.HTTP.Transport, f.perSecond, cli.Readers)
	}
	c, err := mirror.OpenCopy(ctx, dir)
	if err != nil {
		return cli.Usage(err)
	}
	defer c.Close()
	err = a.mirrorOnce(ctx, c, location, dir, o, f)
	if err != nil || !f.follow {
		return err
	}
	f.repair = false // it is
	tick := time.NewTicker(f.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		switch err := a.mirrorOnce(ctx, c, location, dir, o, f); {
		case ctx.Err() != nil:
			return nil
		case err != nil && party.IsOtherLog(err):
			return err
		case err != nil:
			a.Notice("will try again: %v", err)
		}
	}
}

// mirrorOnce brings the copy up to what the log is now, and prints it if it changed.
func (a *app) mirrorOnce(ctx context.Context, c *mirror.Copy, location, dir string, o party.Options, f mirrorFlags) error {
	log, err := party.Open(ctx, location, o)
	if err != nil {
		return err
	}
	p := a.Progress()
	done, err := c.Update(ctx, toCopy(log, o), mirror.Options{Repair: f.repair, Progress: p.Part})
	p.Done()
	if err != nil {
		return exportError(err)
	}
	out := newMirrored(dir, log.Checkpoint, done)
	show := cli.Rows(out.rows(done.Before == nil))
	switch {
	case !f.follow:
		return a.Print(out, show)
	case done.Before == nil || done.Before.Size < out.Size:
		return a.PrintLine(out, func(p *cli.Page) {
			p.Line("%s", fmt.Sprintf("%d entries of %s, %d before", out.Size, out.Origin, out.Before))
		})
	}
	return nil
}
