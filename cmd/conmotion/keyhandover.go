package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
)

// handoverFlags are the flags of key handover.
type handoverFlags struct {
	log    string
	chains []string
	old    signerFlags
	to     signerFlags
	read   readFlags
}

// handedOver is a chain that went on under another issuer.
type handedOver struct {
	Chain string           `json:"chain"`
	From  string           `json:"from"`
	To    string           `json:"to"`
	Given monitor.EntryRef `json:"given"` // the last statement of the old issuer
	Taken monitor.EntryRef `json:"taken"` // the first one of the new issuer
}

func (a *app) keyHandover() *cobra.Command {
	var f handoverFlags
	cmd := &cobra.Command{
		Use: "handover --log URL --key OLD --to NEW", Short: "Let an issuer's chains in a log go on under a new key",
		Long: `Let an issuer's chains in a log go on under a new key. The old key signs the last
statement of each chain, which names the new issuer and its key, and the new key signs
the statement after it. From then on the old key adds nothing to these chains. The
Registration Policy must say "handover": "allowed".

Only the name of an issuer that changes with its key needs this, such as a did:jwk. An
issuer with a name of its own goes on with each key that the policy has for it.

A run that was interrupted can be started again: it goes on where it was.
` + cli.HomeHelp,
		Example: `  conmotion key handover --log https://transparency.example --key issuer.pem --to issuer-2.pem`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runHandover(cmd.Context(), f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.log, "log", "", "URL of the Transparency Service")
	cli.Strings(fl, &f.chains, "chain", "name of a chain; once for each (default: all chains of the issuer in the log)")
	fl.StringVar(&f.to.key, "to", "", "new private key, as --key")
	fl.StringVar(&f.to.issuer, "to-iss", "", "new issuer (default: the did:jwk of the new key)")
	f.old.add(cmd)
	f.read.AddHome(cmd)
	f.read.addCommon(cmd)
	cli.VKeyFlag(cmd, &f.read.VKeys)
	cli.Require(cmd, "log", "to")
	return cmd
}

func (a *app) runHandover(ctx context.Context, f handoverFlags) error {
	old, err := a.openRegistrar(ctx, party.RegistrarOptions{Services: []string{f.log}}, f.old, f.read)
	if err != nil {
		return err
	}
	to, err := a.privateKey(ctx, "to", f.to.key)
	if err != nil {
		return err
	}
	heir, err := a.openRegistrar(ctx, party.RegistrarOptions{Services: []string{f.log}, Key: to}, f.to, f.read)
	if err != nil {
		return err
	}
	chains := f.chains
	if len(chains) == 0 {
		has, err := old.Chains(ctx)
		if err != nil {
			return err
		}
		chains = slices.Sorted(maps.Keys(has))
	}
	if len(chains) == 0 {
		return cli.Usage(fmt.Errorf("the issuer of --key has no chain in the log at %s", f.log))
	}
	if old.Issuer == heir.Issuer {
		return cli.Usage(errors.New("a handover is from one issuer to another"))
	}
	for _, name := range chains {
		done := handedOver{Chain: name, From: old.Issuer, To: heir.Issuer}
		if done.Given, done.Taken, err = old.HandOver(ctx, heir, name); err != nil {
			return fmt.Errorf("chain %q: %w", name, err)
		}
		if err := a.PrintLine(done, cli.Rows([][]string{{"chain", name}, {"from", done.From}, {"to", done.To},
			{"given", fmt.Sprintf("entry %d of %s", done.Given.Index, done.Given.Origin)}, {"taken", fmt.Sprintf("entry %d", done.Taken.Index)}})); err != nil {
			return err
		}
	}
	return nil
}
