// Command conmotion-witness runs a witness of transparency logs (C2SP tlog-witness).
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"
	_ "modernc.org/sqlite" // the driver of SQLite

	"github.com/conmotion/conmotion/cmd/internal/cli"
)

func main() {
	os.Exit(cli.Main(run))
}

func run(ctx context.Context, a *cli.App, args []string) int { return a.Run(ctx, root(a), args) }

const long = `conmotion-witness cosigns the checkpoints of transparency logs (C2SP tlog-witness),
each only if it is consistent with all that it cosigned of its log before: so a log
cannot show two histories to those who ask for the cosignatures of its witnesses.

Without flags it makes keys of its own in ./conmotion-witness-data and serves
http://127.0.0.1:8082. It knows no logs at first. "log add" adds one, also while the
witness runs; --logs reads a file, and --log-list fetches the list of a witness
network, in the format of https://witness-network.org.

--mirror keeps the logs, and cosigns with another key, NAME/mirror, what is there
durably (C2SP tlog-mirror). --audit replays every admission, and cosigns with a third
key, NAME/audited, what holds no entry that the policy in force does not allow; the
evidence against another log is published. Both read a log that was added by its URL there.

The keys and what was cosigned belong together. Whoever puts back a backup of one of
them could sign what contradicts an earlier cosignature: the witness refuses to start
then, as far as the guard shows it (docs/witness.md).`

func root(a *cli.App) *cobra.Command {
	var f serveFlags
	root := a.Root(&cobra.Command{
		Use: "conmotion-witness", Short: "Cosign the checkpoints of transparency logs", Long: long,
		Example: `  # a witness with keys of its own on http://127.0.0.1:8082
  conmotion-witness

  # it cosigns the log of a service from now on
  conmotion-witness log add https://transparency.example

  # three witnesses for a log on this machine, to try what a quorum is
  conmotion-witness try http://127.0.0.1:8080

  # in public, with the logs of a witness network
  conmotion-witness --listen :443 --tls-cert cert.pem --tls-key key.pem --name witness.example/w1 \
      --guard /mnt/other-disk/guard --log-list https://testing.witness-network.org/log-list.1`,
	}, cli.Group{Title: "Commands:", Commands: []*cobra.Command{logCommand(a), tryCommand(a)}})
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.server.Complete(cmd.Context(), cmd.Flags(), a.Stderr); err != nil {
			return err
		}
		ctx, stop := f.server.Until(cmd.Context(), a.Stdin)
		defer stop()
		return serve(ctx, f, welcome(a, f))
	}
	f.add(root.Flags())
	return root
}
