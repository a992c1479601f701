package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

type putFlags struct {
	cli.StoreFlags
	concurrency int
}

func (a *app) artifactPut() *cobra.Command {
	var f putFlags
	cmd := &cobra.Command{
		Use: "put --store URL FILE...", Short: "Store files in an artifact storage",
		Long: `Store files in an artifact storage, of any size and without holding them in
memory. Each file is read twice: for its SHA-256, which the storage holds it to,
and to send it. "-" is standard input; it and other pipes go through a temporary
file.

What is stored already is not sent again, as far as the token lets the storage
say so, and a busy or broken storage is asked again. So a run that was
interrupted can be started again.`,
		Example: `  conmotion artifact put --store https://transparency.example image.iso
  conmotion artifact put --store https://transparency.example --token-file writer.token evidence/*
  tar c evidence | conmotion artifact put --store https://transparency.example -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runArtifactPut(cmd.Context(), f, args) },
	}
	f.Add(cmd, "store", "URL of the service with the artifact storage")
	cmd.Flags().IntVar(&f.concurrency, "concurrency", 4, "files that are under way at a time")
	cli.Require(cmd, "store")
	return cmd
}

// putResult is what became of one file.
type putResult struct {
	File     string         `json:"file"`
	Result   string         `json:"result"` // stored, already there, refused or failed
	Digest   string         `json:"digest,omitempty"`
	Size     int64          `json:"size"`
	Location string         `json:"location,omitempty"`
	Problem  *scitt.Problem `json:"problem,omitempty"`
	Error    string         `json:"error,omitempty"`
	err      error
}

const (
	resultStored = "stored"
	resultThere  = "already there"
)

func (a *app) runArtifactPut(ctx context.Context, f putFlags, files []string) error {
	if f.concurrency < 1 {
		return cli.Usage(errors.New("--concurrency is at least 1"))
	}
	if i := slices.Index(files, "-"); i >= 0 && slices.Contains(files[i+1:], "-") {
		return cli.Usage(errors.New(`standard input, "-", can be given once`))
	}
	store, err := a.Store(ctx, f.StoreFlags, f.concurrency)
	if err != nil {
		return err
	}
	p := a.Progress()
	defer p.Done()
	t := tally{counts: map[string]int{}, of: len(files)}
	one := func(ctx context.Context, n int) putResult { return a.putOne(ctx, store, p, files[n]) }
	err = inOrder(ctx, len(files), f.concurrency, one, func(r putResult) error {
		t.add(r.Result, r.err)
		p.Done()
		return a.printPut(r, len(files) > 1)
	})
	if err != nil {
		return err
	}
	return t.verdict("files are not stored")
}

func (a *app) printPut(r putResult, many bool) error {
	return a.PrintLine(r, func(p *cli.Page) { // one line for each file
		switch {
		case r.err != nil && !many: // the error says it all
		case many:
			if r.err != nil {
				p.Notice("%v", r.err)
			}
			p.Line("%-13s  %-71s  %s", r.Result, r.Digest, r.File)
		default:
			p.Rows([][]string{{r.Result, r.Digest}, {"location", r.Location}})
		}
	})
}

func (a *app) putOne(ctx context.Context, store *client.Artifacts, p *cli.Progress, file string) putResult {
	r := putResult{File: file, Result: resultStored}
	c, err := a.openContent(ctx, p, file)
	if err == nil {
		defer c.Close()
		r.Digest, r.Size = "sha256:"+c.Digest.String(), c.Size
		created := false
		if created, err = c.Store(ctx, store); err == nil {
			r.Location = store.URL(c.Digest)
			if !created {
				r.Result = resultThere
			}
			return r
		}
	}
	r.err = fmt.Errorf("%s: %w", file, err)
	r.Error, r.Result, r.Problem = r.err.Error(), resultOf(r.err), problemOf(err)
	return r
}

// openContent opens a file that is to be stored.
func (a *app) openContent(ctx context.Context, p *cli.Progress, name string) (*reader.File, error) {
	return reader.OpenFile(ctx, name, a.Stdin, func(what string, done, total int64) {
		p.Show(func() string { return fmt.Sprintf("%s: %s %s", name, what, amount(done, total)) })
	})
}
