// Command conmotion-signer signs with a key in a KMS or an HSM for another program,
// over standard input and output, and ends when its input does.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/kms"
	"github.com/conmotion/conmotion/cmd/internal/version"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/keys/helper"
	"github.com/conmotion/conmotion/keys/pkcs11"
)

const long = `conmotion-signer opens keys in AWS KMS, Google Cloud KMS and, when it is built with
-tags pkcs11, in an HSM, for conmotion and the other programs, which start it when
a key is named by a URI (docs/keys.md). Nobody else needs to.

It reads requests from standard input and answers on standard output, one JSON object
a line, and ends when its input does. The first request names the key.`

func main() {
	openers := kms.Openers()
	openers["pkcs11"] = pkcs11.Open
	cmd := &cobra.Command{
		Use: helper.Program, Short: "Sign with a key in a KMS or an HSM, for another program", Long: long,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return helper.Serve(cmd.Context(), os.Stdin, os.Stdout, openers, keys.DefaultTimeout)
		},
	}
	version.Add(cmd)
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, helper.Program+":", printable.Message(err.Error()))
		os.Exit(1)
	}
}
