package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// recording is one run of record, observe or import.
type recording struct {
	*app
	recordFlags
	registrar *party.Registrar
	progress  *cli.Progress
	counts    map[string]int
	repairs   repairs
	total     int
	last      error         // about an event
	seen      *monitor.Seen // nil when it is no scan
}

const (
	resultKnown   = "already recorded"
	resultInvalid = "invalid" // no event that can be registered
	resultLate    = string(party.Late)
	resultSame    = string(party.Unchanged)
)

// recorded is what became of one event.
type recorded struct {
	File     string         `json:"file"`
	Line     int64          `json:"line,omitempty"`
	Result   string         `json:"result"` // registered, already recorded, unchanged, late, refused or invalid
	Code     string         `json:"event_code,omitempty"`
	Subject  string         `json:"subject,omitempty"`
	Origin   string         `json:"origin,omitempty"`
	EntryID  string         `json:"entry_id,omitempty"`
	Index    *uint64        `json:"index,omitempty"`
	Location string         `json:"location,omitempty"` // of the artifact
	Also     []recordedAlso `json:"also,omitempty"`
	Out      string         `json:"out,omitempty"`
	Problem  *scitt.Problem `json:"problem,omitempty"`
	Error    string         `json:"error,omitempty"`
	err      error
}

// recordedAlso is the same entry in a further log.
type recordedAlso struct {
	Log    string `json:"log"`
	Origin string `json:"origin"`
	Index  uint64 `json:"index"`
	// OtherSignature says that this log holds another signature of the content
	// than --log. Out is the file with that one.
	OtherSignature bool   `json:"other_signature,omitempty"`
	Out            string `json:"out,omitempty"`
	at             int    // of the services
}

// runRecord registers what comes, as statements of a type. The events are told what the log has.
func (a *app) runRecord(ctx context.Context, f recordFlags, typ string, events func(known func([]byte) bool) iter.Seq[func() party.Input]) error {
	r := &recording{app: a, recordFlags: f, counts: map[string]int{}, repairs: repairs{}, progress: a.Progress()}
	defer func() { r.told(r.repairs) }()
	defer r.progress.Done()
	var err error
	if r.seen, err = f.scanFlags.begin(typ, time.Now()); err != nil {
		return err
	}
	holds := ""
	if f.holds || r.seen != nil {
		holds = typ
	}
	if f.outDir != "" {
		if err := os.MkdirAll(f.outDir, 0o755); err != nil {
			return fmt.Errorf("--out-dir: %w", err)
		}
	}
	r.registrar, err = a.openRegistrar(ctx, party.RegistrarOptions{Services: r.services(), Holds: holds, Progress: func(done, size uint64) {
		r.progress.Show(func() string { return fmt.Sprintf("read %d of %d entries of the log", done, size) })
	}}, f.signerFlags, f.readFlags)
	if err != nil {
		return err
	}
	r.registrar.KeepGoing, r.registrar.AllowLate, r.registrar.Scanning = r.keepGoing, f.allowLate, r.seen != nil
	defer context.AfterFunc(ctx, func() { r.Notice("interrupted: what is being registered is finished; a second time ends it now") })()
	for b, err := range r.registrar.Stream(ctx, events(r.registrar.Knows(ctx, typ)), f.out != "") {
		if errors.Is(err, party.ErrSeveral) {
			err = cli.Usage(errors.New("--out is for a single event; for many give --out-dir"))
		}
		if err = errors.Join(err, r.batch(ctx, b)); err != nil {
			return r.stopped(err)
		}
		r.progress.Show(r.summary)
	}
	verdict := r.verdict()
	if r.seen == nil || r.total == 0 || verdict != nil && !r.keepGoing {
		return verdict
	}
	return errors.Join(verdict, r.scan(ctx))
}

// batch tells what became of a batch; people are told of all its events with one write.
func (r *recording) batch(ctx context.Context, b *party.Batch) error {
	results, err := r.results(ctx, b.Inputs)
	r.progress.Done()
	var told []int // of the results
	for i := range results {
		res := &results[i]
		if unreadable(res.err) {
			err = errors.Join(err, res.err)
			break
		}
		if res.Result == "" || res.Result == resultInvalid && !r.keepGoing && r.last != nil {
			continue // not reached
		}
		if in := b.Inputs[i]; in.More {
			r.Notice("%s: %v", where(in), in.Err)
			r.incomplete(fmt.Sprintf("%s: %v", where(in), in.Err))
			continue
		}
		r.total++
		r.counts[res.Result]++
		r.saw(b.Inputs[i], res.Result)
		if b.Inputs[i].Err == nil {
			r.repairs.add(b.Inputs[i])
		}
		if res.err != nil {
			r.last = fmt.Errorf("%s: %w", where(b.Inputs[i]), res.err)
		}
		told = append(told, i)
	}
	return errors.Join(err, r.print(results, told, b))
}

// results are what became of inputs, when the Transparent Statements are written.
func (r *recording) results(ctx context.Context, inputs []party.Input) ([]recorded, error) {
	results := make([]recorded, len(inputs))
	var g errgroup.Group
	g.SetLimit(16) // each waits for the disk
	for i := range inputs {
		in, res := &inputs[i], &results[i]
		*res = recorded{File: in.File, Line: in.Line, Code: in.Code}
		if in.Err != nil {
			res.refuse(resultInvalid, in.Err)
			continue
		}
		res.Subject, res.Location = in.Options.Subject, in.Options.Location
		for n, at := range in.Outcome.At {
			ref := at.Ref
			switch {
			case n == 0 && (at.Result == party.Unchanged || at.Result == party.Late):
				res.Result = string(at.Result)
			case ref.EntryID == "":
			case n == 0:
				res.Origin, res.EntryID, res.Index = ref.Origin, ref.EntryID, &ref.Index
				if res.Result = resultRegistered; at.Result == party.Known {
					res.Result = resultKnown
				}
			default:
				res.Also = append(res.Also, recordedAlso{Log: r.services()[n], Origin: ref.Origin, Index: ref.Index, at: n})
			}
		}
		if err := in.Outcome.Err(); err != nil {
			result := resultRefused
			if res.Result == resultLate {
				result = resultLate
			}
			res.refuse(result, err)
		}
		if res.err != nil || res.Result == "" || res.Result == resultSame {
			continue
		}
		if res.Out = r.out; r.outDir != "" {
			res.Out = filepath.Join(r.outDir, res.EntryID+".transparent.cose")
		}
		if res.Out == "" && (res.Result == resultKnown || res.Also == nil) || res.Result == resultKnown && r.outDir != "" && res.there() {
			continue
		}
		if err := r.registrar.Read(ctx, &in.Outcome); err != nil { // it is not for concurrent use
			return results, errors.Join(err, g.Wait())
		}
		g.Go(func() error { return r.write(ctx, res, in.Outcome) })
	}
	return results, g.Wait()
}

// there reports whether the Transparent Statement is written with all Receipts.
func (res *recorded) there() bool {
	data, err := durable.ReadFile(res.Out)
	if err != nil {
		return false
	}
	have, err := scitt.DecodeStatement(data)
	return err == nil && have.ID().String() == res.EntryID && len(have.Receipts) > len(res.Also)
}

// write writes the Transparent Statement of each signature.
func (r *recording) write(ctx context.Context, res *recorded, o party.Outcome) error {
	for n, c := range o.Copies {
		if res.Out == "" {
			break
		}
		if err := r.WriteOutput(ctx, party.CopyFile(res.Out, n), c.Transparent()); err != nil {
			return err
		}
	}
	for i := range res.Also {
		if also := &res.Also[i]; o.At[also.at].Copy > 0 {
			also.OtherSignature, also.Out = true, party.CopyFile(res.Out, o.At[also.at].Copy)
		}
	}
	return nil
}

// files are those with its Transparent Statements, each once.
func (res *recorded) files() []string {
	out := []string{res.Out}
	for _, also := range res.Also {
		if also.Out != "" && !slices.Contains(out, also.Out) {
			out = append(out, also.Out)
		}
	}
	return out
}

// refuse says that an event is not registered.
func (res *recorded) refuse(result string, err error) {
	res.Result, res.err, res.Error, res.Problem = result, err, err.Error(), problemOf(err)
}

func (r *recording) print(results []recorded, told []int, b *party.Batch) error {
	for _, i := range told {
		if err := r.Document(results[i]); err != nil {
			return err
		}
	}
	return r.Show(func(p *cli.Page) {
		for _, i := range told {
			r.show(p, results[i], b.Inputs[i], b.Single)
		}
	})
}

// show shows people one event in a line, and the only one of a run in several.
func (r *recording) show(p *cli.Page, res recorded, in party.Input, single bool) {
	if res.err != nil {
		if !single {
			p.Notice("%s: %v", where(in), res.err)
		}
		return // else the error says it all
	}
	for _, also := range res.Also {
		if also.OtherSignature {
			noticeOther(p, where(in), also.Log, also.Out)
		}
	}
	switch {
	case res.Out == "-":
		return
	case res.Result == resultSame && single:
		p.Rows([][]string{{res.Result, res.Subject}})
		return
	case res.Result == resultSame:
		return
	}
	entry := fmt.Sprintf("%s: entry %d", res.Result, *res.Index)
	if !single {
		for _, also := range res.Also {
			entry += fmt.Sprintf(", %s entry %d", also.Log, also.Index)
		}
		p.Line("%-28s  %s  %-20s  %s", entry, res.EntryID, res.Code, res.Subject)
		return
	}
	rows := [][]string{{entry, res.EntryID}, {"event", res.Code}, {"subject", res.Subject}, {"artifact", res.Location}}
	for _, also := range res.Also {
		rows = append(rows, []string{fmt.Sprintf("also: entry %d", also.Index), also.Log})
	}
	for _, file := range res.files() {
		rows = append(rows, []string{"wrote", file})
	}
	p.Rows(rows)
}

func (r *recording) summary() string {
	text := fmt.Sprintf("%s: %d registered, %d already recorded, %d refused, %d invalid", plural.Of(r.total, "event"),
		r.counts[resultRegistered], r.counts[resultKnown], r.counts[resultRefused], r.counts[resultInvalid])
	for _, result := range []string{resultLate, resultSame} {
		if n := r.counts[result]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, result)
		}
	}
	return text
}

// stopped is the error of a run that could not go on.
func (r *recording) stopped(err error) error {
	if cli.ExitCode(err) == cli.ExitUsage && r.total == 0 && r.counts[resultRegistered] == 0 {
		return err
	}
	return fmt.Errorf("%w (%s until then; the same command goes on from there)", err, r.summary())
}

// errNothing says that there was nothing to register.
var errNothing = errors.New("there are no records in the input")

// verdict is what the whole run comes to.
func (r *recording) verdict() error {
	if r.total > 1 {
		r.Notice("%s", r.summary())
	}
	not := r.counts[resultRefused] + r.counts[resultInvalid] + r.counts[resultLate]
	switch {
	case r.total == 0:
		return cli.Usage(errNothing)
	case not == 0:
		return nil
	case r.total == 1:
		return cli.Bad(r.last)
	case !r.keepGoing:
		return cli.Bad(fmt.Errorf("stopped at %w\nThe events before it are registered, and those behind it were not looked at; --keep-going goes on", r.last))
	}
	return cli.Bad(fmt.Errorf("%d of %s not registered", not, plural.Verb(r.total, "event", "is", "are")))
}
