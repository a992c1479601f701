package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/cmd/internal/searching"
)

// app has the commands.
type app struct{ cli.App }

// groups are the commands, by who needs them.
func (a *app) groups() []cli.Group {
	return []cli.Group{
		{Title: "Statements and Receipts:", Commands: []*cobra.Command{a.keygen(), a.key(), a.sign(), a.submit(), a.receipt(), a.verify(), a.inspect(), a.artifact()}},
		{Title: "Logs:", Commands: []*cobra.Command{a.policy(), a.audit(), a.monitor(), a.fsck(), a.export(), a.mirror(), a.witnessCheck(), searching.Command(&a.App, searching.AtService), a.bench()}},
		{Title: "Publish records:", Commands: []*cobra.Command{a.record(), a.importing(), a.disclose(), a.head()}},
		{Title: "Use records:", Commands: []*cobra.Command{a.replay(), a.ack(), a.endorsements(), a.requireCommand(), a.report()}},
		{Title: "Audit what others report:", Commands: []*cobra.Command{a.observe(), a.compare(), a.measure(), a.endorse(), a.dispute(), a.withdraw()}},
		{Title: "To see all of it:", Commands: []*cobra.Command{a.demo()}},
	}
}

const rootLong = `conmotion makes Signed Statements, registers them with a SCITT Transparency
Service, and verifies what comes back, with the service or without it.

Data goes to standard output, notices and progress to standard error. The exit
code is 0 when all is well, 1 when the thing that was checked is bad or was
refused, 2 when there is no verdict, and 3 when an audit found duplicates in a log
and nothing else: conmotion help exit-codes.`

const rootExample = `  conmotion keygen --out issuer.pem
  conmotion sign --key issuer.pem --sub my-first-asset --out s.cose README.md
  conmotion submit --log http://127.0.0.1:8080 --out transparent.cose s.cose
  conmotion verify --log http://127.0.0.1:8080 --payload README.md transparent.cose`

func (a *app) root() *cobra.Command {
	return a.Root(&cobra.Command{Use: "conmotion", Short: "Make, register and verify SCITT statements", Long: rootLong, Example: rootExample}, a.groups()...)
}

// run runs a command and returns its exit code.
func (a *app) run(ctx context.Context, args []string) int { return a.Run(ctx, a.root(), args) }

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
