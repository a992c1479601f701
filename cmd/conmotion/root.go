package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/version"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// app is what every command has: where to read and write, and the flags that
// all of them share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	json           bool
	home           string       // where --home does not say: see [readFlags]
	among          *party.Among // the logs that the command opens
}

// groups are the commands, by who needs them.
func (a *app) groups() []commandGroup {
	return []commandGroup{
		{"Statements and Receipts:", []*cobra.Command{a.keygen(), a.sign(), a.submit(), a.receipt(), a.verify(), a.inspect(), a.artifact()}},
		{"Logs:", []*cobra.Command{a.policy(), a.audit(), a.monitor(), a.fsck(), a.export(), a.search(), a.bench()}},
		{"Mutual monitoring, for those who publish records:", []*cobra.Command{a.record(), a.importing(), a.head()}},
		{"for those who use them:", []*cobra.Command{a.replay(), a.ack(), a.endorsements(), a.requireCommand(), a.report()}},
		{"for auditors:", []*cobra.Command{a.observe(), a.compare(), a.measure(), a.endorse(), a.dispute(), a.withdraw()}},
		{"With a database or a service in them:", a.heavy()},
	}
}

// commandGroup is a part of the help.
type commandGroup struct {
	title    string
	commands []*cobra.Command
}

const rootLong = `conmotion makes Signed Statements, registers them with a SCITT Transparency
Service, and verifies what comes back, with the service or without it.

Data goes to standard output, notices and progress to standard error. The exit
code is

  0  when all is well,
  1  when the thing that was checked is bad or was refused,
  2  when there is no verdict: a wrong flag, a missing file, a service out of
     reach, an old copy of a log, or something that cannot be checked,
  3  when an audit found duplicates in a log and nothing else.`

const rootExample = `  conmotion keygen --out issuer.pem
  conmotion sign --key issuer.pem --sub my-first-asset --out s.cose README.md
  conmotion submit --log http://127.0.0.1:8080 --out transparent.cose s.cose
  conmotion verify --log http://127.0.0.1:8080 --payload README.md transparent.cose`

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use: "conmotion", Short: "Make, register and verify SCITT statements", Long: rootLong, Example: rootExample,
		SilenceUsage: true, SilenceErrors: true,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON, for programs")
	cmd.SetIn(a.stdin)
	cmd.SetOut(a.stdout)
	cmd.SetErr(a.stderr)
	for _, g := range a.groups() {
		if len(g.commands) > 0 {
			cmd.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		}
		for _, c := range g.commands {
			c.GroupID = g.title
			cmd.AddCommand(c)
		}
	}
	version.Add(cmd)
	return cmd
}

// Exit codes.
const (
	exitGood  = 0
	exitBad   = 1 // the thing that was checked is bad, or was refused
	exitUsage = 2 // no verdict: wrong usage, or input and output that failed
	// exitDuplicates: a log has contents more than once, and is otherwise good.
	exitDuplicates = 3
)

// coded is an error with its exit code, for where its kind does not tell.
type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

// usage marks an error as the fault of how the tool was called.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return coded{err, exitUsage}
}

// bad marks an error as the verdict on what was checked.
func bad(err error) error { return coded{err, exitBad} }

// exitCode says what kind of an error it is.
func exitCode(err error) int {
	if c, ok := errors.AsType[coded](err); ok {
		return c.code
	}
	if errors.Is(err, scitt.ErrUnchecked) {
		return exitUsage
	}
	if p, ok := errors.AsType[*scitt.Problem](err); ok {
		if p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests {
			return exitBad
		}
		return exitUsage
	}
	for _, verdict := range []error{
		tiles.ErrCorrupt, scitt.ErrMalformed, scitt.ErrAlgorithm, scitt.ErrNoKeyID, scitt.ErrPayloadMissing,
		scitt.ErrTooLarge, scitt.ErrSignature, scitt.ErrUnknownKey, scitt.ErrProof, scitt.ErrCheckpoint,
	} {
		if errors.Is(err, verdict) {
			return exitBad
		}
	}
	return exitUsage
}

// run runs the tool with these arguments and gives its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, home: os.Getenv("CONMOTION_HOME"), among: &party.Among{}}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitGood
	}
	fmt.Fprintln(a.stderr, "conmotion:", message(err.Error()))
	return exitCode(err)
}

// httpClient makes requests to one service, several at a time.
func httpClient(concurrency int) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = concurrency
	return &http.Client{Transport: t, Timeout: time.Minute}
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
