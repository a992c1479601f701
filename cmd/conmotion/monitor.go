package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/watch"
)

type monitorFlags struct {
	config      string
	once, check bool
}

const monitorLong = `Follow any number of logs from their static files, and tell what is wrong with
them or new in them.

Always reported: a log that cannot be reached or read (each reason by its name),
that shows other keys or is another log, that shows an older state for long, that
signed two histories (with a proof file that anybody can verify), and whose old
entries or tiles change or go. Reported when the
configuration asks: no new checkpoint or entry for some time; entries that the
policy in force at their index does not admit; new records by a filter;
expected records that did not come; measurements over a threshold, or that are
not what their logs lead to; endorsements that end soon.

An alert is a line on standard output (with --json its JSON) and goes to every
webhook and command of the configuration. What lasts is reported when it begins and
when it ends. The state directory holds where each log is and the alerts that
are on their way: killed and started again at any point, the monitor skips
nothing. Each alert reaches each receiver at least once and, unless the monitor
was killed between a delivery and its note, exactly once; "id" is always the
same for the same alert, so that receivers can drop a repetition.

--once looks one time at each log, for cron and scripts. Exit code 0: no alert,
and no condition holds. 1: there are alerts, or conditions that hold. 2: wrong
configuration, or an alert could not be delivered; it stays for the next run.
Without --once the monitor runs until it is interrupted and ends with 0.

A configuration that shows everything:

`

func (a *app) monitor() *cobra.Command {
	var f monitorFlags
	cmd := &cobra.Command{
		Use: "monitor --config FILE", Short: "Follow logs and tell what is wrong or new",
		Long: monitorLong + indent(watch.Example),
		Example: `  conmotion monitor --config monitor.yaml --check
  conmotion monitor --config monitor.yaml
  conmotion monitor --config monitor.yaml --once > alerts.txt || mail -s "log alerts" operations < alerts.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runMonitor(cmd.Context(), f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "", "YAML file that says what to watch and whom to tell")
	fl.BoolVar(&f.once, "once", false, "look one time at each log, deliver, and end")
	fl.BoolVar(&f.check, "check", false, "only check the configuration")
	cli.Require(cmd, "config")
	cmd.MarkFlagsMutuallyExclusive("once", "check")
	return cmd
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

func (a *app) runMonitor(ctx context.Context, f monitorFlags) (err error) {
	data, err := cli.ReadFileFlag(ctx, "config", f.config)
	if err != nil {
		return err
	}
	c, err := watch.ParseConfig(data)
	if err != nil {
		return cli.Usage(fmt.Errorf("--config %s: %w", f.config, err))
	}
	dir, err := filepath.Abs(filepath.Dir(f.config))
	if err != nil {
		return err
	}
	c.Resolve(dir)
	if f.check {
		a.Say("the configuration is good: %s", plural.Of(len(c.Logs), "log"))
		return nil
	}
	limitMemory() // to compute a measurement again replays two logs
	out := *a
	out.Stdout, out.Stderr = &oneWriter{w: a.Stdout}, &oneWriter{w: a.Stderr}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = cli.Readers
	w, err := watch.New(ctx, c, watch.Options{
		Line: out.printAlert, Output: out.Stderr, Transport: transport, Notice: out.Notice,
	})
	if err != nil {
		return cli.Usage(err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if !f.once {
		w.Run(ctx)
		return nil
	}
	r := w.Once(ctx)
	switch {
	case r.Alerts > 0 || r.Holding > 0:
		return cli.Bad(fmt.Errorf("%s; %s", plural.Of(r.Alerts, "new alert"), plural.Verb(r.Holding, "condition", "holds", "hold")))
	case r.Undelivered > 0:
		return cli.Usage(fmt.Errorf("%s could not be delivered, and %s for the next run", plural.Of(r.Undelivered, "alert"), plural.Form(r.Undelivered, "stays", "stay")))
	}
	return cli.Usage(ctx.Err())
}

// alertLine is an alert as --json prints it: as its receivers get it.
type alertLine []byte

// Write writes it.
func (l alertLine) Write(w io.Writer) error {
	_, err := w.Write(slices.Concat(l, []byte("\n"))) // others read the alert too
	return err
}

// printAlert prints an alert as one line.
func (a *app) printAlert(alert *watch.Alert, data []byte) error {
	return a.PrintLine(alertLine(data), func(p *cli.Page) {
		word := strings.ToUpper(string(alert.Severity))
		if alert.Status == watch.Resolved {
			word = "RESOLVED"
		}
		rule := string(alert.Check)
		if alert.Rule != "" {
			rule += " (" + alert.Rule + ")"
		}
		p.Line("%s  %-13s  %s  %s: %s", alert.Time.Format(time.RFC3339), word, alert.Log, rule, alert.Message)
	})
}

// oneWriter has its writes one after the other.
type oneWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements [io.Writer].
func (o *oneWriter) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}
