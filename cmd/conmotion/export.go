package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/witness/mirror"
)

type exportFlags struct {
	readFlags
	log, out    string
	noArtifacts bool
	repair      bool
}

const exportLong = `Copy a whole log into a directory that needs nothing else: entries, tiles and
checkpoint, the log's keys, the artifacts whose hashes its statements sign, and a
manifest with the SHA-256 of everything. Everything is verified on its way:
conmotion verify DIR does it again, with the network off, and so do audit, fsck,
replay, compare and receipt --static. Any file server can serve the directory.

The log may grow meanwhile: what is exported is the log at the checkpoint that it
had at the beginning. The same command again brings the directory up to date and
fetches only what is new; it refuses a log that forked from what the directory
has. At every moment the directory is a whole log: the checkpoint is written
last. An export that was interrupted goes on where it was.

Artifacts that the storage does not have are reported and named in the manifest, and
looked for again the next time. So are those that it gives with other bytes (exit
code 1), and those that are larger than --max-size or take longer than --max-time
(exit code 2); all else is exported. What is gone from the directory is fetched again.

What an export had before, and has with its size, is kept and not hashed again; the
result says how many files that are. conmotion verify DIR hashes them, and --repair reads
all and fetches again what was damaged.
` + cli.HomeHelp

const exportExample = `  conmotion export --log https://transparency.example --out mirror
  conmotion verify mirror
  conmotion export --log conmotion-data/public --artifacts conmotion-data/private/artifacts --out mirror`

func (a *app) export() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use: "export --log URL-or-DIR --out DIR", Short: "Copy a log, self-contained, or bring a copy up to date",
		Long: exportLong, Example: exportExample,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runExport(cmd.Context(), f) },
	}
	f.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the log, or directory with its files")
	fl.StringVar(&f.out, "out", "", "directory of the export")
	fl.BoolVar(&f.noArtifacts, "no-artifacts", false, "leave the content behind hashes out")
	fl.BoolVar(&f.repair, "repair", false, "read all that is in the directory, and fetch again what was damaged there")
	cli.Require(cmd, "log", "out")
	return cmd
}

func (a *app) runExport(ctx context.Context, f exportFlags) error {
	o, err := a.partyOptions(ctx, f.readFlags)
	if err != nil {
		return err
	}
	log, err := party.Open(ctx, f.log, o)
	if err != nil {
		return err
	}
	if party.SamePlace(f.log, f.out) {
		return cli.Usage(errors.New("--log and --out are the same directory"))
	}
	p := a.Progress()
	done, err := mirror.Export(ctx, toCopy(log, o), f.out, mirror.Options{NoArtifacts: f.noArtifacts, Repair: f.repair, Progress: p.Part})
	p.Done()
	if err != nil {
		return exportError(err)
	}
	if err := a.printExported(log.Checkpoint, done, f); err != nil || len(done.Refused) == 0 {
		return err
	}
	for _, err := range done.Refused[:min(len(done.Refused), mostRefused)] {
		a.Notice("notice: %v", err)
	}
	all := fmt.Errorf("%s not taken, and all else is there; the first is %w", plural.Verb(len(done.Refused), "artifact", "was", "were"), done.Refused[0])
	if errors.Is(errors.Join(done.Refused...), reader.ErrWrong) {
		return cli.Bad(all)
	}
	return cli.Usage(all)
}

// mostRefused is how many artifacts that were not taken are named; all are counted.
const mostRefused = 100

// toCopy is a log that was opened, to be copied.
func toCopy(log *party.Log, o party.Options) mirror.Log {
	return mirror.Log{
		Files: log.Files, View: log.View, VKeys: log.VKeys, Artifacts: log.Artifacts,
		Extends: func(ctx context.Context, old *scitt.Checkpoint) error { return log.Extends(ctx, old, o) },
	}
}

// exportError says what to do about an artifact storage that wants a token.
func exportError(err error) error {
	if p, ok := errors.AsType[*scitt.Problem](err); ok && (p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden) {
		return cli.Usage(fmt.Errorf("%w (give --token-file, or --no-artifacts)", err))
	}
	return cli.OfLog(err)
}

// exported is what an export came to.
type exported struct {
	mirrored
	Files            int  `json:"files"`
	Artifacts        int  `json:"artifacts"`
	ArtifactsMissing int  `json:"artifacts_missing"`
	ArtifactsLeftOut bool `json:"artifacts_left_out"`
	Kept             int  `json:"kept"` // files and artifacts that it had before with their sizes, and were not hashed again
}

// mirrored is what a copy of a log came to.
type mirrored struct {
	Dir          string `json:"dir"`
	Origin       string `json:"origin"`
	Size         uint64 `json:"size"`
	Root         string `json:"root"`
	Before       uint64 `json:"size_before"`
	FetchedFiles uint64 `json:"fetched_files"`
	FetchedBytes uint64 `json:"fetched_bytes"`
}

func newMirrored(dir string, cp *scitt.Checkpoint, c *mirror.Copied) mirrored {
	m := mirrored{dir, cp.Origin, cp.Size, hex.EncodeToString(cp.Root), 0, c.Fetched, c.Bytes}
	if c.Before != nil {
		m.Before = c.Before.Size
	}
	return m
}

// rows are for a person; more stands before what was fetched.
func (m mirrored) rows(isNew bool, more ...[]string) [][]string {
	before := ""
	if !isNew {
		before = fmt.Sprintf("%d entries", m.Before)
	}
	rows := [][]string{{"log", m.Origin}, {"entries", fmt.Sprint(m.Size)}, {"before", before}, {"root", m.Root}}
	return append(append(rows, more...),
		[]string{"fetched", plural.Of(m.FetchedFiles, "file") + ", " + plural.Of(m.FetchedBytes, "byte")}, []string{"directory", m.Dir})
}

func (a *app) printExported(cp *scitt.Checkpoint, e *mirror.Copied, f exportFlags) error {
	m := e.Manifest
	missing := len(m.Missing)
	if missing > 0 {
		a.Notice("notice: %s not available where the log's are looked for; the manifest says which", plural.Verb(missing, "artifact", "is", "are"))
	}
	artifacts := fmt.Sprint(len(m.Artifacts))
	if missing > 0 {
		artifacts += fmt.Sprintf(", %d missing", missing)
	}
	if m.LeftOut {
		artifacts += "; others were left out"
	}
	kept := ""
	if e.Kept > 0 {
		kept = plural.Of(e.Kept, "file") + " as they were, not hashed again: conmotion verify does"
	}
	out := exported{newMirrored(f.out, cp, e), len(m.Files), len(m.Artifacts), missing, m.LeftOut, e.Kept}
	return a.Print(out, cli.Rows(out.rows(e.Before == nil, []string{"files", fmt.Sprint(len(m.Files))}, []string{"artifacts", artifacts}, []string{"kept", kept})))
}
