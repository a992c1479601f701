// Command conmotion-signer signs with a key in a KMS or an HSM for another program,
// over standard input and output, and ends when its input does.
package main

import (
	"context"
	"fmt"
	"io"
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

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run runs the program and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	openers := kms.Openers()
	openers["pkcs11"] = pkcs11.Open
	cmd := &cobra.Command{
		Use: helper.Program, Short: "Sign with a key in a KMS or an HSM, for another program", Long: long,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return helper.Serve(cmd.Context(), stdin, stdout, openers, keys.DefaultTimeout)
		},
	}
	version.Add(cmd)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(stderr, helper.Program+":", printable.Message(err.Error()))
		return 1
	}
	return 0
}
