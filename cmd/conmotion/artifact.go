package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

func (a *app) artifact() *cobra.Command {
	cmd := &cobra.Command{
		Use: "artifact", Short: "Store and fetch the content behind hashes",
		Long: `Store and fetch artifacts: the content of statements that sign only a hash
(RFC 9995). A storage keeps them beside a log and names each by its SHA-256. It
is not trusted: what comes from it is hashed again here.

A storage may ask for a token to store, and for another one to read. --token-file
names a file with the token.`,
		Example: `  conmotion artifact put --store http://127.0.0.1:8080 image.iso
  conmotion sign --key issuer.pem --sub image --hash --store http://127.0.0.1:8080 --out s.cose image.iso
  conmotion verify --log http://127.0.0.1:8080 --artifacts http://127.0.0.1:8080 transparent.cose`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.artifactPut(), a.artifactGet(), a.artifactToken())
	return cmd
}

// parseDigest reads a SHA-256 with or without "sha256:" before it.
func parseDigest(s string) (reader.Digest, error) {
	d, err := reader.ParseDigest(strings.TrimPrefix(s, "sha256:"))
	if err != nil {
		return d, cli.Usage(fmt.Errorf("%q is not a SHA-256 in 64 lower case hex digits, with or without sha256: before it", s))
	}
	return d, nil
}

// amount writes a number of bytes for people; a total below 0 is not known.
func amount(done, total int64) string {
	if total < 0 {
		return fmt.Sprintf("%.1f MB", float64(done)/1e6)
	}
	return fmt.Sprintf("%.1f of %.1f MB", float64(done)/1e6, float64(total)/1e6)
}

func (a *app) artifactToken() *cobra.Command {
	var name, out string
	cmd := &cobra.Command{
		Use: "token --name NAME [--out FILE]", Short: "Make a token for an artifact storage",
		Long: `Make a token, for its holder, and the line that lets the service know it, which
holds only its hash. The line goes into the file that conmotiond reads with
--artifact-write-tokens or --artifact-read-tokens, at its next start. The name
says in the service's log who stored what.

With --out the token goes to a file (mode 0600; an existing one is never
replaced) and only the line is printed.`,
		Example: `  conmotion artifact token --name build-server --out build-server.token >> write-tokens`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.runArtifactToken(name, out) },
	}
	cmd.Flags().StringVar(&name, "name", "", `who holds it: up to 64 letters, digits and ".", "_", "-", "@"`)
	cmd.Flags().StringVar(&out, "out", "", "file for the token")
	cli.Require(cmd, "name")
	return cmd
}

func (a *app) runArtifactToken(name, out string) error {
	token, line, err := artifact.NewToken(name)
	if err != nil {
		return cli.Usage(fmt.Errorf("--name: %w", err))
	}
	if out != "" {
		if err := keys.Create(out, []byte(token+"\n")); err != nil {
			return err
		}
		a.Notice("wrote %s: the token, to be kept secret", out)
	} else {
		a.Notice("the token is shown once and kept nowhere; the line is for the service")
	}
	if out != "" {
		return a.Print(madeToken{File: out, Line: line}, func(p *cli.Page) { p.Line("%s", line) })
	}
	return a.Print(madeToken{Token: token, Line: line}, cli.Rows([][]string{{"token", token}, {"line", line}}))
}

// madeToken is a new token as --json prints it: the token, or its file.
type madeToken struct {
	File  string `json:"file,omitempty"`
	Token string `json:"token,omitempty"`
	Line  string `json:"line"`
}
