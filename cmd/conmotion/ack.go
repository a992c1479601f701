package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
)

// ackFlags are the flags of ack.
type ackFlags struct {
	counterFlags
	asset, note string
	upstream    []string
}

func (a *app) ack() *cobra.Command {
	var f ackFlags
	cmd := &cobra.Command{
		Use: "ack ENTRY --log URL --key FILE --asset UID", Short: "Acknowledge a record of another log: one's own asset is an instance of its assets",
		Long: `Register an acknowledgement in one's own log: "my asset is an instance of the
assets that this record of another log is about". The upstream's Transparent
Statement is embedded, so that the acknowledgement can be verified without the
upstream's log and after its end.

ENTRY is the URL of the upstream's entry, or its entry id or index with
--upstream-log. Before anything is registered it is read and verified: the
upstream's checkpoint with the keys that are remembered, or given with
--upstream-vkey, the entry's place in the log, the issuer's signature, the
Receipt, and the content behind a hash. What does not verify is refused with
exit code 1, and nothing is registered.

Of the upstream's Receipts only the one of its log is embedded. An
acknowledgement that is too large for an entry (65,535 bytes) all the same is
stored as an artifact with the service in --log, which registers its hash.

There is a warning for an asset that the records in --log do not have, since it may be
misspelled; it is acknowledged all the same.

The acknowledgement names the log that it is registered in as its home. Carried
to another log by somebody else it counts there only as of that log.

A run that was interrupted can be started again: it registers the statement
that was signed then, and not a second one.
` + cli.HomeHelp,
		Example: `  conmotion ack https://provider.example/entries/5a1c... --log https://customer.example \
      --key customer.pem --asset vm-web-1 --upstream-asset i-0abc`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runAck(cmd.Context(), f, args[0]) },
	}
	f.add(cmd, "upstream")
	fl := cmd.Flags()
	fl.StringVar(&f.asset, "asset", "", "uid of the asset in your inventory")
	cli.Strings(fl, &f.upstream, "upstream-asset", "uid of the record's asset that is meant (default: all of them); once for each")
	fl.StringVar(&f.note, "note", "", "text for people")
	cli.Require(cmd, "asset")
	return cmd
}

func (a *app) runAck(ctx context.Context, f ackFlags, name string) error {
	up, entry, err := a.findEntry(ctx, name, f.entry.log, f.read())
	if err != nil {
		return err
	}
	transparent, verifier, err := up.Evidence(ctx, entry)
	if err != nil {
		return err
	}
	content, err := up.ContentOf(ctx, entry)
	if isMissing(err) {
		err = cli.Bad(err) // nothing can be acknowledged without it
	}
	if err != nil {
		return err
	}
	r, err := a.openRegistrar(ctx, party.RegistrarOptions{Services: []string{f.log}}, f.signer, f.own)
	if err != nil {
		return err
	}
	draft := monitor.Acknowledgement{Asset: f.asset, Home: r.Log().Origin(), Upstream: f.upstream, Note: f.note, Transparent: transparent}
	ack, err := monitor.NewAcknowledgement(verifier, draft, content)
	if err != nil {
		return err
	}
	a.warnOfStranger(ctx, r.Log(), f.asset)
	payload, options, err := ack.ToSign()
	if err != nil {
		return err
	}
	words := slices.Concat([]string{"acknowledgement", ack.Entry.EntryID, ack.Asset, ack.Note}, ack.Upstream)
	return a.attest(ctx, r, f.counterFlags, party.Draft{Content: payload, Options: options, OrHash: true, Words: words}, ack.Entry,
		[]string{"asset", fmt.Sprintf("%s is %s", ack.Asset, strings.Join(ack.Upstream, ", "))})
}

// warnOfStranger tells when an asset is not in the inventory that the records in one's own log amount to.
func (a *app) warnOfStranger(ctx context.Context, own *party.Log, asset string) {
	switch has, sure, err := own.HasAsset(ctx, asset); {
	case err != nil:
		a.Notice("warning: whether %s is in the inventory in %s is not known: %v", asset, own.Location, err)
	case has:
	case sure:
		a.Notice("warning: %s is not in the inventory in %s", asset, own.Location)
	default:
		a.Notice("warning: %s is not in the inventory in %s, as far as that can be read", asset, own.Location)
	}
}
