package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/printable"
	"github.com/conmotion/conmotion/keys"
	"github.com/conmotion/conmotion/keys/helper"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt/did"
)

type headFlags struct {
	readFlags
	log, issuer, chain, out string
}

func (a *app) head() *cobra.Command {
	var f headFlags
	cmd := &cobra.Command{
		Use: "head --log URL-or-DIR --issuer ISSUER [--chain NAME]", Short: "Show an issuer's newest record in a log",
		Long: `Find the newest record or observation of an issuer in a log, or with --chain the
head of that chain, such as inventory or configuration: the statement that the
next one links to. It is proven to be in the log; the files of the log are enough.

--log is the URL of a service, or of any server that has the log's files, or a
directory with them. ISSUER is the iss of the statements, or a file with the
issuer's key, private or public, that stands for its did:jwk. Without such an
entry the exit code is 1. It is 2 where the log has entries that may be newer: by
this issuer, whose key is not known (--issuer-key), or nobody's statement.
` + cli.HomeHelp,
		Example: `  conmotion head --log https://transparency.example --issuer issuer.pem --chain inventory
  conmotion head --log conmotion-data/public --issuer did:jwk:eyJr... --out newest.cose`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runHead(cmd.Context(), f) },
	}
	f.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the log, or directory with its files")
	fl.StringVar(&f.issuer, "issuer", "", "the issuer, or a file with its key")
	fl.StringVar(&f.chain, "chain", "", "name of a chain (default: the newest record or observation, in a chain or not)")
	fl.StringVar(&f.out, "out", "", `file for the Transparent Statement, or "-"`)
	cli.Require(cmd, "log", "issuer")
	return cmd
}

// headInfo is what head prints.
type headInfo struct {
	party.Head
	Out string `json:"out,omitempty"`
}

func (a *app) runHead(ctx context.Context, f headFlags) error {
	issuer, err := a.issuerOf(ctx, f.issuer)
	if err != nil {
		return err
	}
	f.newest = true
	l, err := a.openLog(ctx, f.log, f.readFlags)
	if err != nil {
		return err
	}
	p := a.Progress()
	h, unread, err := l.Head(ctx, issuer, f.chain, p.Of("search"))
	p.Done()
	if err == nil {
		err = a.printHead(ctx, f, h)
	} else if !errors.Is(err, party.ErrNoEntry) {
		return err
	}
	if !unread.Any() {
		return err
	}
	return cli.Usage(errors.Join(err, fmt.Errorf("one that is newer may be there: %s", unread)))
}

func (a *app) printHead(ctx context.Context, f headFlags, h *party.Head) error {
	if f.out != "" {
		if err := a.WriteOutput(ctx, f.out, h.Transparent); err != nil || f.out == "-" {
			return err
		}
	}
	chain := ""
	if h.Chain != nil {
		chain = fmt.Sprintf("%s, seq %d", h.Chain.Name, h.Chain.Seq)
	}
	return a.Print(headInfo{*h, f.out}, cli.Rows([][]string{
		{"entry", fmt.Sprintf("%d of %d in %s", h.Index, h.Size, h.Origin)}, {"entry id", h.EntryID}, {"issuer", h.Issuer},
		{"subject", h.Subject}, {"type", h.Type}, {"signed", printable.Time(h.IssuedAt)}, {"chain", chain},
		{"receipt", fmt.Sprintf("verified, for the checkpoint of %d entries", h.Size)}, {"wrote", f.out},
	}))
}

// issuerOf reads a flag that is an issuer, or what names a key that one is named by.
func (a *app) issuerOf(ctx context.Context, value string) (string, error) {
	if _, err := os.Stat(value); err != nil && helper.Openers()[keys.Scheme(value)] == nil && !strings.HasPrefix(value, "file:") {
		return value, nil // neither a file nor the URI of a key: the issuer itself
	}
	k, err := a.anyKey(ctx, "issuer", value)
	if err != nil {
		return "", err
	}
	return did.NewJWK(k.public)
}
