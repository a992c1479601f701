package main

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/cmd/internal/kms"
)

// keysCommand makes keys before there is a log, for instances that share them.
func keysCommand(stdout io.Writer) *cobra.Command {
	var c config
	var recovery string
	var elsewhere daemon.Elsewhere
	cmd := &cobra.Command{
		Use: "keys --issuer URL DIR", Short: "Make the keys of a new service, for --keys of its instances",
		Long: `keys makes the keys that sign checkpoints, Receipts and the service's own
statements, and service.json, which says whose they are. They go into the
directory DIR, which all instances of the service get with --keys. The recovery
key goes into another file, which no instance needs: keep it offline.

A key in a KMS or an HSM, which is there already, is given by its URI (docs/keys.md).
Its file in DIR then has that URI, and the service signs with it there.`,
		Example: `  conmotiond keys --issuer https://transparency.example --recovery-key recovery-key.pem keys

  # the keys are in AWS KMS; the recovery key is not
  conmotiond keys --issuer https://transparency.example keys \
      --note-key awskms:///arn:aws:kms:eu-central-1:111122223333:key/0a1b... \
      --receipt-key awskms:///arn:aws:kms:eu-central-1:111122223333:key/2c3d... \
      --service-key awskms:///arn:aws:kms:eu-central-1:111122223333:key/4e5f...`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Keys, c.KeyOpeners = args[0], kms.Openers()
			if err := c.checkName(); err != nil {
				return err
			}
			recovery = cmp.Or(recovery, filepath.Clean(c.Keys)+"-recovery.pem")
			if err := daemon.MakeKeys(cmd.Context(), c.Config, recovery, elsewhere); err != nil {
				return err
			}
			_, err := fmt.Fprintf(stdout, "keys      %s   (for --keys; nobody else may read them)\nrecovery  %s   (move it off the machine, and keep it)\n", c.Keys, recovery)
			return err
		},
	}
	f := cmd.Flags()
	c.addName(f)
	f.StringVar(&elsewhere.Note, "note-key", "", "URI of the Ed25519 key that signs checkpoints (default: one is made, in a file)")
	f.StringVar(&elsewhere.Receipt, "receipt-key", "", "URI of the ES256 key that signs Receipts (default: one is made, in a file)")
	f.StringVar(&elsewhere.Service, "service-key", "", "URI of the ES256 key that signs the service's own statements (default: one is made, in a file)")
	f.StringVar(&recovery, "recovery-key", "", "file for the recovery key (default: beside DIR, with -recovery.pem after its name)")
	return cmd
}
