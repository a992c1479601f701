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
	"github.com/conmotion/conmotion/monitor/party"
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
	cli.Strings(fl, &f.also, "also", "URL of a further service that gets the same statements; once for each")
	cli.Strings(fl, &f.keys, "keys", "file with the service's keys (default: fetched from the service); with --also once for each service, that of --log first")
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

// submitted is what became of the statement in a file.
type submitted struct {
	File string `json:"file"`
	party.Submission
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
	if f.outDir != "" {
		if err := os.MkdirAll(f.outDir, 0o755); err != nil {
			return fmt.Errorf("--out-dir: %w", err)
		}
	}
	p := a.Progress()
	defer p.Done()
	t := tally{counts: map[string]int{}, of: len(files)}
	one := func(ctx context.Context, n int) submitted { return s.submitOne(ctx, files[n], outputs[n]) }
	err = inOrder(ctx, len(files), f.concurrency, one, func(r submitted) error {
		t.add(string(r.Result), r.Err)
		p.Done()
		err := s.print(r, len(files) > 1)
		p.Show(func() string { return summary(t) })
		return err
	})
	if err != nil {
		return err
	}
	if len(files) > 1 {
		a.Notice("%s", summary(t))
	}
	return t.verdict("statements are not registered")
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

func summary(t tally) string {
	done := 0
	for _, n := range t.counts {
		done += n
	}
	return fmt.Sprintf("%d of %d: %d registered, %d skipped, %d refused, %d failed", done, t.of,
		t.counts[resultRegistered], t.counts[string(party.Skipped)], t.counts[resultRefused], t.counts[resultFailed])
}

func (s *submitter) print(r submitted, many bool) error {
	return s.PrintLine(r, func(p *cli.Page) { // one line for each statement
		for _, at := range append([]party.SubmittedAt{{Log: s.log, OtherSignature: r.OtherSignature}}, r.Also...) {
			if at.OtherSignature {
				noticeOther(p, r.File, at.Log, cmp.Or(at.Out, r.Out))
			}
		}
		switch {
		case r.Out == "-", r.Err != nil && !many: // the error says it all
			return
		case r.Err != nil:
			p.Notice("%v", r.Err)
		}
		if many {
			p.Line("%-10s  %-64s  %s", r.Result, r.EntryID, r.File)
			return
		}
		rows := [][]string{{string(r.Result), r.EntryID}, {"location", r.Location}}
		for _, also := range r.Also {
			rows = append(rows, []string{"also", cmp.Or(also.Location, fmt.Sprintf("%s (%s)", also.Log, also.Result))})
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
	r := submitted{File: file}
	data, err := s.ReadInput(ctx, file)
	if err != nil {
		r.Fail(err)
		return r
	}
	var write func(string, []byte) error
	if out != "" && out != "-" {
		write = func(path string, data []byte) error { return s.WriteOutput(ctx, path, data) }
	}
	if r.Submission = s.registrar.Submit(ctx, data, out, write); r.Err != nil {
		r.Fail(fmt.Errorf("%s: %w", file, r.Err))
	}
	if out == "-" && r.Err == nil {
		for _, c := range r.Copies {
			if err := s.WriteOutput(ctx, out, c.Transparent()); err != nil {
				r.Fail(err)
				break
			}
		}
	}
	return r
}
