package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/parallel"
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
	File     string   `json:"file"`
	Result   string   `json:"result"` // stored, already there, refused or failed
	Digest   string   `json:"digest,omitempty"`
	Size     int64    `json:"size"`
	Location string   `json:"location,omitempty"`
	Problem  *problem `json:"problem,omitempty"`
	Error    string   `json:"error,omitempty"`
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
	store, err := a.Store(f.StoreFlags, f.concurrency)
	if err != nil {
		return err
	}
	p := a.Progress()
	defer p.Done()
	one := func(ctx context.Context, n uint64) (putResult, error) { return a.putOne(ctx, store, p, files[n]), nil }
	counts := map[string]int{}
	var last error
	for _, r := range parallel.Ordered(ctx, 0, uint64(len(files)), f.concurrency, one) {
		if r.Err != nil {
			return r.Err
		}
		counts[r.Value.Result]++
		if r.Value.err != nil {
			last = r.Value.err
		}
		p.Done()
		if err := a.printPut(r.Value, len(files) > 1); err != nil {
			return err
		}
	}
	if counts[resultRefused]+counts[resultFailed] == 0 {
		return nil
	}
	if len(files) > 1 {
		last = fmt.Errorf("%d of %d files are not stored", counts[resultRefused]+counts[resultFailed], len(files))
	}
	if counts[resultFailed] > 0 {
		return cli.Usage(last)
	}
	return cli.Bad(last)
}

func (a *app) printPut(r putResult, many bool) error {
	switch {
	case a.JSON:
		return a.PrintJSONLine(r) // one line for each file
	case r.err != nil && !many:
		return nil // the error says it all
	case r.err != nil:
		a.Notice("%v", r.err)
		fallthrough
	case many:
		_, err := fmt.Fprintf(a.Stdout, "%-13s  %-71s  %s\n", r.Result, r.Digest, cli.Clean(r.File))
		return err
	}
	return a.PrintRows([][]string{{r.Result, r.Digest}, {"location", r.Location}})
}

func (a *app) putOne(ctx context.Context, store *client.Artifacts, p *cli.Progress, file string) putResult {
	r := putResult{File: file, Result: resultStored}
	c, err := a.openContent(ctx, p, file)
	if err == nil {
		defer c.Close()
		r.Digest, r.Size = "sha256:"+c.digest.String(), c.size
		created := false
		if created, err = c.put(ctx, store); err == nil {
			r.Location = store.URL(c.digest)
			if !created {
				r.Result = resultThere
			}
			return r
		}
	}
	r.err = fmt.Errorf("%s: %w", file, err)
	r.Error, r.Result = r.err.Error(), resultFailed
	if cli.ExitCode(r.err) == cli.ExitBad {
		r.Result = resultRefused
	}
	if p, ok := errors.AsType[*scitt.Problem](err); ok {
		r.Problem = &problem{p.Status, p.Title, p.Detail}
	}
	return r
}

// content is a file that can be read several times, and its hash.
type content struct {
	file    *os.File
	name    string
	digest  reader.Digest
	size    int64
	spooled bool
	p       *cli.Progress
}

// openContent opens a file and hashes it. Standard input, and whatever else
// can be read only once, is copied to a temporary file, of which a crash leaves
// what it has so far.
func (a *app) openContent(ctx context.Context, p *cli.Progress, name string) (_ *content, err error) {
	in := a.Stdin
	c := &content{name: name, p: p}
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		in = f
		if info.Mode().IsRegular() {
			c.file = f
		} else {
			defer f.Close()
		}
	}
	hash := sha256.New()
	into := io.Writer(hash)
	if c.file == nil {
		if c.file, err = os.CreateTemp("", "conmotion-artifact-*"); err != nil {
			return nil, err
		}
		c.spooled, into = true, io.MultiWriter(hash, c.file)
	}
	c.size, err = io.Copy(into, reader.Metered(ctx, in, func(done int64) {
		p.Show(func() string { return fmt.Sprintf("%s: hashed %s", name, amount(done, -1)) })
	}))
	if err != nil {
		c.Close()
		return nil, err
	}
	c.digest = reader.Digest(hash.Sum(nil))
	return c, nil
}

func (c *content) put(ctx context.Context, store *client.Artifacts) (created bool, err error) {
	return store.Put(ctx, c.digest, c, c.size)
}

// ReadAt implements io.ReaderAt, and shows how far it is.
func (c *content) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.file.ReadAt(p, off)
	c.p.Show(func() string { return fmt.Sprintf("%s: sent %s", c.name, amount(off+int64(n), c.size)) })
	return n, err
}

// Close closes the file, and removes it if it is the temporary one.
func (c *content) Close() error {
	err := c.file.Close()
	if c.spooled {
		err = errors.Join(err, os.Remove(c.file.Name()))
	}
	return err
}
