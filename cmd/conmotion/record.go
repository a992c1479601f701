package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/disclosure"
	"github.com/conmotion/conmotion/monitor/importer"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// recordFlags are the flags of the commands that register events.
type recordFlags struct {
	readFlags
	signerFlags
	log, out, outDir  string
	also              []string
	inline, keepGoing bool
	disclosable       []string
	scanFlags
}

// services are --log, and each --also.
func (f *recordFlags) services() []string { return append([]string{f.log}, f.also...) }

func (f *recordFlags) add(cmd *cobra.Command) {
	f.addWriting(cmd)
	f.signerFlags.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the Transparency Service")
	cli.Strings(fl, &f.also, "also", "URL of a further service that gets the same statements; once for each")
	fl.StringVar(&f.out, "out", "", `file for the Transparent Statement of a single event, or "-"`)
	fl.StringVar(&f.outDir, "out-dir", "", "directory for the Transparent Statements of many, by entry id")
	fl.BoolVar(&f.inline, "inline", false, "put the events into the statements, for everybody to read, in place of their hashes")
	fl.BoolVar(&f.keepGoing, "keep-going", false, "continue after events that are not valid or are refused")
	cli.Strings(fl, &f.disclosable, "disclosable", "hide these fields, so that each can be shown later: the end of their paths, such as environment.variables.*; once for each (conmotion disclose)")
	f.scanFlags.add(cmd)
	cli.Require(cmd, "log")
	cmd.MarkFlagsMutuallyExclusive("out", "out-dir")
}

const recordHelp = `
Each event is checked against OCSF 1.5.0, gets its metadata.event_code, and is
brought into one form (RFC 8785). Another version of 1.x, times that are not in
milliseconds and an event_code of the source's own are put right, with a notice:
the originals are kept in unmapped.original. It is stored in the service's artifact storage
and its hash is signed, or with --inline the event itself. The statement is
linked to the issuer's last one, registered, and its Receipt verified. With --also
further services register the same statement, and it has the Receipts of all. A
service that has the content with another signature, which anybody can make of an
ECDSA one, keeps that: it is written to NAME.2.cose, as conmotion submit does.

--disclosable hides fields behind salted hashes: their names stay, and each value can
be shown later to whom it concerns (conmotion disclose), proven by what was signed.
The values and the secret that the salts are made of are in the home (disclosures,
disclosure.key), durable before anything is sent. Save them: without them nobody can
show a value any more, and the records stay valid.

An EVENT is a file with one event, an array of them or one on each line, a
directory or .zip of such files, or "-" for standard input. The action (create,
modify, delete) stands before them, or in each event as metadata.event_code; a
file of such a name is given as ./create.

An event is recorded once: what the issuer has recorded in this log before is
told as already recorded, however often and from wherever it comes. So a run that
was interrupted can be started again. An event that is not valid, or is refused,
ends the run with exit code 1, with all events before it registered and none
behind it; with --keep-going the others are registered all the same, and each that
is not is told with its line.
` + scanHelp + cli.HomeHelp

func (a *app) record() *cobra.Command {
	return a.recordGroup(scitt.TypeRecord, "record", "Register inventory and configuration records",
		"Register what happened to one's own infrastructure: the inventory of assets and\ntheir configuration, as OCSF events in the issuer's chain of records.")
}

func (a *app) observe() *cobra.Command {
	return a.recordGroup(scitt.TypeObservation, "observe", "Register an auditor's own observations",
		"Register what an auditor has observed themselves of somebody's infrastructure:\nthe same events as record takes, as observations that compare holds against the\nother's records.")
}

func (a *app) recordGroup(typ, name, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long + "\n" + recordHelp, Args: cobra.NoArgs,
		Example: fmt.Sprintf(`  conmotion %[1]s inventory create --log https://transparency.example --key issuer.pem --out t.cose event.json
  conmotion %[1]s config modify --log https://transparency.example --key issuer.pem --keep-going events.jsonl`, name),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.recordKind(typ, name, "inventory", monitor.Inventory), a.recordKind(typ, name, "config", monitor.Configuration))
	return cmd
}

func (a *app) recordKind(typ, parent, name string, kind monitor.Kind) *cobra.Command {
	var f recordFlags
	var upstream []string
	cmd := &cobra.Command{
		Use:   name + " [create|modify|delete] --log URL --key FILE EVENT...",
		Short: fmt.Sprintf("Register %s events", kind),
		Long:  fmt.Sprintf("Register OCSF events about the %s: docs/monitoring.md says which classes\nthere are and what of them counts.\n", kind) + recordHelp,
		Example: fmt.Sprintf(`  conmotion %[1]s %[2]s create --log https://transparency.example --key issuer.pem --out t.cose event.json
  conmotion %[1]s %[2]s --log https://transparency.example --also https://auditor.example --key issuer.pem --out-dir done events.jsonl
  collector | conmotion %[1]s %[2]s modify --log https://transparency.example --key issuer.pem --inline -`, parent, name),
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var action monitor.Action
			switch a := monitor.Action(args[0]); a {
			case monitor.Create, monitor.Modify, monitor.Delete:
				action, args = a, args[1:]
			}
			if len(args) == 0 {
				return cli.Usage(fmt.Errorf(`which events? Give files, or "-" for standard input`))
			}
			if err := allThere(args); err != nil {
				return err
			}
			refs, err := a.upstream(cmd.Context(), f.readFlags, upstream)
			if err != nil {
				return err
			}
			m := eventMaker{typ: typ, kind: kind, action: action, hash: !f.inline, refs: refs}
			for _, text := range f.disclosable {
				p, err := disclosure.ParsePattern(text)
				if err != nil {
					return cli.Usage(fmt.Errorf("--disclosable: %w", err))
				}
				m.patterns = append(m.patterns, p)
			}
			if len(m.patterns) > 0 {
				if m.secrets, err = a.secrets(cmd.Context(), f.Home); err != nil {
					return err
				}
			}
			return a.runRecord(cmd.Context(), f, typ, func(func([]byte) bool) iter.Seq[func() party.Input] { return a.events(cmd.Context(), args, m) })
		},
	}
	f.add(cmd)
	cli.Strings(cmd.Flags(), &upstream, "upstream", "URL of an entry of another log that the events refer to, such as the provider's record of the asset; once for each")
	return cmd
}

// eventMaker makes drafts of events.
type eventMaker struct {
	typ    string
	valid  bool // the events have been checked
	known  bool // the log has them
	kind   monitor.Kind
	action monitor.Action // "" as the event says
	hash   bool
	refs   []monitor.EntryRef // of other logs, that are put into the events
	secrets
	patterns []disclosure.Pattern // of the fields that are hidden
}

// secrets are where the hidden values of events are kept.
type secrets struct {
	home   party.Home
	secret *disclosure.Secret
}

func (a *app) secrets(ctx context.Context, home string) (s secrets, err error) {
	if s.home, err = a.HomeOf(home); err == nil {
		s.secret, err = s.home.DisclosureSecret(ctx)
	}
	return s, err
}

// keep keeps what was hidden in a payload, before that is registered.
func (s secrets) keep(payload []byte, disclosures []string) error {
	if len(disclosures) == 0 {
		return nil
	}
	return s.home.KeepDisclosures(&disclosure.Document{Payload: payload, Disclosures: disclosures})
}

// upstream finds the entries of other logs that events refer to.
func (a *app) upstream(ctx context.Context, f readFlags, names []string) (refs []monitor.EntryRef, err error) {
	f.VKeys = nil // they are those of --log
	for _, name := range names {
		l, e, err := a.findEntry(ctx, name, "", f)
		if err != nil {
			return nil, fmt.Errorf("--upstream: %w", err)
		}
		if err := l.VerifyStatement(e.Statement); err != nil {
			return nil, cli.Bad(fmt.Errorf("--upstream %s: %w", name, err))
		}
		refs = append(refs, l.Ref(e))
	}
	return refs, nil
}

// draft makes the draft of an event that is a record.
func (m eventMaker) draft(event []byte) (party.Draft, string, error) {
	if len(m.refs) > 0 {
		var err error
		if event, err = monitor.WithUpstream(event, m.refs); err != nil {
			return party.Draft{}, "", err
		}
	}
	var r *monitor.Record
	var err error
	switch {
	case m.known:
		r, err = monitor.KnownRecord(event)
	case m.valid:
		r, err = monitor.ValidRecord(event, m.kind, m.action)
	default:
		r, err = monitor.NewRecord(event, m.kind, m.action)
	}
	if err == nil && len(m.patterns) > 0 {
		r, err = m.hide(r)
	}
	if err != nil {
		return party.Draft{}, "", err
	}
	payload, o, err := r.ToSign()
	o.Type, o.Hash = m.typ, m.hash
	return party.Draft{Content: payload, Options: o, Chain: string(m.kind), Event: r.Event}, r.Event.Code(), err
}

// hide hides fields of a record, and keeps what they were.
func (m eventMaker) hide(r *monitor.Record) (*monitor.Record, error) {
	identity := ""
	switch e := r.Event; {
	case len(e.Assets) > 0:
		identity = e.Assets[0]
	case len(e.Configurations) > 0:
		identity = e.Configurations[0].UID
	}
	d, err := m.secret.HideFields(identity, r.Payload, m.patterns)
	if err != nil {
		return nil, err
	}
	if len(d.Disclosures) == 0 {
		return nil, hidesNothing()
	}
	if r, err = monitor.NewRecord(d.Payload, r.Event.Kind, r.Event.Action); err != nil {
		return nil, fmt.Errorf("with what --disclosable hides: %w", err)
	}
	return r, m.keep(r.Payload, d.Disclosures)
}

// hidesNothing says so of patterns of --disclosable: what is registered in the clear cannot be taken back.
func hidesNothing(patterns ...string) error {
	return fmt.Errorf("%s hides nothing in it: give the end of a path that it has, or leave the flag out", strings.Join(append([]string{"--disclosable"}, patterns...), " "))
}

// where returns where an input begins.
func where(in party.Input) string {
	name := in.File
	if name == "-" {
		name = "standard input"
	}
	if in.Line == 0 {
		return name
	}
	return fmt.Sprintf("%s:%d", name, in.Line)
}

// events are the events in files: each call of what it gives makes one.
func (a *app) events(ctx context.Context, files []string, m eventMaker) iter.Seq[func() party.Input] {
	return readEach(ctx, a, files, func(in io.Reader) iter.Seq2[importer.Raw, error] { return importer.Split(in, importer.Options{}) },
		func(raw importer.Raw, err error) party.Input {
			in := party.Input{Line: raw.Position.Line, Err: unplaced(err)}
			if err != nil {
				return in
			}
			if in.Draft, in.Code, in.Err = m.draft(raw.JSON); in.Err == nil {
				return in
			}
			if event, did := importer.Repair(raw.JSON); did != nil {
				in.Draft, in.Code, in.Err = m.draft(event)
				in.Told = did
			}
			return in
		})
}

// readEach gives a job for each item of each file, which makes the input out of it.
func readEach[T any](ctx context.Context, a *app, files []string, read func(io.Reader) iter.Seq2[T, error], input func(T, error) party.Input) iter.Seq[func() party.Input] {
	return func(yield func(func() party.Input) bool) {
		for _, file := range files {
			ok := true
			err := a.reading(ctx, file, func(file string, in io.Reader) bool {
				n := 0
				defer func() { a.nothingIn(file, n) }()
				for item, err := range read(in) {
					n++
					if ok = yield(func() party.Input {
						out := input(item, err)
						out.File = file
						return out
					}); !ok {
						break
					}
				}
				return ok
			})
			if err != nil && ok {
				ok = yield(func() party.Input { return party.Input{File: file, Err: err} })
			}
			if !ok {
				return
			}
		}
	}
}

// nothingIn tells of an input with nothing in it.
func (a *app) nothingIn(file string, items int) {
	if items == 0 {
		a.Notice("notice: no records in %s", where(party.Input{File: printable.Line(file)}))
	}
}

// reading opens the inputs that a name stands for, until f returns false.
func (a *app) reading(ctx context.Context, name string, f func(file string, in io.Reader) bool) error {
	err := importer.Walk(ctx, name, a.Stdin, f)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return cli.Usage(err)
	}
	return err
}

// unplaced is an error of reading events, without the place that stands before
// it anyway. That a file cannot be read is nothing about the events.
func unplaced(err error) error {
	if p, ok := errors.AsType[*importer.Problem](err); ok {
		return errors.New(p.Reason)
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return cli.Usage(err)
	}
	return err
}

// unreadable reports whether an error ends a run whatever the flags say.
func unreadable(err error) bool {
	return cli.IsUsage(err)
}

// allThere says of files that are not there before anything is done.
func allThere(files []string) error {
	for _, file := range files {
		if _, err := os.Stat(file); err != nil && file != "-" {
			return cli.Usage(err)
		}
	}
	return nil
}
