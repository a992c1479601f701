package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/conformance"
)

type witnessCheckFlags struct {
	vkeys                     []string
	logs, monitoring, restart string
}

func (a *app) witnessCheck() *cobra.Command {
	var f witnessCheckFlags
	cmd := &cobra.Command{
		Use: "witness-check URL --witness VKEY --logs DIR", Short: "Check from outside whether a server is a witness",
		Long: `Check whether the server at URL keeps the rules of C2SP tlog-witness: its statuses and
answers, and that it cosigns one history of a log, whatever is asked and how often at once.

The checks need logs that the witness knows. The first run makes some in DIR, and its
exit code is 2: give the list DIR/logs.txt to the witness, and run it again. Each run uses
other logs of the list, which lasts for 20 runs; two histories of each are signed.

The exit code is 1 when a rule that binds (MUST) is broken.`,
		Example: `  conmotion witness-check http://127.0.0.1:8082 --logs check --witness witness.example/w1+0a1b2c3d+BAbc...
  conmotion-witness --logs check/logs.txt
  conmotion witness-check http://127.0.0.1:8082 --logs check --witness witness.example/w1+0a1b2c3d+BAbc... \
      --restart 'systemctl restart conmotion-witness'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runWitnessCheck(cmd.Context(), args[0], f) },
	}
	fl := cmd.Flags()
	cli.Strings(fl, &f.vkeys, "witness", "verifier key of the witness; once for each key")
	fl.StringVar(&f.logs, "logs", "", "directory of the logs that the check makes up")
	fl.StringVar(&f.monitoring, "monitoring", "", "URL of the cosigned checkpoints, where it is another one")
	fl.StringVar(&f.restart, "restart", "", "command that ends the witness and starts it again, and returns when it answers (default: that check is skipped)")
	cli.Require(cmd, "witness", "logs")
	return cmd
}

// checkedWitness is what witness-check found.
type checkedWitness struct {
	OK     bool                 `json:"ok"` // no rule that binds is broken
	Checks []conformance.Result `json:"checks"`
}

func (a *app) runWitnessCheck(ctx context.Context, url string, f witnessCheckFlags) error {
	target := conformance.Target{Submission: strings.TrimRight(url, "/"), HTTP: cli.HTTPClient(100)}
	target.Monitoring = target.Submission
	if f.monitoring != "" {
		target.Monitoring = strings.TrimRight(f.monitoring, "/")
	}
	for _, vkey := range f.vkeys {
		key, err := scitt.NewCosignatureVerifier(vkey)
		if err != nil {
			return cli.Usage(fmt.Errorf("--witness: %w", err))
		}
		target.Keys = append(target.Keys, key)
	}
	if f.restart != "" {
		target.Restart = func(ctx context.Context) error {
			out, err := exec.CommandContext(ctx, "sh", "-c", f.restart).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %.500s", err, out)
			}
			target.HTTP.CloseIdleConnections()
			return nil
		}
	}
	logs, err := conformance.OpenLogs(f.logs)
	if err != nil {
		return cli.Usage(err)
	}
	results, err := conformance.Run(ctx, target, logs)
	if err != nil {
		return cli.Usage(err)
	}
	broken := 0
	rows := [][]string{}
	for _, r := range results {
		verdict := "good"
		switch {
		case r.Skipped != "":
			verdict = "not checked: " + r.Skipped
		case r.Deviates != "" && r.Level == conformance.Must:
			broken++
			verdict = "BROKEN: " + r.Deviates
		case r.Deviates != "":
			verdict = "deviates: " + r.Deviates
		}
		rows = append(rows, []string{r.Check, string(r.Level), verdict})
	}
	if err := a.Print(checkedWitness{broken == 0, results}, cli.Rows(rows)); err != nil {
		return err
	}
	if broken > 0 {
		return cli.Bad(fmt.Errorf("%s broken", plural.Of(broken, "rule")))
	}
	return nil
}
