package main

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
)

// keysCommand makes keys before there is a log, for instances that share them.
func keysCommand(stdout io.Writer) *cobra.Command {
	var c config
	var recovery string
	cmd := &cobra.Command{
		Use: "keys --issuer URL DIR", Short: "Make the keys of a new service, for --keys of its instances",
		Long: `keys makes the keys that sign checkpoints, Receipts and the service's own
statements, and service.json, which says whose they are. They go into the
directory DIR, which all instances of the service get with --keys. The recovery
key goes into another file, which no instance needs: keep it offline.`,
		Example: `  conmotiond keys --issuer https://transparency.example --recovery-key recovery-key.pem keys`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c.Keys = args[0]
			if err := c.checkName(); err != nil {
				return err
			}
			recovery = cmp.Or(recovery, filepath.Clean(c.Keys)+"-recovery.pem")
			if err := daemon.MakeKeys(c.Config, recovery); err != nil {
				return err
			}
			_, err := fmt.Fprintf(stdout, "keys      %s   (for --keys; nobody else may read them)\nrecovery  %s   (move it off the machine, and keep it)\n", c.Keys, recovery)
			return err
		},
	}
	f := cmd.Flags()
	c.addName(f)
	f.StringVar(&recovery, "recovery-key", "", "file for the recovery key (default: beside DIR, with -recovery.pem after its name)")
	return cmd
}
