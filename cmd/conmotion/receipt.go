package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
)

// receiptFlags are the flags of receipt.
type receiptFlags struct {
	log, static, statement, out string
	format                      string
	cli.MemoryFlags
	index                uint64
	byIndex, transparent bool
}

func (a *app) receipt() *cobra.Command {
	var f receiptFlags
	cmd := &cobra.Command{
		Use:   "receipt (--log URL ID | --static URL-or-DIR (--statement FILE | --index N))",
		Short: "Get the receipt of an entry, from a service or from static files",
		Long: `Get the Receipt of an entry that is in a log.

With --log it comes from the service, and is verified with the service's keys; ID
is an entry id or the index of a leaf. A Receipt is for the bytes of a statement:
they are read from the log's files, unless --statement or --transparent gives
them. When a service shows no such files, a Receipt by ID alone is written without
being verified, and the exit code is 2.

With --static it is built from the log's files alone, on a disk or on any file
server: the checkpoint, which carries the signature, and the tiles on the way
from the entry to the root. No service is needed. A statement is searched from
the newest entry to the oldest; --index says where it is. --format tlog-proof gives
the same proof with the whole checkpoint, for verifiers of other tiled logs.
` + serviceHelp,
		Example: `  conmotion receipt --log http://127.0.0.1:8080 --out receipt.cose 2
  conmotion receipt --static conmotion-data/public --statement s.cose --out receipt.cose
  conmotion receipt --static https://transparency.example --index 2 --transparent --out transparent.cose`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.byIndex = cmd.Flags().Changed("index")
			if f.format != "receipt" && (f.format != "tlog-proof" || f.static == "" || f.transparent) {
				return cli.Usage(errors.New("--format is receipt or tlog-proof, which goes with --static and without --transparent"))
			}
			return a.runReceipt(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the Transparency Service")
	fl.StringVar(&f.static, "static", "", "URL or directory with the log's files")
	fl.StringVar(&f.statement, "statement", "", "file with the statement")
	fl.Uint64Var(&f.index, "index", 0, "index of the entry; with --static")
	fl.BoolVar(&f.transparent, "transparent", false, "give the Transparent Statement, which is the entry with its receipt, and the one by the log's ML-DSA-44 key where it has one")
	fl.StringVar(&f.format, "format", "receipt", "receipt, or tlog-proof for the same proof in the form of C2SP tlog-proof; with --static")
	fl.StringVar(&f.out, "out", "-", "file for the result")
	f.MemoryFlags.Add(cmd)
	cmd.MarkFlagsMutuallyExclusive("log", "static")
	cmd.MarkFlagsOneRequired("log", "static")
	cmd.MarkFlagsMutuallyExclusive("statement", "index")
	return cmd
}

func (a *app) runReceipt(ctx context.Context, f receiptFlags, args []string) (err error) {
	w := verify.Wanted{Index: f.index, Transparent: f.transparent}
	if f.statement != "" {
		if w.Statement, err = a.readStatement(ctx, f.statement); err != nil {
			return err
		}
	}
	switch {
	case f.log != "" && (len(args) == 1) == (w.Statement != nil), f.log != "" && f.byIndex:
		return cli.Usage(errors.New("--log needs the ID of an entry, or --statement"))
	case f.log == "" && (len(args) == 1 || w.Statement == nil && !f.byIndex):
		return cli.Usage(errors.New("--static needs --statement or --index, and no ID"))
	}
	o, err := a.LogOptions(ctx, f.MemoryFlags)
	if err != nil {
		return err
	}
	if f.log != "" {
		if len(args) == 1 {
			w.ID = args[0]
		}
		got, err := w.FromService(ctx, f.log, o)
		if err != nil {
			return err
		}
		return errors.Join(a.printReceipt(ctx, f, got), cli.Usage(got.Unverified))
	}
	log, err := party.Open(ctx, f.static, o)
	if err != nil {
		return err
	}
	p := a.Progress()
	defer p.Done()
	if f.format == "tlog-proof" {
		data, err := w.TLogProof(ctx, log, p.Of("search"))
		if err != nil {
			return err
		}
		return a.WriteOutput(ctx, f.out, data)
	}
	got, err := w.FromFiles(ctx, log, p.Of("search"))
	if err != nil {
		return err
	}
	p.Done()
	return a.printReceipt(ctx, f, got)
}

// readStatement reads a Signed or Transparent Statement.
func (a *app) readStatement(ctx context.Context, path string) (*scitt.Statement, error) {
	data, err := a.ReadInput(ctx, path)
	if err != nil {
		return nil, err
	}
	st, err := scitt.DecodeStatement(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return st, nil
}

// gotReceipt is a Receipt, or a Transparent Statement, that was fetched or made.
type gotReceipt struct {
	EntryID  string  `json:"entry_id,omitempty"` // of the statement, where it is known
	Index    *uint64 `json:"index,omitempty"`    // where the Receipt says it
	TreeSize uint64  `json:"tree_size,omitempty"`
	Log      string  `json:"log"`
	Issuer   string  `json:"issuer"` // of the Receipt
	IssuedAt string  `json:"issued_at"`
	File     string  `json:"file,omitempty"`
	Data     []byte  `json:"data,omitempty"` // its bytes, where there is no file
}

// printReceipt writes the result, and says what it is.
func (a *app) printReceipt(ctx context.Context, f receiptFlags, got *verify.Got) error {
	r := got.Receipt
	info := gotReceipt{Issuer: r.Issuer, Log: r.Subject, IssuedAt: printable.Time(r.IssuedAt)}
	if got.Statement != nil {
		info.EntryID = got.Statement.ID().String()
	}
	entry := verify.PlaceOf(r)
	if index, size, ok := r.Place(); ok {
		info.Index, info.TreeSize = &index, size
		entry = fmt.Sprintf("%d of %d", index, size)
	}
	if f.out == "-" {
		info.Data = got.Data
		return a.PrintData(info, got.Data)
	}
	if err := a.WriteOutput(ctx, f.out, got.Data); err != nil {
		return err
	}
	info.File = f.out
	return a.Print(info, cli.Rows([][]string{{"entry id", info.EntryID}, {"entry", entry},
		{"log", r.Subject}, {"issuer", r.Issuer}, {"signed", printable.Time(r.IssuedAt)}, {"wrote", f.out}}))
}
