package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/party"
)

func (a *app) fsck() *cobra.Command {
	var f cli.MemoryFlags
	cmd := &cobra.Command{
		Use: "fsck URL-or-DIR", Short: "Check a whole log",
		Long: `Check every file of a log: the checkpoint's signatures, every entry, every tile
of every level, and that the entries lead to the root that the checkpoint signs.
It reads the whole log, which may be a directory or any file server. The issuer and
the policy that the log shows in its transparency configuration must be in the log;
whether that policy is in force is for conmotion audit.
` + cli.HomeHelp,
		Example: `  conmotion fsck conmotion-data/public
  conmotion fsck --vkey transparency.example+0a1b2c3d+AY... https://transparency.example`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runFsck(cmd.Context(), args[0], f) },
	}
	f.Add(cmd)
	return cmd
}

func (a *app) runFsck(ctx context.Context, location string, f cli.MemoryFlags) error {
	log, err := a.examine(ctx, location, f)
	if err != nil {
		return err
	}
	p := a.Progress()
	r, err := log.Fsck(ctx, func(done uint64, problems int) {
		p.Show(func() string {
			return fmt.Sprintf("checked %d of %d entries, %s", done, log.Checkpoint.Size, plural.Of(problems, "problem"))
		})
	})
	p.Done()
	if err != nil {
		return err
	}
	if err := a.printFsck(r); err != nil {
		return err
	}
	if !r.OK {
		return cli.Bad(fmt.Errorf("the log is damaged: %s", plural.Of(r.Count, "problem")))
	}
	return cli.Usage(r.Unsure)
}

func (a *app) printFsck(r *party.FsckReport) error {
	receipts := "yes"
	if !r.Receipts {
		receipts = "no: the checkpoint has no tree signature by a key that is known"
	}
	rows := [][]string{{"log", r.Origin}, {"entries", fmt.Sprint(r.Size)}, {"root", r.Root}, {"signed", r.Signed}, {"receipts", receipts}}
	if r.Origin == "" {
		rows = nil
	}
	for _, p := range r.Problems {
		rows = append(rows, []string{"problem", p})
	}
	if r.Count > len(r.Problems) {
		rows = append(rows, []string{"problem", fmt.Sprintf("and %d more", r.Count-len(r.Problems))})
	}
	result := "good: every entry, every tile and the root"
	switch {
	case !r.OK:
		result = "BAD: " + plural.Of(r.Count, "problem")
	case r.Unchecked != "":
		result = "INCOMPLETE: " + r.Unchecked
	}
	return a.Print(r, cli.Rows(append(rows, []string{"result", result})))
}
