package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
)

// serviceHelp is for commands that take a service's Receipt keys.
const serviceHelp = cli.HomeHelp + ` With --log the files are those at
the URL of the service. A service of other software may have none there: then its
keys are those that it gives now, with a notice, and nothing is remembered of it.`

// readFlags are how the logs of a command are opened: see [party.Options].
type readFlags struct {
	cli.MemoryFlags
	artifacts, token string
	limits           reader.Limits // of one artifact
	issuerKeys       []string
	newest           bool // what was seen and is not shown would change the result
}

// add adds the flags of a command that reads logs.
func (f *readFlags) add(cmd *cobra.Command) {
	f.MemoryFlags.Add(cmd)
	f.addContent(cmd)
}

// addWriting adds the flags of a command that registers statements too.
func (f *readFlags) addWriting(cmd *cobra.Command) {
	f.AddHome(cmd)
	cli.VKeyFlag(cmd, &f.VKeys)
	f.addContent(cmd)
}

func (f *readFlags) addContent(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.artifacts, "artifacts", "", "content behind hashes: URL of a service, or directory of an artifact storage (default: where the log is, such as private/ beside public/)")
	f.addCommon(cmd)
}

// addCommon adds the flags that do not depend on the log.
func (f *readFlags) addCommon(cmd *cobra.Command) {
	fl := cmd.Flags()
	cli.TokenFlag(cmd, &f.token)
	cli.LimitFlags(cmd, &f.limits)
	cli.Strings(fl, &f.issuerKeys, "issuer-key", "ISSUER=FILE: the public key of an issuer that is no did:jwk or did:key; once for each")
}

// examine opens a log to check it, which may be damaged: see [party.Log.Damage].
func (a *app) examine(ctx context.Context, location string, f cli.MemoryFlags) (*party.Log, error) {
	o, err := a.LogOptions(ctx, f)
	if err != nil {
		return nil, err
	}
	o.Examine = true
	return party.Open(ctx, location, o)
}

// partyOptions reads what the flags name. The verifier keys are for the one log of
// a command; a command with several takes them away.
func (a *app) partyOptions(ctx context.Context, f readFlags) (party.Options, error) {
	o, err := a.LogOptions(ctx, f.MemoryFlags)
	if err != nil {
		return o, err
	}
	if err := cli.CheckLimits(f.limits); err != nil {
		return o, err
	}
	o.Artifacts, o.Limits, o.Newest, o.IssuerKeys = f.artifacts, f.limits, f.newest, map[string]scitt.Key{}
	for _, pair := range f.issuerKeys {
		issuer, _, key, err := readIssuerPair(ctx, pair)
		if err != nil {
			return o, err
		}
		o.IssuerKeys[issuer] = *key
	}
	if f.token != "" {
		if o.Token, err = cli.ReadToken(ctx, "token-file", f.token); err != nil {
			return o, err
		}
	}
	return o, nil
}

// readIssuerPair reads ISSUER=FILE, the public key of an issuer.
func readIssuerPair(ctx context.Context, pair string) (issuer, path string, key *scitt.Key, err error) {
	i := strings.LastIndex(pair, "=") // an issuer may have "=" in it, and file names seldom do
	if i < 1 {
		return "", "", nil, cli.Usage(fmt.Errorf("--issuer-key %q is not ISSUER=FILE", pair))
	}
	key, err = readIssuerKey(ctx, pair[i+1:])
	return pair[:i], pair[i+1:], key, err
}

// openLog opens a log to read.
func (a *app) openLog(ctx context.Context, location string, f readFlags) (*party.Log, error) {
	o, err := a.partyOptions(ctx, f)
	if err != nil {
		return nil, err
	}
	return party.Open(ctx, location, o)
}

// noVerdict marks an error as no verdict on what a command is about, unless it
// is one on the log.
func noVerdict(err error) error {
	if party.IsOtherLog(err) {
		return err
	}
	return cli.Usage(err)
}

// signerFlags are who signs.
type signerFlags struct{ key, issuer string }

func (f *signerFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.key, "key", "", cli.KeyHelp)
	fl.StringVar(&f.issuer, "iss", "", "issuer (default: the did:jwk of the key)")
	cli.Require(cmd, "key")
}

// connections is how many requests to a service are under way at a time.
const connections = 64

// openRegistrar opens the services that register an issuer's statements, signed with
// the key of the options or of the flags.
func (a *app) openRegistrar(ctx context.Context, o party.RegistrarOptions, s signerFlags, f readFlags) (r *party.Registrar, err error) {
	if o.Key == nil {
		if o.Key, err = a.privateKey(ctx, "key", s.key); err != nil {
			return nil, err
		}
	}
	if o.Options, err = a.partyOptions(ctx, f); err != nil {
		return nil, err
	}
	o.Issuer, o.Client = s.issuer, a.ClientOptions(connections)
	return party.NewRegistrar(ctx, o)
}

// openServices opens the services that register statements which come signed. With
// files of their keys nothing is read of their logs, or remembered.
func (a *app) openServices(ctx context.Context, o party.RegistrarOptions, keys []string, f cli.MemoryFlags, async bool) (r *party.Registrar, err error) {
	if len(keys) > 0 && len(keys) != len(o.Services) {
		return nil, fmt.Errorf("--keys is given %s, and there are %s: it is once for each, that of --log first", plural.Of(len(keys), "time"), plural.Of(len(o.Services), "service"))
	}
	for _, file := range keys {
		k, err := readKeys(ctx, file)
		if err != nil {
			return nil, err
		}
		o.Keys = append(o.Keys, k)
	}
	if len(keys) == 0 {
		if o.Options, err = a.LogOptions(ctx, f); err != nil {
			return nil, err
		}
	}
	o.Client = a.ClientOptions(connections)
	o.Client.Async = async
	return party.NewRegistrar(ctx, o)
}

// register registers one draft, and writes its Transparent Statement; "" for nowhere.
func (a *app) register(ctx context.Context, r *party.Registrar, d party.Draft, out string) (o party.Outcome, err error) {
	outcomes, err := r.Register(ctx, []party.Draft{d})
	if err == nil {
		o = outcomes[0]
		err = o.Err()
	}
	if err == nil && out != "" {
		err = a.WriteOutput(ctx, out, o.Copies[0].Transparent())
	}
	return o, err
}

// problemOf is that of an error; nil when no service explains it.
func problemOf(err error) *scitt.Problem {
	p, _ := errors.AsType[*scitt.Problem](err)
	return p
}

// findEntry opens the log that an entry's name speaks of and finds the entry, which its
// issuer must have signed.
func (a *app) findEntry(ctx context.Context, name, location string, f readFlags) (*party.Log, *party.Entry, error) {
	n, err := party.ParseEntryName(name, location)
	if err != nil {
		return nil, nil, cli.Usage(err)
	}
	l, err := a.openLog(ctx, n.Location, f)
	if err != nil {
		return nil, nil, err
	}
	e, err := a.findIn(ctx, l, n)
	return l, e, err
}

// findIn finds an entry of an open log, which its issuer must have signed.
func (a *app) findIn(ctx context.Context, l *party.Log, n party.EntryName) (*party.Entry, error) {
	p := a.Progress()
	defer p.Done()
	return l.FindSigned(ctx, n, p.Of("search"))
}

// timeHelp is for flags that are read by parseTime.
const timeHelp = "a time such as 2026-07-01T12:00:00Z, a date, now, or -24h for a day ago"

// parseTime reads a time for a flag: RFC 3339, a date, or how long ago. It is not the zero time.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	switch at, err := time.Parse(time.RFC3339, text); {
	case err == nil && !at.IsZero():
		return at.UTC(), nil
	case text == "now":
		return now.UTC().Truncate(time.Millisecond), nil
	}
	if at, err := time.Parse(time.DateOnly, text); err == nil && !at.IsZero() {
		return at.UTC(), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d <= 0 {
		return now.UTC().Add(d).Truncate(time.Millisecond), nil
	}
	return time.Time{}, cli.Usage(fmt.Errorf("--%s %q is not %s", flag, text, timeHelp))
}
