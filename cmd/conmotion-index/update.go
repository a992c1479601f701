package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/search"
	"github.com/conmotion/conmotion/tiles"
)

// updateFlags are the flags of update.
type updateFlags struct {
	db string
	cli.MemoryFlags
	artifacts       cli.StoreFlags // which may be a directory too
	rebuild, follow bool
	interval        time.Duration
}

const updateLong = `Make a search index of any log from its static files, or bring one up to date,
to search with conmotion-index search. Nobody has to be asked: neither the
operator of the log nor its search service.

Every entry is verified against the checkpoint while it is read, and the index
answers only up to a checkpoint whose root it found itself.

The next run goes on where the last one ended, however it ended: what is in the
index is complete, and a crash loses the last seconds of work at most. It first
proves that the log extends what was indexed. When the log is another one, shows
an older state, has another history (it forked) or is damaged, the run ends with
an error and the index stays as it was. A file that is damaged, or is something
else, is never replaced unless --rebuild says so; made anew, an index answers as
before.

Statements that sign only a hash are found by their headers. --artifacts says
where their content is, to find them by that too: the service's URL, or the
directory of its artifact storage. Artifacts are asked for once, when an entry is
read; --rebuild finds those that were stored later.

--follow goes on until it is interrupted.`

func update(a *cli.App) *cobra.Command {
	var f updateFlags
	cmd := &cobra.Command{
		Use: "update URL-or-DIR --db FILE", Short: "Make a search index of any log, or bring one up to date", Long: updateLong,
		Example: `  conmotion-index update https://transparency.example --db search.db
  conmotion-index update conmotion-data/public --db search.db --artifacts conmotion-data/private/artifacts
  conmotion-index update https://transparency.example --db search.db --follow --interval 1m`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runUpdate(cmd.Context(), a, args[0], &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.db, "db", "", "file of the index; it is made when it is not there")
	f.MemoryFlags.Add(cmd)
	f.artifacts.AddReading(cmd, "artifacts", "where the content behind hashes is: URL of a service, or directory of an artifact storage")
	fl.BoolVar(&f.rebuild, "rebuild", false, "throw away what is in the file and begin anew")
	fl.BoolVar(&f.follow, "follow", false, "go on when the log grows")
	fl.DurationVar(&f.interval, "interval", 10*time.Second, "time between two looks at the log with --follow")
	cli.Require(cmd, "db")
	return cmd
}

// indexing is one run of update.
type indexing struct {
	*cli.App
	flags *updateFlags
	log   *party.Log
	party party.Options
	index *search.Index
	// service is where Receipts are.
	service string
}

func runUpdate(ctx context.Context, a *cli.App, location string, f *updateFlags) error {
	if f.interval <= 0 {
		return cli.Usage(errors.New("--interval is more than 0"))
	}
	artifacts, err := a.Artifacts(ctx, f.artifacts, cli.Readers)
	if err != nil {
		return err
	}
	// Before anything is thrown away the log must be there to read.
	o, err := a.LogOptions(ctx, f.MemoryFlags)
	if err != nil {
		return err
	}
	log, err := party.Open(ctx, location, o)
	if err != nil {
		return err
	}
	if f.rebuild {
		if err := search.Remove(f.db); err != nil {
			return cli.Usage(fmt.Errorf("--rebuild: %w", err))
		}
	}
	x, err := search.Open(ctx, f.db, search.Options{Artifacts: artifacts, Keep: true})
	if err != nil {
		return cli.Usage(fmt.Errorf("--db: %w%s", err, rebuildHint(err)))
	}
	defer x.Close()
	i := &indexing{a, f, log, o, x, log.Service()}
	if f.follow {
		return i.follow(ctx)
	}
	report, err := i.update(ctx)
	if err != nil {
		return err
	}
	return i.print(report)
}

// Report is what one update came to, as --json prints it.
type Report struct {
	DB      string  `json:"db"`
	Origin  string  `json:"origin"`
	Size    uint64  `json:"size"` // entries up to which the index answers
	Root    string  `json:"root"`
	New     uint64  `json:"new"` // entries that were read now
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"` // of the index
}

// update reads what the log has and the index has not.
func (i *indexing) update(ctx context.Context) (*Report, error) {
	if err := i.log.Refresh(ctx, i.party); err != nil {
		return nil, err
	}
	view := i.log.View
	if err := i.index.Extends(ctx, view); err != nil {
		return nil, i.explain(err, view)
	}
	if err := i.index.SetService(ctx, i.service); err != nil {
		return nil, i.explain(err, view)
	}
	start, before := time.Now(), i.index.Next()
	stop := i.watch(view.Checkpoint.Size)
	err := i.index.CatchUp(ctx, view.Checkpoint, view)
	stop()
	if err != nil {
		return nil, i.explain(err, view)
	}
	cp := view.Checkpoint
	r := &Report{i.flags.db, cp.Origin, cp.Size, hex.EncodeToString(cp.Root), cp.Size - before, time.Since(start).Seconds(), 0}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(i.flags.db + suffix); err == nil {
			r.Bytes += info.Size()
		}
	}
	return r, nil
}

// watch shows how far the index is, until it is stopped.
func (i *indexing) watch(size uint64) (stop func()) {
	p := i.Progress()
	done, ended := make(chan struct{}), make(chan struct{})
	first, start := i.index.Next(), time.Now()
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				p.Done()
				return
			case <-time.After(200 * time.Millisecond):
			}
			p.Show(func() string {
				next := i.index.Next()
				return fmt.Sprintf("indexed %d of %d entries, %.0f a second", next, size, float64(next-first)/time.Since(start).Seconds())
			})
		}
	}()
	return func() { close(done); <-ended }
}

// explain says what an error means for the index, and gives it its exit code.
func (i *indexing) explain(err error, view *tiles.View) error {
	switch {
	case errors.Is(err, search.ErrOtherLog):
		return cli.Usage(fmt.Errorf("--db %s: %w: use another file for another log", i.flags.db, err))
	case errors.Is(err, search.ErrOlder):
		return cli.Usage(fmt.Errorf("%w: this copy of the log is old, or entries were taken away; the index is as it was", err))
	case errors.Is(err, search.ErrDamaged):
		return unusable(i.flags.db, err)
	case errors.Is(err, context.Canceled):
		return cli.Usage(fmt.Errorf("interrupted with %d of %d entries in the index; the same command goes on from there", i.index.Next(), view.Checkpoint.Size))
	}
	return fmt.Errorf("%w; the index has the %d entries before, and the next run goes on from there", err, i.index.Next())
}

// follow updates the index until it is interrupted, which is a good end. A
// log that cannot be read now is read later; one that forked ends it.
func (i *indexing) follow(ctx context.Context) error {
	for {
		report, err := i.update(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && report.New > 0:
			err = i.PrintLine(report, func(p *cli.Page) {
				p.Line("indexed %d new entries in %.1f s: %d in all, root %s", report.New, report.Seconds, report.Size, report.Root)
			})
		case err == nil:
		case isLasting(err):
			return err
		default:
			i.Notice("will try again: %v", err)
			// Whatever was read may have been wrong, and is read again.
			if log, oerr := party.Open(ctx, i.log.Location, i.party); oerr == nil {
				i.log = log
			}
			err = nil
		}
		if err != nil {
			return err // of the output
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(i.flags.interval):
		}
	}
}

// isLasting tells errors that waiting does not mend.
func isLasting(err error) bool {
	return party.IsOtherLog(err) || errors.Is(err, search.ErrOtherLog) || errors.Is(err, search.ErrDamaged) || errors.Is(err, scitt.ErrProof) && !errors.Is(err, tiles.ErrCorrupt)
}

func (i *indexing) print(r *Report) error {
	news := "none"
	if r.New > 0 {
		news = fmt.Sprintf("%d in %.1f s, %.0f a second", r.New, r.Seconds, float64(r.New)/max(r.Seconds, 1e-3))
	}
	return i.Print(r, cli.Rows([][]string{
		{"log", r.Origin}, {"entries", fmt.Sprint(r.Size)}, {"new", news}, {"root", r.Root}, {"index", fmt.Sprintf("%s, %.1f MB", r.DB, float64(r.Bytes)/1e6)},
	}))
}
