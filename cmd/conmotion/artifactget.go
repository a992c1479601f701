package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

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
exit code says whether they are good.`,
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
	store, err := a.Artifacts(f.StoreFlags, 1)
	if err != nil {
		return err
	}
	p := a.Progress()
	defer p.Done()
	d := &download{app: a, store: store, digest: digest, out: f.out, p: p}
	if d.out == "" {
		d.out = digest.String()
	}
	if d.out == "-" {
		return d.toStdout(ctx)
	}
	result, err := d.toFile(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.Done()
	got := gotArtifact{d.out, result, "sha256:" + digest.String(), d.size}
	return a.Print(got, [][]string{{result, d.out}, {"verified", got.Digest}, {"bytes", fmt.Sprint(d.size)}})
}

// gotArtifact is what artifact get came to.
type gotArtifact struct {
	File   string `json:"file"`
	Result string `json:"result"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// download brings one artifact.
type download struct {
	*app
	store  *reader.Reader
	digest reader.Digest
	out    string
	p      *cli.Progress
	size   int64 // bytes that were hashed
}

func (d *download) toStdout(ctx context.Context) error {
	d.Notice("notice: the bytes are written before they are verified; they are good only if the exit code is 0")
	if err := d.receive(ctx, d.Stdout, sha256.New()); err != nil {
		return fmt.Errorf("what was written is not the whole artifact: %w", err)
	}
	return nil
}

func (d *download) has(h hash.Hash) bool { return reader.Digest(h.Sum(nil)) == d.digest }

// toFile says whether it fetched the file or found it.
func (d *download) toFile(ctx context.Context) (result string, err error) {
	switch info, err := os.Stat(d.out); {
	case isMissing(err):
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", cli.Usage(fmt.Errorf("--out %s is there and no file; for a pipe use --out -", d.out))
	default:
		f, err := os.Open(d.out)
		if err != nil {
			return "", err
		}
		defer f.Close()
		h := sha256.New()
		if err := d.hash(ctx, f, h); err != nil {
			return "", err
		}
		if d.has(h) {
			return resultThere, nil
		}
	}
	part, err := openPartial(d.out, d.digest)
	if err != nil {
		return "", err
	}
	err = d.complete(ctx, part)
	if err == nil {
		return "fetched", part.finish()
	}
	kept, closeErr := part.abandon(errors.Is(err, reader.ErrWrong))
	if kept != "" {
		d.Notice("notice: what has come is in %s; the same command goes on from there", kept)
	}
	return "", errors.Join(err, closeErr)
}

// complete brings the file to where its bytes, all of them, have the hash.
func (d *download) complete(ctx context.Context, part *partial) error {
	h := sha256.New()
	if err := d.hash(ctx, part, h); err != nil {
		return err
	}
	if d.size > 0 {
		if d.has(h) {
			return nil // interrupted between the last byte and the name
		}
		d.Notice("going on after %d bytes that are there", d.size)
		err := d.receive(ctx, part, h)
		if !errors.Is(err, reader.ErrWrong) {
			return err
		}
		// Not a beginning of the artifact: once more without it.
		d.Notice("the bytes that were there are wrong; starting again")
		if err := part.empty(); err != nil {
			return err
		}
		h.Reset()
		d.size = 0
	}
	return d.receive(ctx, part, h)
}

// hash reads a file from where it stands to its end.
func (d *download) hash(ctx context.Context, f io.Reader, h hash.Hash) (err error) {
	d.size, err = io.Copy(h, &meter{Reader: f, ctx: ctx, show: func(done int64) {
		d.p.Show(func() string { return "hashed " + amount(done, -1) })
	}})
	return err
}

// receive copies what is missing behind the d.size bytes that are there, whose
// hash is h, and verifies the whole.
func (d *download) receive(ctx context.Context, to io.Writer, h hash.Hash) error {
	offset := d.size
	from, err := d.store.OpenAt(ctx, d.digest, offset, h)
	if err != nil {
		return err
	}
	defer from.Close()
	n, err := io.Copy(to, &meter{Reader: from, ctx: ctx, show: func(done int64) {
		d.p.Show(func() string { return "received " + amount(offset+done, from.Size) })
	}})
	d.size = offset + n
	return err
}
