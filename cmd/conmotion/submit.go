package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// submitFlags are the flags of submit.
type submitFlags struct {
	log, out, outDir string
	issuerKey        string
	also, keys       []string
	async            bool
	concurrency      int
	timeout          time.Duration
	cli.MemoryFlags
}

// services are --log, and each --also.
func (f submitFlags) services() []string { return append([]string{f.log}, f.also...) }

func (a *app) submit() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use: "submit --log URL [--also URL]... [--out FILE | --out-dir DIR] STATEMENT...", Short: "Register statements with a Transparency Service",
		Long: `Register Signed Statements with a Transparency Service (SCRAPI), check the
Receipts that come back with the service's keys, and write Transparent
Statements: the statements with their Receipts. Receipts of other logs that a
statement has are kept, so one statement can be registered with several logs,
one after the other. With --also that is one call: it registers each statement
with --log and with each other service, and the Transparent Statement has the
Receipts of all. When one of them is down, the output has the Receipts of the
others, and the same call goes on from there. Of a log with a key of ML-DSA-44 the
Receipt by that key is fetched and kept too.

A service that has the content with another signature of yours does not register
it again. An ECDSA signature has a second form that anybody can make, and
signing twice makes two. Then the output is the Transparent Statement of that
signature: it is fetched, and written when its content is the statement's and
its signature and Receipt verify. A Receipt is never attached to other bytes. So
when services hold different signatures there is a file for each: NAME.cose for
the first, in the order of the services, then NAME.2.cose and so on; conmotion
verify --quorum takes them together. Issuers that are not a did:jwk or did:key,
and have no x5chain, need --issuer-key for this.

A busy service is asked again, as it wishes. A run that was interrupted can be
started again: what is there and verifies is skipped, and a service answers the
same statement with the same Location. With --out-dir, s.cose becomes
DIR/s.transparent.cose. A refusal tells the reason and ends with exit code 1.
` + serviceHelp,
		Example: `  conmotion submit --log http://127.0.0.1:8080 --out transparent.cose s.cose
  conmotion submit --log https://transparency.example --out-dir done --concurrency 16 statements/*.cose
  conmotion submit --log https://provider.example --also https://auditor.example --out t.cose s.cose`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runSubmit(cmd.Context(), f, args) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the Transparency Service")
	fl.StringVar(&f.out, "out", "", `file for the Transparent Statement of a single statement, or "-"`)
	fl.StringVar(&f.outDir, "out-dir", "", "directory for the Transparent Statements of many")
	fl.StringArrayVar(&f.also, "also", nil, "URL of another service that registers the statements too; once for each")
	fl.StringArrayVar(&f.keys, "keys", nil, "file with the service's keys (default: fetched from the service); with --also once for each service, that of --log first")
	fl.StringVar(&f.issuerKey, "issuer-key", "", "file with your public key: PEM, JWK or COSE_Key; for a log that has the content with another signature")
	fl.BoolVar(&f.async, "async", false, "ask for an answer at once and poll for the Receipt")
	fl.IntVar(&f.concurrency, "concurrency", 8, "statements that are under way at a time")
	fl.DurationVar(&f.timeout, "timeout", 2*time.Minute, "longest time to wait for one Receipt")
	f.MemoryFlags.Add(cmd)
	cli.Require(cmd, "log")
	cmd.MarkFlagsMutuallyExclusive("out", "out-dir")
	cmd.MarkFlagsMutuallyExclusive("keys", "vkey")
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
	// OtherSignature says that --log holds the content with another signature,
	// and that Out is the Transparent Statement of that one.
	OtherSignature bool `json:"other_signature,omitempty"`
	// Also is what became of it at the services of --also.
	Also []submittedAt `json:"also,omitempty"`
	log  string
	err  error
}

// submittedAt is what became of a statement at one service.
type submittedAt struct {
	Log            string `json:"log"`
	Result         string `json:"result"`
	Location       string `json:"location,omitempty"`
	OtherSignature bool   `json:"other_signature,omitempty"`
	Out            string `json:"out,omitempty"` // when it is another file than that of the first service
}

// files are those that were written, or were there, each once.
func (r submitted) files() []string {
	out := []string{r.Out}
	for _, at := range r.Also {
		if at.Out != "" {
			out = append(out, at.Out)
		}
	}
	slices.Sort(out[1:])
	return slices.Compact(out)
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
	registrar *party.Registrar
}

func (a *app) runSubmit(ctx context.Context, f submitFlags, files []string) error {
	outputs, err := f.outputs(files)
	if err != nil {
		return cli.Usage(err)
	}
	s := &submitter{app: a, submitFlags: f}
	o := party.RegistrarOptions{Services: f.services(), Timeout: f.timeout}
	if f.issuerKey != "" {
		if o.IssuerKey, err = readIssuerKey(ctx, f.issuerKey); err != nil {
			return cli.Usage(err)
		}
	}
	if s.registrar, err = a.openServices(ctx, o, f.keys, f.MemoryFlags, f.async); err != nil {
		return err
	}
	one := func(ctx context.Context, n uint64) (submitted, error) {
		return s.submitOne(ctx, files[n], outputs[n]), nil
	}
	if f.outDir != "" {
		if err := os.MkdirAll(f.outDir, 0o755); err != nil {
			return fmt.Errorf("--out-dir: %w", err)
		}
	}
	p := a.Progress()
	defer p.Done()
	counts := map[string]int{}
	var last error
	for _, r := range parallel.Ordered(ctx, 0, uint64(len(files)), f.concurrency, one) {
		if r.Err != nil {
			return r.Err
		}
		counts[r.Value.Result]++
		if r.Value.err != nil {
			last = r.Value.err
		}
		p.Done()
		if err := a.printSubmitted(r.Value, len(files) > 1); err != nil {
			return err
		}
		p.Show(func() string { return summary(counts, len(files)) })
	}
	if len(files) > 1 {
		a.Notice("%s", summary(counts, len(files)))
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
		return cli.Usage(err)
	}
	return cli.Bad(err)
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
	return a.PrintLine(r, func(p *cli.Page) { // one line for each statement
		for _, at := range append([]submittedAt{{Log: r.log, OtherSignature: r.OtherSignature}}, r.Also...) {
			if at.OtherSignature {
				noticeOther(p, r.File, at.Log, cmp.Or(at.Out, r.Out))
			}
		}
		switch {
		case r.Out == "-", r.err != nil && !many: // the error says it all
			return
		case r.err != nil:
			p.Notice("%s: %v", r.File, r.err)
		}
		if many {
			p.Line("%-10s  %-64s  %s", r.Result, r.EntryID, r.File)
			return
		}
		rows := [][]string{{r.Result, r.EntryID}, {"location", r.Location}}
		for _, also := range r.Also {
			rows = append(rows, []string{"also", cmp.Or(also.Location, also.Log+" ("+also.Result+")")})
		}
		for _, file := range r.files() {
			rows = append(rows, []string{"wrote", file})
		}
		p.Rows(rows)
	})
}

// noticeOther tells that a log holds a content with another signature than that
// of the first file. file has that one; "" when none was asked for.
func noticeOther(p *cli.Page, of, log, file string) {
	if file != "" {
		file = fmt.Sprintf(": %s is the Transparent Statement of that one", file)
	}
	p.Notice("%s: %s holds the content with another signature%s", of, log, file)
}

// submitOne takes one statement all the way.
func (s *submitter) submitOne(ctx context.Context, file, out string) submitted {
	r := submitted{File: file, log: s.log}
	if err := s.advance(ctx, &r, out); err != nil {
		r.err, r.Error, r.Problem = err, err.Error(), problemOf(err)
		r.Result = resultOf(err)
	}
	return r
}

// resultOf is what an error comes to.
func resultOf(err error) string {
	if cli.ExitCode(err) == cli.ExitBad {
		return resultRefused
	}
	return resultFailed
}

// advance takes one statement through all services. What one of them does not
// do keeps it from no other.
func (s *submitter) advance(ctx context.Context, r *submitted, out string) error {
	data, err := s.ReadInput(ctx, r.File)
	if err != nil {
		return err
	}
	st, err := scitt.DecodeStatement(data)
	if err != nil {
		return fmt.Errorf("%s: %w", r.File, err)
	}
	r.EntryID, r.Result = st.ID().String(), resultSkipped
	d := party.Draft{Signed: data}
	if out != "" && out != "-" {
		d.File = func(n int) ([]byte, error) { return durable.ReadFile(signatureFile(out, n)) }
		d.Written = func(n int, c party.Copy) error { return s.WriteOutput(ctx, signatureFile(out, n), c.Transparent()) }
	}
	// What is wrong is in the outcome, for each service.
	outcomes, _ := s.registrar.Register(ctx, []party.Draft{d})
	o := outcomes[0]
	registered := 0
	var failures []error
	for n, at := range o.At {
		url := s.services()[n]
		also := submittedAt{Log: url, Result: resultSkipped, Location: at.Location, OtherSignature: at.Other}
		switch err := at.Err; {
		case err != nil:
			also.Result = resultOf(err)
			if len(o.At) > 1 {
				err = fmt.Errorf("%s: %w", url, err)
			}
			failures = append(failures, err)
		case at.Result == party.Registered:
			also.Result, r.Result = resultRegistered, resultRegistered
			fallthrough
		default:
			registered++
			if also.Out = signatureFile(out, at.Copy); r.Out == "" {
				r.Out = also.Out
			}
			if also.Out == r.Out {
				also.Out = ""
			}
		}
		if n == 0 {
			r.Location, r.OtherSignature = also.Location, also.OtherSignature
		} else {
			r.Also = append(r.Also, also)
		}
	}
	if out == "-" && failures == nil {
		for _, c := range o.Copies {
			if err := s.WriteOutput(ctx, out, c.Transparent()); err != nil {
				return err
			}
		}
	}
	return together(r.File, registered, failures)
}

// signatureFile names the file of the n-th signature, from 0: NAME.cose and
// then NAME.2.cose, NAME.3.cose and so on. On standard output they follow each
// other.
func signatureFile(out string, n int) string {
	if n == 0 || out == "" || out == "-" {
		return out
	}
	ext := filepath.Ext(out)
	return fmt.Sprintf("%s.%d%s", strings.TrimSuffix(out, ext), n+1, ext)
}

// together is the error that the failures come to. Without a verdict by every
// service the same call may succeed.
func together(file string, registered int, failures []error) error {
	switch n := registered + len(failures); {
	case len(failures) == 0:
		return nil
	case n == 1:
		return fmt.Errorf("%s: %w", file, failures[0])
	default:
		text, code := make([]string, len(failures)), cli.ExitBad
		for i, err := range failures {
			if text[i] = err.Error(); cli.ExitCode(err) != cli.ExitBad {
				code = cli.ExitUsage
			}
		}
		return cli.WithCode(&severalError{fmt.Sprintf("%s: registered with %d of %d services: %s", file, registered, n, strings.Join(text, "; ")), errors.Join(failures...)}, code)
	}
}

// severalError is what several services said, in one line.
type severalError struct {
	text string
	error
}

// Error implements error.
func (e *severalError) Error() string { return e.text }

// Unwrap is what each of them said.
func (e *severalError) Unwrap() error { return e.error }
