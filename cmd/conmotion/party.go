package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// memoryFlags are whom a command that opens logs believes about them.
type memoryFlags struct {
	home   string
	noHome bool
	vkeys  []string
}

const homeHelp = `
Keys and the newest checkpoint of each log whose files are read are remembered
in --home, like ssh remembers hosts: a log that shows other keys, forks or goes
back is refused from then on, at whatever address. --vkey names keys that you know
from elsewhere, which then count in place of the remembered ones; --no-home
neither reads nor writes what is remembered.`

// serviceHelp is for commands that take a service's Receipt keys.
const serviceHelp = homeHelp + ` With --log the files are those at
the URL of the service. A service of other software may have none there: then its
keys are those that it gives now, with a notice, and nothing is remembered of it.`

// add adds the flags of a command that reads one log.
func (f *memoryFlags) add(cmd *cobra.Command) {
	f.addReading(cmd)
	vkeyFlag(cmd, &f.vkeys)
}

// addReading adds the flags of a command that reads logs, and registers nothing.
func (f *memoryFlags) addReading(cmd *cobra.Command) {
	f.addHome(cmd)
	cmd.Flags().BoolVar(&f.noHome, "no-home", false, "do not remember logs: believe what they show now, or --vkey")
	cmd.MarkFlagsMutuallyExclusive("home", "no-home")
}

// addHome adds the flag that a command has too that registers statements: its
// unfinished work is there.
func (f *memoryFlags) addHome(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.home, "home", "", "directory that remembers logs and unfinished work (default: $CONMOTION_HOME, or conmotion in the user's configuration directory)")
}

func vkeyFlag(cmd *cobra.Command, vkeys *[]string) {
	cmd.Flags().StringArrayVar(vkeys, "vkey", nil, "verifier key of the log, as in its transparency configuration (default: remembered, or taken on first use); once for each key")
}

// readFlags are how the logs of a command are opened: see [party.Options].
type readFlags struct {
	memoryFlags
	artifacts, token string
	limits           reader.Limits // of one artifact
	issuerKeys       []string
	newest           bool // what was seen and is not shown would change the result
}

// add adds the flags of a command that reads logs.
func (f *readFlags) add(cmd *cobra.Command) {
	f.memoryFlags.add(cmd)
	f.addContent(cmd)
}

// addWriting adds the flags of a command that registers statements too.
func (f *readFlags) addWriting(cmd *cobra.Command) {
	f.addHome(cmd)
	vkeyFlag(cmd, &f.vkeys)
	f.addContent(cmd)
}

func (f *readFlags) addContent(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.artifacts, "artifacts", "", "content behind hashes: URL of a service, or directory of an artifact storage (default: where the log is, such as private/ beside public/)")
	f.addCommon(cmd)
}

// addCommon adds the flags that do not depend on the log.
func (f *readFlags) addCommon(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.token, "artifact-token-file", "", "file with the token for the artifact storage")
	limitFlags(cmd, &f.limits)
	fl.StringArrayVar(&f.issuerKeys, "issuer-key", nil, "ISSUER=FILE: the public key of an issuer that is no did:jwk or did:key; once for each")
}

// logOptions are how logs are opened by commands that need nothing else of them.
func (a *app) logOptions(f memoryFlags) (o party.Options, err error) {
	o = party.Options{VKeys: f.vkeys, Among: a.among, Client: a.clientOptions(readers), Notice: a.notice}
	if f.noHome {
		return o, nil
	}
	if o.Home = party.Home(cmp.Or(f.home, a.home)); o.Home == "" {
		if o.Home, err = party.DefaultHome(); err != nil {
			return o, usage(fmt.Errorf("--home: %w; or give --no-home", err))
		}
	}
	return o, nil
}

// openService opens the log of a service for the keys of its Receipts: see
// [party.OpenService].
func (a *app) openService(ctx context.Context, url string, o party.Options) (*party.Log, witness.Keys, error) {
	l, keys, err := party.OpenService(ctx, url, o)
	if _, answered := errors.AsType[*scitt.Problem](err); answered {
		err = usage(err) // without its keys there is no verdict
	}
	return l, witness.Keys{Named: keys}, partyError(err)
}

// examine opens a log to check it, which may be damaged: see [party.Log.Damage].
func (a *app) examine(ctx context.Context, location string, f memoryFlags) (*party.Log, error) {
	o, err := a.logOptions(f)
	if err != nil {
		return nil, err
	}
	o.Examine = true
	l, err := party.Open(ctx, location, o)
	return l, partyError(err)
}

// partyOptions reads what the flags name. The verifier keys are for the one log of
// a command; a command with several takes them away.
func (a *app) partyOptions(f readFlags) (party.Options, error) {
	o, err := a.logOptions(f.memoryFlags)
	if err != nil {
		return o, err
	}
	if err := checkLimits(f.limits); err != nil {
		return o, err
	}
	o.Artifacts, o.Limits, o.Newest, o.IssuerKeys = f.artifacts, f.limits, f.newest, map[string]scitt.Key{}
	for _, pair := range f.issuerKeys {
		i := strings.LastIndex(pair, "=") // an issuer may have "=" in it, and file names seldom do
		if i < 1 {
			return o, usage(fmt.Errorf("--issuer-key %q is not ISSUER=FILE", pair))
		}
		issuer, path := pair[:i], pair[i+1:]
		data, err := readFileFlag("issuer-key", path)
		if err != nil {
			return o, err
		}
		if o.IssuerKeys[issuer], err = scitt.ParsePublicKey(data); err != nil {
			return o, usage(fmt.Errorf("--issuer-key %s: %w", path, err))
		}
	}
	if f.token != "" {
		data, err := readFileFlag("artifact-token-file", f.token)
		if err != nil {
			return o, err
		}
		if o.Token = strings.TrimSpace(string(data)); !isToken(o.Token) {
			return o, usage(fmt.Errorf("--artifact-token-file %s: not one token and nothing else", f.token))
		}
	}
	return o, nil
}

// openLog opens a log to read.
func (a *app) openLog(ctx context.Context, location string, f readFlags) (*party.Log, error) {
	o, err := a.partyOptions(f)
	if err != nil {
		return nil, err
	}
	l, err := party.Open(ctx, location, o)
	return l, partyError(err)
}

// partyError gives an error its exit code: what a log did wrong is a verdict.
func partyError(err error) error {
	if errors.Is(err, party.ErrVKeys) {
		return usage(fmt.Errorf("--vkey: %w", err))
	}
	switch {
	case errors.Is(err, party.ErrRolledBack), errors.Is(err, tiles.ErrBehind):
		return usage(err) // it may only be an old copy
	case errors.Is(err, party.ErrIssuerKey):
		return usage(fmt.Errorf("%w; give --issuer-key", err))
	case isVerdict(err), errors.Is(err, party.ErrNoEntry), errors.Is(err, party.ErrReceipt), errors.Is(err, client.ErrOther):
		return bad(err)
	}
	return err
}

// isVerdict reports whether an error is that a log is not what was seen of it.
func isVerdict(err error) bool {
	return slices.ContainsFunc([]error{party.ErrForked, party.ErrOtherLog, party.ErrKeysChanged, tiles.ErrKeys},
		func(verdict error) bool { return errors.Is(err, verdict) })
}

// noVerdict marks an error as no verdict on what a command is about, unless it
// is one on the log.
func noVerdict(err error) error {
	if isVerdict(err) {
		return err
	}
	return usage(err)
}

// signerFlags are who signs.
type signerFlags struct{ key, issuer string }

func (f *signerFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.key, "key", "", "file with the private key, from keygen")
	fl.StringVar(&f.issuer, "iss", "", "issuer (default: the did:jwk of the key)")
	require(cmd, "key")
}

// connections is how many requests to a service are under way at a time.
const connections = 64

// openRegistrar opens the services that register an issuer's statements.
func (a *app) openRegistrar(ctx context.Context, o party.RegistrarOptions, s signerFlags, f readFlags) (r *party.Registrar, err error) {
	if o.Key, err = a.privateKey("key", s.key); err != nil {
		return nil, err
	}
	if o.Options, err = a.partyOptions(f); err != nil {
		return nil, err
	}
	o.Issuer, o.Client = s.issuer, a.clientOptions(connections)
	r, err = party.NewRegistrar(ctx, o)
	return r, partyError(err)
}

// openServices opens the services that register statements which come signed. With
// files of their keys nothing is read of their logs, or remembered.
func (a *app) openServices(ctx context.Context, o party.RegistrarOptions, keys []string, f memoryFlags, async bool) (r *party.Registrar, err error) {
	if len(keys) > 0 && len(keys) != len(o.Services) {
		return nil, fmt.Errorf("--keys is given %d times, and there are %d services: it is once for each, that of --log first", len(keys), len(o.Services))
	}
	for _, file := range keys {
		k, err := readKeys(file)
		if err != nil {
			return nil, err
		}
		o.Keys = append(o.Keys, k)
	}
	if len(keys) == 0 {
		if o.Options, err = a.logOptions(f); err != nil {
			return nil, err
		}
	}
	o.Client = a.clientOptions(connections)
	o.Client.Async = async
	r, err = party.NewRegistrar(ctx, o)
	return r, partyError(err)
}

// register registers one draft, and writes its Transparent Statement; "" for nowhere.
func (a *app) register(ctx context.Context, r *party.Registrar, d party.Draft, out string) (o party.Outcome, err error) {
	outcomes, err := r.Register(ctx, []party.Draft{d})
	if err == nil {
		o = outcomes[0]
		err = o.Err()
	}
	if err == nil && out != "" {
		err = a.writeOutput(out, o.Copies[0].Transparent())
	}
	return o, partyError(err)
}

// problem is how a service explains a refusal.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// problemOf is that of an error; nil when no service explains it.
func problemOf(err error) *problem {
	p, ok := errors.AsType[*scitt.Problem](err)
	if !ok {
		return nil
	}
	return &problem{p.Status, p.Title, p.Detail}
}

// findEntry opens the log that an entry's name speaks of and finds the entry.
func (a *app) findEntry(ctx context.Context, name, location string, f readFlags) (*party.Log, *party.Entry, error) {
	n, err := party.ParseEntryName(name, location)
	if err != nil {
		return nil, nil, usage(err)
	}
	l, err := a.openLog(ctx, n.Location, f)
	if err != nil {
		return nil, nil, err
	}
	p := a.progress()
	defer p.done()
	e, err := l.Find(ctx, n, func(done, size uint64) {
		p.show(func() string { return fmt.Sprintf("searched %d of %d entries", done, size) })
	})
	return l, e, partyError(err)
}

// parseTime reads a time for a flag: RFC 3339, a date, or how long ago.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	switch at, err := time.Parse(time.RFC3339, text); {
	case err == nil:
		return at.UTC(), nil
	case text == "now":
		return now.UTC().Truncate(time.Millisecond), nil
	}
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at.UTC(), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d <= 0 {
		return now.UTC().Add(d).Truncate(time.Millisecond), nil
	}
	return time.Time{}, usage(fmt.Errorf("--%s %q is not a time: 2026-07-01T12:00:00Z, 2026-07-01, now, or -24h for a day ago", flag, text))
}
