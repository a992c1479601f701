package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/importer"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// importFlags are the flags of import.
type importFlags struct {
	recordFlags
	observe, dryRun, inventory bool
}

const importHelp = `
The events are registered as record does it, in the source's order: each once,
so that an import can be interrupted and started again, and the next export
registers what is new in it. What cannot be mapped is told with its line, never
dropped: all else is registered, and the exit code is 1. With --dry-run the events
are printed as JSON lines, in the form that would be registered, and nothing is.
` + cli.HomeHelp

func (a *app) importing() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import", Short: "Register records from AWS Config, Cloud Asset Inventory or Prowler",
		Long: "Read a real export, turn its items into OCSF 1.5.0 events, and register them.\n" + importHelp,
		Example: `  conmotion import aws-config --log https://transparency.example --key issuer.pem snapshot.json.gz
  conmotion import gcp-cai --dry-run export.jsonl | less
  conmotion import prowler --observe --inventory --log https://auditor.example --key auditor.pem scan.ocsf.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.importFormat("aws-config", "Register AWS Config's configuration items",
			"Configuration snapshots, history files and messages of AWS Config become\ninventory and configuration records: ResourceDiscovered creates, OK modifies,\nResourceDeleted deletes.", importer.AWSConfig),
		a.importFormat("gcp-cai", "Register Cloud Asset Inventory's assets",
			"Exports, feeds and histories of Google Cloud Asset Inventory become inventory and\nconfiguration records, with their deletions.", importer.GCPAssets),
		a.importFormat("prowler", "Register Prowler's findings",
			"Prowler's OCSF findings are registered as statements about finding/UID, in no\nchain, unless the policy requires one. With --inventory the resources that they\nname become inventory records too.", importer.Prowler),
	)
	return cmd
}

func (a *app) importFormat(name, short, long string, read func(io.Reader, importer.Options) iter.Seq2[importer.Item, error]) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use: name + " --log URL --key FILE EXPORT...", Short: short, Long: long + "\n" + importHelp,
		Example: fmt.Sprintf(`  conmotion import %[1]s --log https://transparency.example --key issuer.pem export.json
  conmotion import %[1]s --dry-run -`, name),
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.keepGoing = true
			if err := allThere(args); err != nil {
				return err
			}
			events := a.imported(args, f, read)
			if f.dryRun {
				return a.printEvents(cmd.Context(), events)
			}
			if f.log == "" || f.key == "" {
				return cli.Usage(errors.New(`required flag(s) "log", "key" not set, or --dry-run`))
			}
			return a.runRecord(cmd.Context(), f.recordFlags, events)
		},
	}
	f.add(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&f.observe, "observe", false, "register observations, as observe does")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the events and register nothing")
	if name == "prowler" {
		fl.BoolVar(&f.inventory, "inventory", false, "make inventory records of the resources too")
	}
	for _, flag := range []string{"log", "key"} {
		delete(fl.Lookup(flag).Annotations, cobra.BashCompOneRequiredFlag)
	}
	if err := fl.MarkHidden("keep-going"); err != nil {
		panic(err) // the flag does not exist: a mistake in this file
	}
	return cmd
}

// imported are the events of exports.
func (a *app) imported(files []string, f importFlags, read func(io.Reader, importer.Options) iter.Seq2[importer.Item, error]) iter.Seq[func() party.Input] {
	m := eventMaker{typ: scitt.TypeRecord, hash: !f.inline}
	if f.observe {
		m.typ = scitt.TypeObservation
	}
	return readEach(a, files, func(in io.Reader) iter.Seq2[importer.Item, error] {
		return read(in, importer.Options{Inventory: f.inventory})
	}, m.imported)
}

// imported makes the input of an item.
func (m eventMaker) imported(item importer.Item, err error) party.Input {
	c := party.Input{Line: item.Position.Line, Err: unplaced(err)}
	if p, ok := errors.AsType[*importer.Problem](err); ok {
		c.Line = p.Position.Line
	}
	if err != nil {
		return c
	}
	switch item.Kind {
	case importer.Finding:
		c.Code = importer.Finding
		c.Content, c.Err = monitor.Canonical(item.Event)
		c.Options = scitt.SignOptions{Type: m.typ, Subject: importer.Finding + "/" + item.AssetUID, ContentType: monitor.ContentType, Hash: m.hash}
	default:
		m.kind, m.action = monitor.Kind(item.Kind), monitor.Action(item.Action)
		c.Draft, c.Code, c.Err = m.draft(item.Event)
	}
	return c
}

// printEvents prints what would be registered, each content once.
func (a *app) printEvents(ctx context.Context, events iter.Seq[func() party.Input]) error {
	seen := map[[sha256.Size]byte]bool{}
	total, not := 0, 0
	for c := range party.Inputs(ctx, events) {
		total++
		switch key := sha256.Sum256(c.Content); {
		case unreadable(c.Err):
			return c.Err
		case c.Err != nil:
			not++
			a.Notice("%s: %v", where(c), c.Err)
		case seen[key]:
		default:
			seen[key] = true
			if _, err := fmt.Fprintf(a.Stdout, "%s\n", c.Content); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if not > 0 {
		return cli.Bad(fmt.Errorf("%d of %d items cannot be registered", not, total))
	}
	return nil
}
