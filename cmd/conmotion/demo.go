package main

import (
	"bytes"
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

const demoLong = `Play both of the architecture's flows, one for inventory and one for configuration,
with three parties and three services (conmotiond) on free ports of this machine, in
seconds:

  1  the provider stores update 1 and signs its hash
  2  the provider registers it at its own log
  3  the provider registers the same statement at the auditor's log
  4  the auditor observes update 2, which the provider did not report, stores,
     signs and registers it
  5  the auditor reads the last statements, finds what is missing, and confirms it by
     the provider's search
  6  the auditor signs and registers the measurement
  7  the customer retrieves the measurements and pushes them to its dashboard

Every step is a command of this tool, shown as it can be typed, and is followed by
what was checked afterwards from the logs' files, on their own. Then the services
stop, and everything is verified again without them.

With --reported and --observed real input follows: exports of Prowler in OCSF, and
events of one's own. What the auditor has observed and the provider does not report
is measured. The same file given to both is no difference.

conmotiond is looked for beside this program and in the PATH; in the source tree it is
built when it is in neither place.

It leaves three logs, the parties' keys, their statements and the report in --dir,
to be explored.`

func (a *app) demo() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use: "demo [--dir DIR]", Short: "Play mutual monitoring with three services on this machine", Long: demoLong,
		Example: `  conmotion demo
  conmotion demo --dir ./monitoring --quiet
  conmotion demo --reported prowler-aws.ocsf.json --observed prowler-aws.ocsf.json --observed prowler-gcp.ocsf.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.dir, "dir", "conmotion-demo", "directory that is made for the logs and everything else; it must not exist")
	cmd.Flags().StringArrayVar(&f.reported, "reported", nil, "real input: an export of Prowler (OCSF) or an event that the provider reports; once for each file")
	cmd.Flags().StringArrayVar(&f.observed, "observed", nil, "the same that the auditor observes")
	cmd.Flags().BoolVar(&f.quiet, "quiet", false, "show the steps and checks, and not what the commands print")
	return cmd
}

type demoFlags struct {
	dir                string
	reported, observed []string
	quiet              bool
}

// demonstration is one run of the demo.
type demonstration struct {
	*app
	ctx   context.Context
	dir   string
	quiet bool

	program                     string // conmotiond
	provider, auditor, customer *demoService
	// keys are the parties' did:jwk by name; their files are NAME.pem.
	keys  map[string]string
	start time.Time // of the interval that is measured
}

// demoResult is a step that was played, as --json prints it.
type demoResult struct {
	Flow     string     `json:"flow"`
	Step     int        `json:"step"`
	Who      string     `json:"who"`
	What     string     `json:"what"`
	Commands [][]string `json:"commands"`
	Checked  []string   `json:"checked"`
}

func (a *app) runDemo(ctx context.Context, f demoFlags) (err error) {
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return err
	}
	for _, file := range slices.Concat(f.reported, f.observed) {
		if _, err := isExport(file); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return cli.Usage(fmt.Errorf("--dir: %w; the demo starts with nothing: remove it, or give another one", err))
	}
	d := &demonstration{app: a, ctx: ctx, dir: dir, quiet: f.quiet, keys: map[string]string{}, start: time.Now().UTC().Truncate(time.Second)}
	if d.program, err = findService(ctx, dir); err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	var running []*demoService
	stop := func() (err error) {
		for _, s := range running {
			err = errors.Join(err, s.stop())
		}
		running = nil
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for i, service := range []**demoService{&d.provider, &d.auditor, &d.customer} {
		name := []string{"provider", "auditor", "customer"}[i]
		if *service, err = startDemoService(ctx, d.program, dir, name); err != nil {
			return err
		}
		running = append(running, *service)
		d.say("the %s's service is %s", name, (*service).url)
	}
	if err := d.prepare(); err != nil {
		return err
	}
	for _, flow := range []string{"inventory", "configuration"} {
		steps, err := d.flow(flow)
		if err != nil {
			return err
		}
		if err := d.play(flow, steps); err != nil {
			return err
		}
	}
	if err := d.customerActs(); err != nil {
		return err
	}
	if len(f.reported)+len(f.observed) > 0 {
		steps, err := d.realInput(f.reported, f.observed)
		if err != nil {
			return err
		}
		if err := d.play("real input", steps); err != nil {
			return err
		}
	}
	if err := stop(); err != nil {
		return err
	}
	if err := d.verifyAlone(); err != nil {
		return err
	}
	return d.farewell()
}

// say prints a line for people.
func (d *demonstration) say(format string, args ...any) {
	if !d.JSON {
		fmt.Fprintln(d.Stdout, cli.CleanLines(fmt.Sprintf(format, args...)))
	}
}

func (d *demonstration) path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

// command runs the tool with these arguments, as a process of its own would. It
// must end with this exit code.
func (d *demonstration) command(exit int, args ...string) error {
	_, err := d.output(exit, args...)
	return err
}

// output is command, and gives what was printed.
func (d *demonstration) output(exit int, args ...string) ([]byte, error) {
	d.say("   $ conmotion %s", shellLine(args))
	var stdout, stderr bytes.Buffer
	tool := &app{cli.App{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Home: d.path("home"), Among: &party.Among{}}}
	code := tool.run(d.ctx, args)
	if !d.quiet {
		for line := range strings.Lines(stdout.String()) {
			d.say("     %s", strings.TrimRight(line, "\n"))
		}
	}
	if code != exit {
		return nil, fmt.Errorf("conmotion %s: exit code %d in place of %d: %s", shellLine(args), code, exit, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// shellLine writes arguments as they can be typed.
func shellLine(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if out[i] = a; strings.ContainsAny(a, " \"'$&;|<>()*?") {
			out[i] = "'" + a + "'"
		}
	}
	return strings.Join(out, " ")
}

// demoStep is one step of a flow.
type demoStep struct {
	who, what string
	exit      int
	commands  [][]string // the last of them ends with exit, the others well
	// check looks at the result without the command, and says at what.
	check func() ([]string, error)
}

// play plays one of the two flows.
func (d *demonstration) play(flow string, steps []demoStep) error {
	d.say("\n%s", strings.ToUpper(flow[:1])+flow[1:])
	for i, s := range steps {
		d.say("\n%d  %s: %s", i+1, s.who, s.what)
		for n, args := range s.commands {
			exit := cli.ExitGood
			if n == len(s.commands)-1 {
				exit = s.exit
			}
			if err := d.command(exit, args...); err != nil {
				return fmt.Errorf("%s, step %d: %w", flow, i+1, err)
			}
		}
		checked, err := s.check()
		if err != nil {
			return fmt.Errorf("%s, step %d: what was done is not there: %w", flow, i+1, err)
		}
		for _, c := range checked {
			d.say("   checked: %s", c)
		}
		r := demoResult{flow, i + 1, s.who, s.what, s.commands, checked}
		if d.JSON {
			if err := d.PrintJSONLine(r); err != nil {
				return err
			}
		}
	}
	return nil
}
