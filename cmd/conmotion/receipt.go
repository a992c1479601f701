package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/monitor/verify"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
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

func (a *app) runReceipt(ctx context.Context, f receiptFlags, args []string) error {
	var st *scitt.Statement
	if f.statement != "" {
		var err error
		if st, err = a.readStatement(ctx, f.statement); err != nil {
			return err
		}
	}
	var data []byte
	var unverified, err error
	switch {
	case f.log != "" && len(args) == 0 && st == nil, f.log != "" && len(args) == 1 && st != nil, f.log != "" && f.byIndex:
		return cli.Usage(errors.New("--log needs the ID of an entry, or --statement"))
	case f.log != "" && st != nil:
		data, unverified, err = a.receiptFromService(ctx, f, st, st.ID().String())
	case f.log != "":
		data, unverified, err = a.receiptFromService(ctx, f, nil, args[0])
	case len(args) == 1 || (st == nil && !f.byIndex):
		return cli.Usage(errors.New("--static needs --statement or --index, and no ID"))
	default:
		data, err = a.receiptFromFiles(ctx, f, st)
	}
	if err != nil {
		return err
	}
	if f.format == "tlog-proof" {
		return a.WriteOutput(ctx, f.out, data)
	}
	if err := a.printReceipt(ctx, f, data); err != nil {
		return err
	}
	return cli.Usage(unverified)
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

// receiptFromService fetches the receipt of an entry by its id or index, and
// verifies it for a statement: st, the one that comes with it, or else the entry in
// the log's files. Where there is none of them, unverified says so.
func (a *app) receiptFromService(ctx context.Context, f receiptFlags, st *scitt.Statement, id string) (data []byte, unverified, err error) {
	c, err := a.connect(f.log, 1)
	if err != nil {
		return nil, nil, cli.Usage(fmt.Errorf("--log: %w", err))
	}
	o, err := a.LogOptions(ctx, f.MemoryFlags)
	if err != nil {
		return nil, nil, err
	}
	log, keys, err := party.OpenService(ctx, f.log, o)
	if err != nil {
		return nil, nil, err
	}
	fetch := c.Receipt
	if f.transparent {
		fetch = c.TransparentStatement
	}
	if data, err = fetch(ctx, id); err != nil {
		return nil, nil, err
	}
	own, receipts, r, err := f.parts(data)
	if err != nil {
		return nil, nil, err
	}
	index, _, placed := r.Place()
	switch {
	case own != nil:
		st = own
	case st != nil:
	case log == nil:
		return data, errors.New("not verified: the service shows no files of a log, which would have the statement; give it with --statement"), nil
	case !placed:
		return nil, nil, cli.Bad(fmt.Errorf("%w: the service's receipt does not say where the entry is", scitt.ErrProof))
	default:
		if index >= log.View.Checkpoint.Size { // it has grown since it was opened
			if err := log.Refresh(ctx, o); err != nil {
				return nil, nil, err
			}
		}
		if st, err = entryAt(ctx, log.View, index); err != nil {
			return nil, nil, err
		}
	}
	// A service of other software may have identifiers of its own.
	if (log != nil || f.statement != "") && id != st.ID().String() && (!placed || id != strconv.FormatUint(index, 10)) {
		return nil, nil, cli.Bad(fmt.Errorf("asked for %s, the service gave the receipt of %s, %s", id, verify.PlaceOf(r), st.ID()))
	}
	checked, err := witness.Keys{Named: keys}.Verify(st, receipts, time.Now())
	if err != nil {
		return nil, nil, err
	}
	for _, v := range checked {
		if v.Err != nil {
			return nil, nil, cli.Bad(fmt.Errorf("the service's receipt for the statement %s is not good: %w", st.ID(), v.Err))
		}
	}
	return data, nil, nil
}

// parts are the receipts in a result, the first of them read, and with
// --transparent the statement that they are for.
func (f receiptFlags) parts(data []byte) (st *scitt.Statement, receipts [][]byte, first *scitt.Receipt, err error) {
	receipts = [][]byte{data}
	if f.transparent {
		if st, err = scitt.DecodeStatement(data); err != nil {
			return nil, nil, nil, fmt.Errorf("transparent statement: %w", err)
		}
		if receipts = st.Receipts; len(receipts) == 0 {
			return nil, nil, nil, cli.Bad(errors.New("the transparent statement carries no receipt"))
		}
	}
	first, err = scitt.ParseReceipt(receipts[0])
	return st, receipts, first, err
}

// entryAt reads the statement that is an entry of a log.
func entryAt(ctx context.Context, view *tiles.View, index uint64) (*scitt.Statement, error) {
	if size := view.Checkpoint.Size; index >= size {
		return nil, cli.Bad(fmt.Errorf("index %d is not below the log's size %d", index, size))
	}
	entry, err := view.Entry(ctx, index)
	if err != nil {
		return nil, err
	}
	st, err := scitt.DecodeEntry(entry)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return st, nil
}

// receiptFromFiles builds the receipt. Its proof and the signature on its
// root have been verified when it returns.
func (a *app) receiptFromFiles(ctx context.Context, f receiptFlags, st *scitt.Statement) ([]byte, error) {
	log, err := a.openLog(ctx, f.static, readFlags{MemoryFlags: f.MemoryFlags})
	if err != nil {
		return nil, err
	}
	view, index := log.View, f.index
	if st != nil {
		var found bool
		if index, found, err = a.findStatement(ctx, view, st); err != nil {
			return nil, err
		}
		if !found {
			return nil, cli.Bad(fmt.Errorf("the log %s of %d entries does not hold the statement %s", view.Checkpoint.Origin, view.Checkpoint.Size, st.ID()))
		}
	} else {
		if st, err = entryAt(ctx, view, index); err != nil {
			return nil, err
		}
	}
	if f.format == "tlog-proof" {
		p, err := view.Inclusion(ctx, index, scitt.LeafHash(st.Entry()))
		if err != nil {
			return nil, err
		}
		return verify.MarshalProof(p, view.Checkpoint.Raw), nil
	}
	receipts, err := view.Receipts(ctx, index, scitt.LeafHash(st.Entry()))
	if err != nil {
		return nil, err
	}
	if !f.transparent {
		return receipts[0], nil
	}
	return scitt.AttachReceipts(st, receipts...), nil
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

// printReceipt writes the result, and says what it is. Whatever came from a
// service has to have the form that it should have.
func (a *app) printReceipt(ctx context.Context, f receiptFlags, data []byte) error {
	st, _, r, err := f.parts(data)
	if err != nil {
		return err
	}
	info := gotReceipt{Issuer: r.Issuer, Log: r.Subject, IssuedAt: printable.Time(r.IssuedAt)}
	rows := [][]string{}
	if st != nil {
		info.EntryID = st.ID().String()
		rows = append(rows, []string{"entry id", info.EntryID})
	}
	entry := verify.PlaceOf(r)
	if index, size, ok := r.Place(); ok {
		info.Index, info.TreeSize = &index, size
		entry = fmt.Sprintf("%d of %d", index, size)
	}
	rows = append(rows, []string{"entry", entry},
		[]string{"log", r.Subject}, []string{"issuer", r.Issuer}, []string{"signed", printable.Time(r.IssuedAt)})
	if f.out == "-" {
		info.Data = data
		return a.PrintData(info, data)
	}
	if err := a.WriteOutput(ctx, f.out, data); err != nil {
		return err
	}
	info.File = f.out
	return a.Print(info, cli.Rows(append(rows, []string{"wrote", f.out})))
}
