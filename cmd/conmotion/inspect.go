package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/scitt/inspect"
)

func (a *app) inspect() *cobra.Command {
	cmd := &cobra.Command{
		Use: "inspect FILE", Short: "Show what is in a file",
		Long: `Show what is in a file, whatever it is: a Signed or Transparent Statement, a
receipt, keys, problem details, a transparency configuration, a checkpoint, a
tlog-proof, or an entry bundle of a log. CBOR is written in diagnostic notation
(RFC 8949 section 8) with comments that name labels, algorithms and times, and
with everything that is encoded within opened. Nothing is verified.

FILE may be "-" for standard input.`,
		Example: `  conmotion inspect transparent.cose
  conmotion inspect conmotion-data/public/checkpoint
  curl -s http://127.0.0.1:8080/.well-known/scitt-keys | conmotion inspect -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runInspect(cmd.Context(), args[0]) },
	}
	return cmd
}

func (a *app) runInspect(ctx context.Context, path string) error {
	data, err := a.ReadInput(ctx, path)
	if err != nil {
		return err
	}
	found := inspect.Bytes(data)
	if len(found) == 0 {
		return cli.Bad(fmt.Errorf("%s (%d bytes) is nothing that this tool knows", path, len(data)))
	}
	return a.Print(found, func(p *cli.Page) {
		for _, o := range found {
			p.Text(o.Summary())
			if o.Diagnostic != "" {
				p.Raw(o.Diagnostic + "\n")
			}
			p.Line("")
		}
	})
}
