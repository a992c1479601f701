package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/importer"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// importFlags are the flags of import.
type importFlags struct {
	recordFlags
	observe, dryRun, inventory bool
	time                       string
	own                        map[string]*string // flags of the source, by name
	redact, keep               []string
}

const importHelp = `
An EXPORT is a file, a directory, of which all files are read, a .zip, or "-" for
standard input. gzip, UTF-16 and Apache Parquet are read too.

The items of all files are put in the order of their times. Each event is registered
as record does it, and once, so that an import can be interrupted and started again,
and the next export registers what is new in it. It is held to what the issuer's log
says already: what is older than that is late, such as an item of an export that lags
behind a feed. It is reported and not registered, unless --allow-late records it as a
correction, which a replay puts at its own time. What cannot be mapped is reported with
its line, never dropped: all else is registered. The exit code is 1 for both.

Fields that are known to hold secrets (environments, user data, connection strings,
passwords, Kubernetes' Secrets: docs/monitoring.md has the table) are taken out before
anything is made of an item: {"...":"redacted"} stands there. It is said how many, by
kind. --redact takes out more, --keep less: the end of a field's path, such as
environment.variables.*, or @KIND or @all of the table. --disclosable hides a field so
that it can be shown later (conmotion disclose), as record does it; one that hides
nothing ends the run with exit code 2, before anything is registered. With
--dry-run the events are printed as JSON lines, in the form that would be registered,
and nothing is.
` + scanHelp + cli.HomeHelp

func (a *app) importing() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import", Short: "Register records from what clouds, scanners and tools export",
		Long: "Read a real export, turn its items into OCSF 1.5.0 events, and register them.\n" + importHelp,
		Example: `  conmotion import aws-config --log https://transparency.example --key issuer.pem snapshot.json.gz
  conmotion import gcp-cai --dry-run export.jsonl | less
  conmotion import gcp-cai --complete project=123 --started 2026-11-02T09:00:00Z --ended 2026-11-02T09:05:00Z \
      --log https://transparency.example --key issuer.pem export.jsonl
  conmotion import prowler --observe --inventory --log https://auditor.example --key auditor.pem scan.ocsf.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, format := range importer.Formats() {
		cmd.AddCommand(a.importFormat(format))
	}
	return cmd
}

func (a *app) importFormat(format importer.Format) *cobra.Command {
	f := importFlags{own: map[string]*string{}}
	needed := ""
	for _, flag := range format.Flags {
		if flag.Required {
			needed += fmt.Sprintf(" --%s %s", flag.Name, strings.ToUpper(flag.Name))
		}
	}
	cmd := &cobra.Command{
		Use: format.Name + needed + " --log URL --key FILE EXPORT...", Short: format.Short, Long: format.Long + "\n\nThis makes such a file:\n  " + format.Tool + "\n" + importHelp,
		Example: fmt.Sprintf(`  conmotion import %[1]s --log https://transparency.example --key issuer.pem export.json
  conmotion import %[1]s --dry-run -`, format.Name+needed),
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.keepGoing = true
			if err := allThere(args); err != nil {
				return err
			}
			if !f.dryRun && (f.log == "" || f.key == "") {
				return cli.Usage(errors.New(`required flag(s) "log", "key" not set, or --dry-run`))
			}
			now := time.Now()
			o := importer.Options{Inventory: f.inventory, Collected: f.scans()}
			if f.time != "" {
				var err error
				if o.Time, err = parseTime("time", f.time, now); err != nil {
					return err
				}
			}
			m := eventMaker{typ: scitt.TypeRecord, hash: !f.inline, valid: true}
			var err error
			if o.Redact, err = a.redactor(cmd.Context(), f, &m); err != nil {
				return err
			}
			defer func() { a.redacted(o.Redact) }()
			if f.observe {
				m.typ = scitt.TypeObservation
			}
			if err := f.ownFlags(cmd.Context(), format, &o); err != nil {
				return err
			}
			events := func(known func([]byte) bool) iter.Seq[func() party.Input] {
				o.Known = known
				return a.imported(cmd.Context(), args, m, o, format.Read)
			}
			if f.dryRun {
				return a.printEvents(cmd.Context(), events(nil))
			}
			return a.runRecord(cmd.Context(), f.recordFlags, m.typ, events)
		},
	}
	f.add(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&f.observe, "observe", false, "register observations, as observe does")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the events and register nothing")
	fl.BoolVar(&f.allowLate, "allow-late", false, "register what is older than what the log says as a correction")
	cli.Strings(fl, &f.redact, "redact", "take these fields out too: the end of their paths, such as parameters[].value; once for each")
	cli.Strings(fl, &f.keep, "keep", "keep these fields although they are known to hold secrets; a path's end, @KIND or @all; once for each")
	fl.StringVar(&f.time, "time", "", "time of items for which the source gives none")
	if format.Findings {
		fl.BoolVar(&f.inventory, "inventory", false, "make inventory records of the resources too")
	}
	for _, flag := range format.Flags {
		f.own[flag.Name] = fl.String(flag.Name, "", flag.Usage)
		if flag.Required {
			cli.Require(cmd, flag.Name)
		}
	}
	for _, flag := range []string{"log", "key"} {
		delete(fl.Lookup(flag).Annotations, cobra.BashCompOneRequiredFlag)
	}
	if err := fl.MarkHidden("keep-going"); err != nil {
		panic(err) // the flag does not exist: a mistake in this file
	}
	f.holds = true
	return cmd
}

// ownFlags gives an importer the flags of its source.
func (f *importFlags) ownFlags(ctx context.Context, format importer.Format, o *importer.Options) error {
	o.Flags = map[string]string{}
	for _, flag := range format.Flags {
		value := *f.own[flag.Name]
		if flag.File && value != "" {
			data, err := cli.ReadFileFlag(ctx, flag.Name, value)
			if err != nil {
				return err
			}
			value = string(data)
		}
		o.Flags[flag.Name] = value
	}
	if format.Check == nil {
		return nil
	}
	if err := format.Check(o.Flags); err != nil {
		return cli.Usage(err)
	}
	return nil
}

// imported are the events of exports, in the order of their times.
func (a *app) imported(ctx context.Context, names []string, m eventMaker, o importer.Options, read func(io.Reader, importer.Options) iter.Seq2[importer.Item, error]) iter.Seq[func() party.Input] {
	progress := a.Progress()
	items := func(yield func(importer.Item, error) bool) {
		defer progress.Done()
		n := 0
		for _, name := range names {
			ok := true
			err := a.reading(ctx, name, func(file string, in io.Reader) bool {
				o, before := o, n
				o.File = file
				defer func() { a.nothingIn(file, n-before) }()
				for item, err := range read(in, o) {
					if _, isProblem := errors.AsType[*importer.Problem](err); err != nil && !isProblem {
						err = fileError{file, err}
					}
					n++
					progress.Show(func() string { return fmt.Sprintf("read %s, now %s", plural.Of(n, "item"), printable.Line(file)) })
					if ok = ctx.Err() == nil && yield(item, err); !ok {
						break
					}
				}
				return ok
			})
			if err != nil && ok {
				ok = yield(importer.Item{}, fileError{name, err})
			}
			if !ok {
				return
			}
		}
		// Sorted reads all items before it gives one: nothing is registered yet.
		if idle := o.Redact.Idle(); len(idle) > 0 && n > 0 {
			yield(importer.Item{}, cli.Usage(hidesNothing(idle...)))
		}
	}
	return func(yield func(func() party.Input) bool) {
		for item, err := range importer.Sorted(items) {
			if ctx.Err() != nil || !yield(func() party.Input { return m.imported(item, err) }) || unreadable(unplaced(err)) {
				return // behind what ends the run not even artifacts are stored
			}
		}
	}
}

// redactor takes out and hides what the flags say.
func (a *app) redactor(ctx context.Context, f importFlags, m *eventMaker) (*importer.Redactor, error) {
	o := importer.RedactOptions{Redact: f.redact, Keep: f.keep, Disclosable: f.disclosable}
	if len(f.disclosable) > 0 {
		var err error
		if m.secrets, err = a.secrets(ctx, f.Home); err != nil {
			return nil, err
		}
		if o.Secret = m.secret; f.dryRun {
			m.home = "" // nothing is kept of what is not registered
		}
	}
	r, err := importer.NewRedactor(o)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("--%w", err))
	}
	return r, nil
}

// repairs counts the inputs in which something of a kind was put right.
type repairs map[string]int

func (r repairs) add(in party.Input) {
	for _, kind := range in.Told {
		r[kind]++
	}
}

// told says what was put right, each kind in one line.
func (a *app) told(r repairs) {
	for _, kind := range slices.Sorted(maps.Keys(r)) {
		a.Notice("%s put right, with the original in unmapped.original: %s", plural.Verb(r[kind], "event", "was", "were"), kind)
	}
}

// redacted says what was taken out.
func (a *app) redacted(r *importer.Redactor) {
	counts, total := r.Counts(), 0
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		total += counts[kind]
		parts = append(parts, fmt.Sprintf("%d %s", counts[kind], kind))
	}
	if total > 0 {
		a.Notice("%s taken out or hidden: %s", plural.Verb(total, "field", "was", "were"), strings.Join(parts, ", "))
	}
}

// fileError is about a file.
type fileError struct {
	file string
	error
}

func (e fileError) Unwrap() error { return e.error }

// imported makes the input of an item.
func (m eventMaker) imported(item importer.Item, err error) party.Input {
	c := party.Input{File: item.File, Line: item.Position.Line, Told: item.Repairs, Err: unplaced(err)}
	if e, ok := errors.AsType[fileError](err); ok {
		c.File, c.Err = e.file, unplaced(e.error)
	}
	if p, ok := errors.AsType[*importer.Problem](err); ok {
		c.File, c.Line, c.More = p.File, p.Position.Line, p.More
	}
	if err != nil {
		return c
	}
	switch item.Kind {
	case importer.Finding:
		c.Code = importer.Finding
		if c.Content = item.Event; !item.Known {
			c.Content, c.Err = monitor.Canonical(item.Event)
		}
		c.Options = scitt.SignOptions{Type: m.typ, Subject: importer.Finding + "/" + item.AssetUID, ContentType: monitor.ContentType, Hash: m.hash}
	default:
		m.kind, m.action, m.known = monitor.Kind(item.Kind), monitor.Action(item.Action), item.Known
		c.Draft, c.Code, c.Err = m.draft(item.Event)
	}
	if c.Err == nil && m.home != "" {
		c.Err = m.keep(c.Content, item.Disclosures)
	}
	return c
}

// printEvents prints what would be registered, each content once.
func (a *app) printEvents(ctx context.Context, events iter.Seq[func() party.Input]) error {
	seen := map[[sha256.Size]byte]bool{}
	total, not, told := 0, 0, repairs{}
	defer func() { a.told(told) }()
	for c := range party.Inputs(ctx, events) {
		total++
		switch key := sha256.Sum256(c.Content); {
		case unreadable(c.Err):
			return c.Err
		case c.More:
			total--
			a.Notice("%s: %v", where(c), c.Err)
		case c.Err != nil:
			not++
			a.Notice("%s: %v", where(c), c.Err)
		case seen[key]:
		default:
			seen[key] = true
			told.add(c)
			if _, err := fmt.Fprintf(a.Stdout, "%s\n", c.Content); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if total == 0 {
		return cli.Usage(errNothing)
	}
	if not > 0 {
		return cli.Bad(fmt.Errorf("%d of %s cannot be registered", not, plural.Of(total, "item")))
	}
	return nil
}
