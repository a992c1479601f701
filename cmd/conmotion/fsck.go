package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/tiles"
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

// mostProblems is how many problems are listed; all are counted.
const mostProblems = 100

// fsckReport is what fsck found.
type fsckReport struct {
	OK       bool     `json:"ok"`
	Origin   string   `json:"origin,omitempty"`
	Size     uint64   `json:"size"`
	Root     string   `json:"root,omitempty"`
	Signed   string   `json:"signed,omitempty"` // when, as RFC 3339
	Receipts bool     `json:"receipts"`         // the checkpoint can make them
	Count    int      `json:"problem_count"`
	Problems []string `json:"problems"` // the first hundred
	// Unchecked is what could not be checked, although nothing is wrong.
	Unchecked string `json:"unchecked,omitempty"`
}

func (r *fsckReport) add(err error) {
	r.Count++
	if len(r.Problems) < mostProblems {
		r.Problems = append(r.Problems, err.Error())
	}
}

func (a *app) runFsck(ctx context.Context, location string, f cli.MemoryFlags) error {
	report := &fsckReport{Problems: []string{}}
	log, err := a.examine(ctx, location, f)
	if err != nil {
		return err
	}
	if err := a.check(ctx, log, report); err != nil {
		return err
	}
	report.OK = report.Count == 0
	if err := a.printFsck(report); err != nil {
		return err
	}
	if !report.OK {
		return cli.Bad(fmt.Errorf("the log is damaged: %s", plural.Of(report.Count, "problem")))
	}
	if report.Unchecked != "" {
		return cli.Usage(errors.New(report.Unchecked))
	}
	return nil
}

// check fills the report. The error is about what kept it from looking.
func (a *app) check(ctx context.Context, log *party.Log, report *fsckReport) error {
	cp := log.Checkpoint
	if cp == nil {
		report.add(log.Damage)
		return nil
	}
	report.Origin, report.Size, report.Root = cp.Origin, cp.Size, hex.EncodeToString(cp.Root)
	if cp.Tree != nil {
		report.Receipts, report.Signed = true, printable.Time(cp.Tree.IssuedAt)
	}
	p := a.Progress()
	defer p.Done()
	err := tiles.Fsck(ctx, log.Files.Source, cp, report.add, func(done uint64) {
		p.Show(func() string {
			return fmt.Sprintf("checked %d of %d entries, %s", done, cp.Size, plural.Of(report.Count, "problem"))
		})
	})
	if errors.Is(err, tiles.ErrCorrupt) || isMissing(err) {
		// A file that the checkpoint covers and that cannot be read.
		report.add(err)
		return nil
	}
	if err == nil && report.Count == 0 && log.Damage != nil {
		report.add(log.Damage) // it was there when the log was opened
	}
	if err != nil || report.Count > 0 || log.Configuration == nil {
		return err
	}
	switch err = log.View.CheckConfiguration(ctx, log.Configuration); {
	case errors.Is(err, tiles.ErrConfiguration):
		report.add(err)
	case errors.Is(err, tiles.ErrAhead):
		report.Unchecked = err.Error()
	default:
		return err
	}
	return nil
}

func (a *app) printFsck(r *fsckReport) error {
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
