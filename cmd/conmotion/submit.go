package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/client"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// submitFlags are the flags of submit.
type submitFlags struct {
	log, out, outDir, keys string
	async                  bool
	concurrency            int
	timeout                time.Duration
}

func (a *app) submit() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use: "submit --log URL [--out FILE | --out-dir DIR] STATEMENT...", Short: "Register statements with a Transparency Service",
		Long: `Register Signed Statements with a Transparency Service (SCRAPI), check the
Receipts that come back with the service's keys, and write Transparent
Statements: the statements with their Receipts. Receipts of other logs that a
statement has are kept, so one statement can be registered with several logs,
one after the other.

A busy service is asked again, as it wishes. A run that was interrupted can be
started again: what is there and verifies is skipped, and a service answers the
same statement with the same Location. With --out-dir, s.cose becomes
DIR/s.transparent.cose. A refusal tells the reason and ends with exit code 1.`,
		Example: `  conmotion submit --log http://127.0.0.1:8080 --out transparent.cose s.cose
  conmotion submit --log https://transparency.example --out-dir done --concurrency 16 statements/*.cose`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runSubmit(cmd.Context(), f, args) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the Transparency Service")
	fl.StringVar(&f.out, "out", "", `file for the Transparent Statement of a single statement, or "-"`)
	fl.StringVar(&f.outDir, "out-dir", "", "directory for the Transparent Statements of many")
	fl.StringVar(&f.keys, "keys", "", "file with the service's keys (default: fetched from the service)")
	fl.BoolVar(&f.async, "async", false, "ask for an answer at once and poll for the Receipt")
	fl.IntVar(&f.concurrency, "concurrency", 8, "statements that are under way at a time")
	fl.DurationVar(&f.timeout, "timeout", 2*time.Minute, "longest time to wait for one Receipt")
	require(cmd, "log")
	cmd.MarkFlagsMutuallyExclusive("out", "out-dir")
	return cmd
}

// submitted is what became of one statement.
type submitted struct {
	File     string   `json:"file"`
	Result   string   `json:"result"` // registered, skipped, refused or failed
	EntryID  string   `json:"entry_id,omitempty"`
	Location string   `json:"location,omitempty"`
	Out      string   `json:"out,omitempty"`
	Problem  *problem `json:"problem,omitempty"`
	Error    string   `json:"error,omitempty"`
	err      error
}

// problem is how a service explains a refusal.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

const (
	resultRegistered = "registered"
	resultSkipped    = "skipped" // the output is there and verifies
	resultRefused    = "refused" // by the service, or its Receipt is not good
	resultFailed     = "failed"  // no verdict: the same call again may succeed
)

// submitter submits statements one by one.
type submitter struct {
	*app
	submitFlags
	client *client.Client
	trust  trust
}

func (a *app) runSubmit(ctx context.Context, f submitFlags, files []string) error {
	outputs, err := f.outputs(files)
	if err != nil {
		return usage(err)
	}
	c, err := a.connect(f.log, f.concurrency)
	if err != nil {
		return usage(fmt.Errorf("--log: %w", err))
	}
	s := &submitter{app: a, submitFlags: f, client: c}
	if f.keys != "" {
		s.trust, err = readKeys(f.keys)
	} else {
		s.trust.keys, err = c.Keys(ctx)
	}
	if err != nil {
		return usage(err) // no verdict on any statement
	}
	one := func(ctx context.Context, n uint64) (submitted, error) {
		return s.submitOne(ctx, files[n], outputs[n]), nil
	}
	if f.outDir != "" {
		if err := os.MkdirAll(f.outDir, 0o755); err != nil {
			return fmt.Errorf("--out-dir: %w", err)
		}
	}
	p := a.progress()
	defer p.done()
	counts := map[string]int{}
	var last error
	// Ahead has one more call under way than it keeps results for.
	for _, r := range tiles.Ahead(ctx, 0, uint64(len(files)), f.concurrency-1, one) {
		if r.Err != nil {
			return r.Err
		}
		counts[r.Value.Result]++
		if r.Value.err != nil {
			last = r.Value.err
		}
		p.done()
		if err := a.printSubmitted(r.Value, len(files) > 1); err != nil {
			return err
		}
		p.show(func() string { return summary(counts, len(files)) })
	}
	if len(files) > 1 {
		a.notice("%s", summary(counts, len(files)))
	}
	return f.verdict(counts, len(files), last)
}

// outputs says where each Transparent Statement goes; "" for nowhere.
func (f submitFlags) outputs(files []string) ([]string, error) {
	if f.concurrency < 1 || f.timeout <= 0 {
		return nil, errors.New("--concurrency is at least 1 and --timeout more than 0")
	}
	if f.out != "" && len(files) > 1 {
		return nil, errors.New("--out is for a single statement; for many give --out-dir")
	}
	outputs := make([]string, len(files))
	from := map[string]string{}
	for i, file := range files {
		outputs[i] = f.out
		if f.outDir == "" {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".cose") + ".transparent.cose"
		if other, taken := from[name]; taken {
			return nil, fmt.Errorf("%s and %s would both become %s", other, file, name)
		}
		from[name] = file
		outputs[i] = filepath.Join(f.outDir, name)
	}
	return outputs, nil
}

// verdict is the error that the whole run comes to.
func (f submitFlags) verdict(counts map[string]int, total int, last error) error {
	refused, failed := counts[resultRefused], counts[resultFailed]
	if refused+failed == 0 {
		return nil
	}
	err := last
	if total > 1 {
		err = fmt.Errorf("%d of %d statements are not registered", refused+failed, total)
	}
	if failed > 0 {
		return usage(err)
	}
	return bad(err)
}

func summary(counts map[string]int, total int) string {
	done := 0
	for _, n := range counts {
		done += n
	}
	return fmt.Sprintf("%d of %d: %d registered, %d skipped, %d refused, %d failed", done, total,
		counts[resultRegistered], counts[resultSkipped], counts[resultRefused], counts[resultFailed])
}

func (a *app) printSubmitted(r submitted, many bool) error {
	if a.json {
		// One line for each statement.
		return a.printJSONLine(r)
	}
	if r.Out == "-" {
		return nil
	}
	if r.err != nil && !many {
		return nil // the error says it all
	}
	if r.err != nil {
		a.notice("%s: %v", r.File, r.err)
	}
	if !many {
		return a.printRows([][]string{{r.Result, r.EntryID}, {"location", r.Location}, {"wrote", r.Out}})
	}
	_, err := fmt.Fprintf(a.stdout, "%-10s  %-64s  %s\n", r.Result, r.EntryID, clean(r.File))
	return err
}

// submitOne takes one statement all the way.
func (s *submitter) submitOne(ctx context.Context, file, out string) submitted {
	r := submitted{File: file}
	if r.err = s.advance(ctx, &r, out); r.err == nil {
		return r
	}
	r.Error = r.err.Error()
	r.Result = resultFailed
	if exitCode(r.err) == exitBad {
		r.Result = resultRefused
	}
	if p, ok := errors.AsType[*scitt.Problem](r.err); ok {
		r.Problem = &problem{p.Status, p.Title, p.Detail}
	}
	return r
}

func (s *submitter) advance(ctx context.Context, r *submitted, out string) error {
	data, err := s.readInput(r.File)
	if err != nil {
		return err
	}
	// Only what cannot be read at all is refused here; to judge is the
	// service's task.
	st, err := scitt.DecodeStatement(data)
	if err != nil {
		return fmt.Errorf("%s: %w", r.File, err)
	}
	r.EntryID = st.ID().String()
	if out != "" && out != "-" && s.finished(st, out) {
		r.Result, r.Out = resultSkipped, out
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	register := s.client.Register
	if s.async {
		register = s.client.RegisterAsync
	}
	reg, err := register(ctx, data)
	if err != nil {
		return fmt.Errorf("%s: %w", r.File, err)
	}
	r.Location = reg.Location
	transparent, err := s.attach(st, reg.Receipt)
	if err != nil {
		return bad(fmt.Errorf("%s: the service's receipt is not good, and nothing was written: %w", r.File, err))
	}
	if out != "" {
		if err := s.writeOutput(out, transparent); err != nil {
			return err
		}
	}
	r.Result, r.Out = resultRegistered, out
	return nil
}

// attach adds a Receipt, which must verify, to those of other logs. One of
// the same log gives way to it.
func (s *submitter) attach(st *scitt.Statement, receipt []byte) ([]byte, error) {
	fresh, err := s.trust.check(st, [][]byte{receipt})
	if err != nil {
		return nil, err
	}
	if fresh[0].Err != nil {
		return nil, fresh[0].Err
	}
	old, err := s.trust.check(st, st.Receipts)
	if err != nil {
		return nil, err
	}
	var receipts [][]byte
	for i, r := range old {
		if r.Err != nil {
			receipts = append(receipts, st.Receipts[i])
		}
	}
	return scitt.AttachReceipts(st, append(receipts, receipt)...), nil
}

// finished says whether the output is there, is this statement and has a
// Receipt of this log. It also has to have every Receipt that the statement has.
func (s *submitter) finished(st *scitt.Statement, out string) bool {
	data, err := s.readInput(out)
	if err != nil {
		return false
	}
	have, err := scitt.DecodeStatement(data)
	if err != nil || have.ID() != st.ID() || len(have.Receipts) < len(st.Receipts) {
		return false
	}
	checked, err := s.trust.check(have, have.Receipts)
	if err != nil {
		return false
	}
	for _, r := range checked {
		if r.Err == nil {
			return true
		}
	}
	return false
}
