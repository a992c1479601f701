package main

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

type getFlags struct {
	cli.StoreFlags
	out string
}

func (a *app) artifactGet() *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use: "get --store URL [--out FILE] HASH", Short: "Fetch a file from an artifact storage",
		Long: `Fetch an artifact by its SHA-256, given as 64 hex digits with or without
"sha256:" before them. The file appears, under the name of --out or of the hash,
when all its bytes have come and have that hash; an existing one is replaced, or
left if it is the artifact already. Other bytes are refused, and nothing is left;
more than --max-size are not taken, nor those that come after --max-time.

A download that was interrupted leaves a file beside it whose name begins with a
dot and ends with .partial. The same command goes on from there.

With --out - the bytes go to standard output before they are verified. Only the
exit code reports whether they are good.`,
		Example: `  conmotion artifact get --store https://transparency.example --out image.iso sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runArtifactGet(cmd.Context(), f, args[0]) },
	}
	f.AddReading(cmd, "store", "URL of the service with the artifact storage")
	cmd.Flags().StringVar(&f.out, "out", "", `file for the artifact, or "-" (default: the hash)`)
	cli.Require(cmd, "store")
	return cmd
}

func (a *app) runArtifactGet(ctx context.Context, f getFlags, name string) error {
	digest, err := parseDigest(name)
	if err != nil {
		return err
	}
	store, err := a.Artifacts(ctx, f.StoreFlags, 1)
	if err != nil {
		return err
	}
	p := a.Progress()
	defer p.Done()
	progress := func(done, total int64, what string) {
		p.Show(func() string { return what + " " + amount(done, total) })
	}
	out := cmp.Or(f.out, digest.String())
	if out == "-" {
		return a.artifactToStdout(ctx, store, digest, progress)
	}
	fetched, size, err := store.Download(ctx, digest, out, reader.DownloadOptions{Notice: a.Notice, Progress: progress})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	result := resultThere
	if fetched {
		result = "fetched"
	}
	p.Done()
	got := gotArtifact{out, result, "sha256:" + digest.String(), size}
	return a.Print(got, cli.Rows([][]string{{result, out}, {"verified", got.Digest}, {"bytes", fmt.Sprint(size)}}))
}

// gotArtifact is what artifact get came to.
type gotArtifact struct {
	File   string `json:"file"`
	Result string `json:"result"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

func (a *app) artifactToStdout(ctx context.Context, store *reader.Reader, digest reader.Digest, progress func(done, total int64, what string)) error {
	a.Notice("notice: the bytes are written before they are verified; they are good only if the exit code is 0")
	from, err := store.Open(ctx, digest)
	if err == nil {
		defer from.Close()
		_, err = io.Copy(a.Stdout, reader.Metered(ctx, from, func(done int64) { progress(done, from.Size, "received") }))
	}
	if err != nil {
		return fmt.Errorf("what was written is not the whole artifact: %w", err)
	}
	return nil
}
