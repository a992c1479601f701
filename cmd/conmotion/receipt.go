package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/scitt"
)

// receiptFlags are the flags of receipt.
type receiptFlags struct {
	log, static, statement, out string
	memoryFlags
	index                uint64
	byIndex, transparent bool
}

func (a *app) receipt() *cobra.Command {
	var f receiptFlags
	cmd := &cobra.Command{
		Use:   "receipt (--log URL ID | --static URL-or-DIR (--statement FILE | --index N))",
		Short: "Get the receipt of an entry, from a service or from static files",
		Long: `Get the Receipt of an entry that is in a log.

With --log it comes from the service; ID is an entry id or the index of a leaf.
With --static it is built from the log's files alone, on a disk or on any file
server: the checkpoint, which carries the signature, and the tiles on the way
from the entry to the root. No service is needed. A statement is searched from
the newest entry to the oldest; --index says where it is.

` + homeHelp,
		Example: `  conmotion receipt --log http://127.0.0.1:8080 --out receipt.cose 2
  conmotion receipt --static conmotion-data/public --statement s.cose --out receipt.cose
  conmotion receipt --static https://transparency.example --index 2 --transparent --out transparent.cose`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.byIndex = cmd.Flags().Changed("index")
			return a.runReceipt(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the Transparency Service")
	fl.StringVar(&f.static, "static", "", "URL or directory with the log's files")
	fl.StringVar(&f.statement, "statement", "", "file with the statement")
	fl.Uint64Var(&f.index, "index", 0, "index of the entry; with --static")
	fl.BoolVar(&f.transparent, "transparent", false, "give the Transparent Statement, which is the entry with its receipt")
	fl.StringVar(&f.out, "out", "-", "file for the result")
	f.memoryFlags.add(cmd)
	cmd.MarkFlagsMutuallyExclusive("log", "static")
	cmd.MarkFlagsOneRequired("log", "static")
	cmd.MarkFlagsMutuallyExclusive("log", "vkey")
	cmd.MarkFlagsMutuallyExclusive("statement", "index")
	return cmd
}

func (a *app) runReceipt(ctx context.Context, f receiptFlags, args []string) error {
	var st *scitt.Statement
	if f.statement != "" {
		var err error
		if st, err = a.readStatement(f.statement); err != nil {
			return err
		}
	}
	var data []byte
	var err error
	switch {
	case f.log != "" && len(args) == 0 && st == nil, f.log != "" && len(args) == 1 && st != nil, f.log != "" && f.byIndex:
		return usage(errors.New("--log needs the ID of an entry, or --statement"))
	case f.log != "" && st != nil:
		data, err = a.receiptFromService(ctx, f, st.ID().String())
	case f.log != "":
		data, err = a.receiptFromService(ctx, f, args[0])
	case len(args) == 1 || (st == nil && !f.byIndex):
		return usage(errors.New("--static needs --statement or --index, and no ID"))
	default:
		data, err = a.receiptFromFiles(ctx, f, st)
	}
	if err != nil {
		return err
	}
	return a.printReceipt(f, data)
}

// readStatement reads a Signed or Transparent Statement.
func (a *app) readStatement(path string) (*scitt.Statement, error) {
	data, err := a.readInput(path)
	if err != nil {
		return nil, err
	}
	st, err := scitt.DecodeStatement(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return st, nil
}

func (a *app) receiptFromService(ctx context.Context, f receiptFlags, id string) ([]byte, error) {
	c, err := a.connect(f.log, 1)
	if err != nil {
		return nil, usage(fmt.Errorf("--log: %w", err))
	}
	if f.transparent {
		return c.TransparentStatement(ctx, id)
	}
	return c.Receipt(ctx, id)
}

// receiptFromFiles builds the receipt. Its proof and the signature on its
// root have been verified when it returns.
func (a *app) receiptFromFiles(ctx context.Context, f receiptFlags, st *scitt.Statement) ([]byte, error) {
	log, err := a.openLog(ctx, f.static, readFlags{memoryFlags: f.memoryFlags})
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
			return nil, bad(fmt.Errorf("the log %s of %d entries does not hold the statement %s", view.Checkpoint.Origin, view.Checkpoint.Size, st.ID()))
		}
	} else {
		if index >= view.Checkpoint.Size {
			return nil, bad(fmt.Errorf("index %d is not below the log's size %d", index, view.Checkpoint.Size))
		}
		entry, err := view.Entry(ctx, index)
		if err != nil {
			return nil, err
		}
		if st, err = scitt.DecodeStatement(entry); err != nil {
			return nil, fmt.Errorf("entry %d: %w", index, err)
		}
	}
	receipt, err := view.Receipt(ctx, index, scitt.LeafHash(st.Entry()))
	if err != nil || !f.transparent {
		return receipt, err
	}
	return scitt.AttachReceipts(st, receipt), nil
}

// printReceipt writes the result, and says what it is. Whatever came from a
// service has to have the form that it should have.
func (a *app) printReceipt(f receiptFlags, data []byte) error {
	receipt := data
	info := map[string]any{}
	rows := [][]string{}
	if f.transparent {
		st, err := scitt.DecodeStatement(data)
		if err != nil {
			return fmt.Errorf("transparent statement: %w", err)
		}
		if len(st.Receipts) == 0 {
			return bad(errors.New("the transparent statement carries no receipt"))
		}
		receipt = st.Receipts[0]
		info["entry_id"] = st.ID().String()
		rows = append(rows, []string{"entry id", st.ID().String()})
	}
	r, err := scitt.ParseReceipt(receipt)
	if err != nil {
		return err
	}
	info["issuer"], info["log"], info["issued_at"] = r.Issuer, r.Subject, timeOf(r.IssuedAt)
	entry := placeOfReceipt(r)
	if index, size, ok := r.Place(); ok {
		info["index"], info["tree_size"] = index, size
		entry = fmt.Sprintf("%d of %d", index, size)
	}
	rows = append(rows, []string{"entry", entry},
		[]string{"log", r.Subject}, []string{"issuer", r.Issuer}, []string{"signed", timeOf(r.IssuedAt)})
	if f.out == "-" && a.json {
		info["data"] = data // base64
		return a.printJSON(info)
	}
	if f.log != "" {
		a.notice("notice: not verified; use conmotion verify")
	}
	if err := a.writeOutput(f.out, data); err != nil || f.out == "-" {
		return err
	}
	if a.json {
		info["file"] = f.out
		return a.printJSON(info)
	}
	return a.printRows(append(rows, []string{"wrote", f.out}))
}
