package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/conmotion/internal/demo"
	"github.com/conmotion/conmotion/cmd/internal/cli"
)

const demoLong = `Play both of the architecture's flows, one for inventory and one for configuration,
with three parties and three services (conmotiond) on free ports of this machine, in
seconds. Each party also runs a witness (conmotion-witness) of the two other logs, and
a log publishes only what both of its witnesses have cosigned:

  1  the provider stores update 1 and signs its hash
  2  the provider registers it at its own log
  3  the provider registers the same statement at the auditor's log
  4  the auditor observes update 2, which the provider did not report, stores,
     signs and registers it
  5  the auditor reads the last statements, finds what is missing, and confirms it by
     the provider's search
  6  the auditor signs and registers the measurement
  7  the customer retrieves the measurements and pushes them to its dashboard

Then the customer scans its own account: secrets are taken out, what is gone is found,
and one hidden field of a record is shown.

Every step is a command of this tool, shown as it can be typed, and is followed by
what was checked afterwards from the logs' files, on their own. Then the services
stop, and everything is verified again without them.

With --reported and --observed real input follows: exports of Prowler in OCSF, and
events of one's own. What the auditor has observed and the provider does not report
is measured. The same file given to both is no difference.

conmotiond and conmotion-witness are looked for beside this program and in the PATH; in
the source tree they are built when they are in neither place.

It leaves three logs, the parties' keys, their statements and the report in --dir,
to be explored.`

func (a *app) demo() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use: "demo [--dir DIR]", Short: "Play mutual monitoring with three services on this machine", Long: demoLong,
		Example: `  conmotion demo
  conmotion demo --dir ./monitoring --quiet
  conmotion demo --reported prowler-aws.ocsf.json --observed prowler-aws.ocsf.json --observed prowler-gcp.ocsf.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Tool = func(ctx context.Context, tool cli.App, args []string) int { return (&app{tool}).run(ctx, args) }
			return demo.Run(cmd.Context(), &a.App, o)
		},
	}
	cmd.Flags().StringVar(&o.Dir, "dir", "conmotion-demo", "directory that is made for the logs and everything else; it must not exist")
	cli.Strings(cmd.Flags(), &o.Reported, "reported", "real input: an export of Prowler (OCSF) or an event that the provider reports; once for each file")
	cli.Strings(cmd.Flags(), &o.Observed, "observed", "the same that the auditor observes")
	cmd.Flags().BoolVar(&o.Quiet, "quiet", false, "show the steps and checks, and not what the commands print")
	return cmd
}
