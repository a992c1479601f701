package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// connections is how many requests to a service are under way at a time.
const connections = 64

// recording is one run of record, observe or import.
type recording struct {
	*app
	recordFlags
	recorder *party.Recorder
	origins  map[string]string // URL of each log
	progress *progress
	counts   map[string]int
	total    int
	last     error // about an event
}

const (
	resultKnown   = "already recorded"
	resultInvalid = "invalid" // no event that can be registered
)

// recorded is what became of one event.
type recorded struct {
	File     string         `json:"file"`
	Line     int64          `json:"line,omitempty"`
	Result   string         `json:"result"` // registered, already recorded, refused or invalid
	Code     string         `json:"event_code,omitempty"`
	Subject  string         `json:"subject,omitempty"`
	Origin   string         `json:"origin,omitempty"`
	EntryID  string         `json:"entry_id,omitempty"`
	Index    *uint64        `json:"index,omitempty"`
	Location string         `json:"location,omitempty"` // of the artifact
	Also     []recordedAlso `json:"also,omitempty"`
	Out      string         `json:"out,omitempty"`
	Problem  *problem       `json:"problem,omitempty"`
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
}

// runRecord registers what comes.
func (a *app) runRecord(ctx context.Context, f recordFlags, events iter.Seq[func() candidate]) error {
	r := &recording{app: a, recordFlags: f, counts: map[string]int{}, progress: a.progress()}
	defer r.progress.done()
	if f.outDir != "" {
		if err := os.MkdirAll(f.outDir, 0o755); err != nil {
			return fmt.Errorf("--out-dir: %w", err)
		}
	}
	if err := r.open(ctx); err != nil {
		return partyError(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for b := range store(ctx, gather(ctx, prepare(ctx, events), f.keepGoing, f.out != ""), r.recorder) {
		if err := r.batch(ctx, b); err != nil {
			return r.stopped(err)
		}
		if !f.keepGoing && r.last != nil {
			break
		}
		r.progress.show(r.summary)
	}
	if err := ctx.Err(); err != nil {
		return r.stopped(context.Cause(ctx))
	}
	if err := r.recorder.Close(ctx); err != nil {
		return partyError(err)
	}
	return r.verdict()
}

// open opens the logs and reads what is recorded.
func (r *recording) open(ctx context.Context) error {
	key, issuer, err := r.signerFlags.read(r.app)
	if err != nil {
		return err
	}
	o, err := r.partyOptions(r.readFlags)
	if err != nil {
		return err
	}
	o.Client = r.clientOptions(connections)
	r.origins = map[string]string{}
	var writers []*party.Writer
	for i, service := range append([]string{r.log}, r.also...) {
		if i > 0 {
			o.VKeys = nil // they are those of the first log
		}
		if !party.IsURL(service) {
			return usage(fmt.Errorf("%q is not the URL of a service, such as https://transparency.example", service))
		}
		w, err := party.NewWriter(ctx, service, key, issuer, o, r.clientOptions(connections))
		if err != nil {
			return err
		}
		r.origins[w.Log().View.Checkpoint.Origin] = service
		writers = append(writers, w)
	}
	r.recorder, err = party.NewRecorder(ctx, writers[0], writers[1:], func(done, size uint64) {
		r.progress.show(func() string { return fmt.Sprintf("read %d of %d entries of the log", done, size) })
	})
	if err != nil {
		return err
	}
	r.recorder.KeepGoing = r.keepGoing
	return nil
}

// batch registers a batch and tells what became of it.
func (r *recording) batch(ctx context.Context, b *batch) error {
	if b.err != nil {
		return b.err
	}
	if r.out != "" && (len(b.all) > 1 || r.total > 0) {
		return usage(errors.New("--out is for a single event; for many give --out-dir"))
	}
	outcomes, err := r.recorder.Record(ctx, b.drafts)
	results := make([]recorded, len(b.all))
	for i, c := range b.all {
		results[i] = recorded{File: c.file, Line: c.line, Code: c.code}
		if c.err != nil {
			results[i].refuse(resultInvalid, c.err)
		}
	}
	outErr := r.outcomes(ctx, b, outcomes, results)
	r.progress.done()
	for i := range results {
		res := &results[i]
		if unreadable(res.err) {
			return errors.Join(err, outErr, res.err)
		}
		if res.Result == "" || res.Result == resultInvalid && !r.keepGoing && r.last != nil {
			continue // not reached
		}
		r.total++
		r.counts[res.Result]++
		if res.err != nil {
			r.last = fmt.Errorf("%s: %w", b.all[i].where(), res.err)
		}
		if err := r.print(*res, b.all[i], b.single); err != nil {
			return err
		}
	}
	return errors.Join(err, outErr)
}

// outcomes puts the recorder's outcomes into the results, and writes the
// Transparent Statements.
func (r *recording) outcomes(ctx context.Context, b *batch, outcomes []party.Outcome, results []recorded) error {
	var g errgroup.Group
	g.SetLimit(16) // each waits for the disk
	for i, o := range outcomes {
		res := &results[b.at[i]]
		res.Subject, res.Location = b.drafts[i].Options.Subject, b.drafts[i].Options.Location
		if o.Ref.EntryID != "" {
			res.Origin, res.EntryID, res.Index = o.Ref.Origin, o.Ref.EntryID, &o.Ref.Index
		}
		for _, ref := range o.Also {
			res.Also = append(res.Also, recordedAlso{Log: r.origins[ref.Origin], Origin: ref.Origin, Index: ref.Index})
		}
		switch o.Result {
		case party.Registered:
			res.Result = resultRegistered
		case party.Known:
			res.Result = resultKnown
		case party.Refused:
			res.refuse(resultRefused, o.Err)
			continue
		default:
			continue
		}
		path := r.out
		if r.outDir != "" {
			path = filepath.Join(r.outDir, o.Ref.EntryID+".transparent.cose")
		}
		if path == "" && (o.Result == party.Known || o.Also == nil) {
			continue
		}
		res.Out = path
		write := func() error { return r.write(ctx, res, o) }
		if o.Result == party.Known {
			if err := write(); err != nil { // reading the log is not for concurrent use
				return err
			}
			continue
		}
		g.Go(write)
	}
	return g.Wait()
}

// write writes the Transparent Statement of each signature, unless it is there
// with all Receipts.
func (r *recording) write(ctx context.Context, res *recorded, o party.Outcome) error {
	path := res.Out
	if o.Result == party.Known && r.outDir != "" {
		if data, err := os.ReadFile(path); err == nil {
			have, err := scitt.DecodeStatement(data)
			if err == nil && have.ID().String() == o.Ref.EntryID && len(have.Receipts) > len(o.Also) {
				return nil
			}
		}
	}
	copies, err := r.recorder.Copies(ctx, o)
	if err != nil {
		return err
	}
	for n, c := range copies {
		if path != "" {
			if err := r.writeOutput(signatureFile(path, n), c.Transparent); err != nil {
				return err
			}
		}
		for i := range res.Also {
			if also := &res.Also[i]; n > 0 && slices.Contains(c.Origins, also.Origin) {
				also.OtherSignature, also.Out = true, signatureFile(path, n)
			}
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
	res.Result, res.err, res.Error = result, err, err.Error()
	if p, ok := errors.AsType[*scitt.Problem](err); ok {
		res.Problem = &problem{p.Status, p.Title, p.Detail}
	}
}

func (r *recording) print(res recorded, c candidate, single bool) error {
	if r.json {
		return r.printJSONLine(res) // one line for each event
	}
	if res.err != nil {
		if !single {
			r.notice("%s: %v", c.where(), res.err)
		}
		return nil // else the error says it all
	}
	for _, also := range res.Also {
		if also.OtherSignature {
			r.noticeOther(c.where(), also.Log, also.Out)
		}
	}
	if res.Out == "-" {
		return nil
	}
	entry := fmt.Sprintf("%s: entry %d", res.Result, *res.Index)
	if !single {
		for _, also := range res.Also {
			entry += fmt.Sprintf(", %s entry %d", also.Log, also.Index)
		}
		_, err := fmt.Fprintf(r.stdout, "%-28s  %s  %-20s  %s\n", entry, res.EntryID, res.Code, clean(res.Subject))
		return err
	}
	rows := [][]string{{entry, res.EntryID}, {"event", res.Code}, {"subject", res.Subject}, {"artifact", res.Location}}
	for _, also := range res.Also {
		rows = append(rows, []string{fmt.Sprintf("also: entry %d", also.Index), also.Log})
	}
	for _, file := range res.files() {
		rows = append(rows, []string{"wrote", file})
	}
	return r.printRows(rows)
}

func (r *recording) summary() string {
	return fmt.Sprintf("%d events: %d registered, %d already recorded, %d refused, %d invalid", r.total,
		r.counts[resultRegistered], r.counts[resultKnown], r.counts[resultRefused], r.counts[resultInvalid])
}

// stopped is the error of a run that could not go on.
func (r *recording) stopped(err error) error {
	if exitCode(err) == exitUsage && r.total == 0 && r.counts[resultRegistered] == 0 {
		return partyError(err)
	}
	return partyError(fmt.Errorf("%w (%s until then; the same command goes on from there)", err, r.summary()))
}

// verdict is what the whole run comes to.
func (r *recording) verdict() error {
	if r.total > 1 {
		r.notice("%s", r.summary())
	}
	not := r.counts[resultRefused] + r.counts[resultInvalid]
	switch {
	case r.total == 0:
		return bad(errors.New("there are no events in the input"))
	case not == 0:
		return nil
	case r.total == 1:
		return bad(r.last)
	case !r.keepGoing:
		return bad(fmt.Errorf("stopped at %w\nThe events before it are registered, and those behind it were not looked at; --keep-going goes on", r.last))
	}
	return bad(fmt.Errorf("%d of %d events are not registered", not, r.total))
}
