// Package demo plays mutual monitoring: three parties, and three services on this
// machine.
package demo

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

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor/party"
)

// Options are what is played, and where.
type Options struct {
	Dir                string // that is made for the logs and everything else
	Reported, Observed []string
	Quiet              bool // show the steps and checks, and not what the commands print
	// Tool runs the tool, with its memory in a directory, as a process of its own would.
	Tool func(ctx context.Context, app cli.App, args []string) (code int)
}

// demonstration is one run of the demo.
type demonstration struct {
	*cli.App
	ctx     context.Context
	dir     string
	options Options

	program                     string // conmotiond
	provider, auditor, customer *service
	// keys are the parties' did:jwk by name; their files are NAME.pem.
	keys  map[string]string
	start time.Time // of the interval that is measured
}

// Result is a step that was played, as --json prints it.
type Result struct {
	Flow     string     `json:"flow"`
	Step     int        `json:"step"`
	Who      string     `json:"who"`
	What     string     `json:"what"`
	Commands [][]string `json:"commands"`
	Checked  []string   `json:"checked"`
}

// Run plays both flows. A crash leaves what was played until then in the directory.
func Run(ctx context.Context, a *cli.App, o Options) (err error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	for _, file := range slices.Concat(o.Reported, o.Observed) {
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
	d := &demonstration{App: a, ctx: ctx, dir: dir, options: o, keys: map[string]string{}, start: time.Now().UTC().Truncate(time.Second)}
	if d.program, err = find(ctx, dir, "conmotiond"); err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	var witnesses []*process
	stop := func() (err error) {
		for _, s := range d.services() {
			err = errors.Join(err, s.stop())
		}
		for _, w := range witnesses {
			err = errors.Join(err, w.stop())
		}
		witnesses = nil
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for i, s := range []**service{&d.provider, &d.auditor, &d.customer} {
		name := []string{"provider", "auditor", "customer"}[i]
		*s = &service{name: name, dir: filepath.Join(dir, name)}
		if err = (*s).start(ctx, d.program, "127.0.0.1:0"); err != nil {
			return err
		}
		d.Say("the %s's service is %s", name, (*s).url)
	}
	if err := d.watchEachOther(func(p *process) { witnesses = append(witnesses, p) }); err != nil {
		return err
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
	steps, err := d.estate()
	if err != nil {
		return err
	}
	if err := d.play("own inventory", steps); err != nil {
		return err
	}
	if len(o.Reported)+len(o.Observed) > 0 {
		steps, err := d.realInput(o.Reported, o.Observed)
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

// services are those that were started.
func (d *demonstration) services() (all []*service) {
	for _, s := range []*service{d.provider, d.auditor, d.customer} {
		if s != nil {
			all = append(all, s)
		}
	}
	return all
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
	d.Say("   $ conmotion %s", shellLine(args))
	var stdout, stderr bytes.Buffer
	tool := cli.App{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Home: d.path("home"), Among: &party.Among{}}
	code := d.options.Tool(d.ctx, tool, args)
	if !d.options.Quiet {
		for line := range strings.Lines(stdout.String()) {
			d.Say("     %s", strings.TrimRight(line, "\n"))
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

// step is one step of a flow.
type step struct {
	who, what string
	exit      int
	commands  [][]string // the last of them ends with exit, the others well
	// check looks at the result without the command, and says at what.
	check func() ([]string, error)
}

// play plays one of the two flows.
func (d *demonstration) play(flow string, steps []step) error {
	d.Say("\n%s", strings.ToUpper(flow[:1])+flow[1:])
	for i, s := range steps {
		d.Say("\n%d  %s: %s", i+1, s.who, s.what)
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
		r := Result{flow, i + 1, s.who, s.what, s.commands, checked}
		if err := d.PrintLine(r, func(p *cli.Page) {
			for _, c := range checked {
				p.Line("   checked: %s", c)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}
