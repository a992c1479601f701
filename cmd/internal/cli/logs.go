package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/conmotion/conmotion/internal/loopback"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/witness"
)

// Readers is how many files of a log are fetched at a time.
const Readers = 8

// HTTPClient makes requests to one service, several at a time.
func HTTPClient(concurrency int) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = concurrency
	return &http.Client{Transport: t, Timeout: time.Minute}
}

// ClientOptions are how a client of a service works. Waits of a second and more
// are told.
func (a *App) ClientOptions(concurrency int) client.Options {
	return client.Options{
		HTTP: HTTPClient(concurrency),
		Waiting: func(wait time.Duration, why error) {
			if wait >= time.Second && !errors.Is(why, client.ErrRunning) {
				a.Notice("waiting %v: %v", wait.Round(100*time.Millisecond), why)
			}
		},
	}
}

// MemoryFlags are whom a command that opens logs believes about them.
type MemoryFlags struct {
	Home   string
	NoHome bool
	VKeys  []string

	// MaxAge is the most time since a quorum of witnesses cosigned; 0 for any.
	MaxAge          time.Duration
	witnessPolicies []string
}

// HomeHelp is for commands with [MemoryFlags].
const HomeHelp = `
Keys and the newest checkpoint of each log whose files are read are remembered
in --home, like ssh remembers hosts: a log that shows other keys, forks or goes
back is refused from then on, at whatever address. --vkey names keys that you know
from elsewhere, which then count in place of the remembered ones; --no-home, of
commands that only read, neither reads nor writes what is remembered.

--witness-policy demands that the checkpoint of a log is cosigned by a quorum of
witnesses (C2SP tlog-policy): else nothing of the log is believed. It is remembered for
each log. A policy with log lines is for these logs, and one without for every other one.`

// Add adds the flags of a command that reads one log.
func (f *MemoryFlags) Add(cmd *cobra.Command) {
	f.AddReading(cmd)
	VKeyFlag(cmd, &f.VKeys)
}

// AddReading adds the flags of a command that reads logs, and registers nothing.
func (f *MemoryFlags) AddReading(cmd *cobra.Command) {
	f.AddHome(cmd)
	cmd.Flags().BoolVar(&f.NoHome, "no-home", false, "do not remember logs: believe what they show now, or --vkey")
	cmd.MarkFlagsMutuallyExclusive("home", "no-home")
}

// AddHome adds the flag that a command has too that registers statements: its
// unfinished work is there.
func (f *MemoryFlags) AddHome(cmd *cobra.Command) {
	Strings(cmd.Flags(), &f.witnessPolicies, "witness-policy", "file with the witnesses whose quorum has to vouch for the log (C2SP tlog-policy); once for each (default: remembered, or none)")
	cmd.Flags().StringVar(&f.Home, "home", "", "directory that remembers logs and unfinished work (default: $CONMOTION_HOME, or conmotion in the user's configuration directory)")
}

// VKeyFlag adds the flag --vkey.
func VKeyFlag(cmd *cobra.Command, vkeys *[]string) {
	Strings(cmd.Flags(), vkeys, "vkey", "verifier key of the log, as in its transparency configuration (default: remembered, or taken on first use); once for each key")
}

// LogOptions are how logs are opened by commands that need nothing else of them.
func (a *App) LogOptions(ctx context.Context, f MemoryFlags) (o party.Options, err error) {
	o = party.Options{VKeys: f.VKeys, Among: a.Among, Client: a.ClientOptions(Readers), Notice: a.Notice}
	if f.MaxAge < 0 {
		return o, Usage(errors.New("--max-age is more than 0"))
	}
	o.MaxAge = f.MaxAge
	for _, path := range f.witnessPolicies {
		data, err := ReadFileFlag(ctx, "witness-policy", path)
		if err != nil {
			return o, err
		}
		p, err := witness.ParsePolicy(data)
		if err != nil {
			return o, Usage(fmt.Errorf("--witness-policy %s: %w", path, err))
		}
		o.Witnesses = append(o.Witnesses, p)
	}
	if f.NoHome {
		return o, nil
	}
	o.Home, err = a.HomeOf(f.Home)
	return o, err
}

// HomeOf is the directory that remembers, where the flag --home has this value.
func (a *App) HomeOf(flag string) (home party.Home, err error) {
	if home = party.Home(cmp.Or(flag, a.Home)); home == "" {
		if home, err = party.DefaultHome(); err != nil {
			return "", Usage(fmt.Errorf("--home: %w; or give --no-home", err))
		}
	}
	return home, nil
}

// StoreFlags say where artifacts are: --token-file, and a flag with the URL.
type StoreFlags struct {
	flag, URL, TokenFile string
	Limits               reader.Limits // of what is read
}

// Add adds both flags.
func (f *StoreFlags) Add(cmd *cobra.Command, flag, usage string) {
	f.flag = flag
	cmd.Flags().StringVar(&f.URL, flag, "", usage)
	TokenFlag(cmd, &f.TokenFile)
}

// TokenFlag adds the flag with the file that [ReadToken] reads.
func TokenFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "token-file", "", "file with the token for the artifact storage (default: that of the home, tokens/HOST)")
}

// AddReading adds the flags of a command that reads artifacts.
func (f *StoreFlags) AddReading(cmd *cobra.Command, flag, usage string) {
	f.Add(cmd, flag, usage)
	LimitFlags(cmd, &f.Limits)
}

// LimitFlags adds the limits of what is fetched of one artifact.
func LimitFlags(cmd *cobra.Command, l *reader.Limits) {
	cmd.Flags().Int64Var(&l.Size, "max-size", reader.MaxSize, "largest artifact to fetch, in bytes")
	cmd.Flags().DurationVar(&l.Time, "max-time", reader.MaxTime, "longest time to spend on one artifact")
}

// CheckLimits checks what LimitFlags reads; a command without them has the defaults.
func CheckLimits(l reader.Limits) error {
	if l != (reader.Limits{}) && (l.Size <= 0 || l.Time <= 0) {
		return Usage(errors.New("--max-size and --max-time are more than 0"))
	}
	return nil
}

// Store makes a client that stores artifacts.
func (a *App) Store(ctx context.Context, f StoreFlags, concurrency int) (*client.Artifacts, error) {
	token, err := a.token(ctx, f)
	if err != nil {
		return nil, err
	}
	c, err := client.NewArtifacts(f.URL, token, a.ClientOptions(concurrency))
	if err != nil {
		return nil, Usage(fmt.Errorf("--%s: %w", f.flag, err))
	}
	return c, nil
}

// Artifacts opens an artifact storage to read; nil when the flag is not given.
func (a *App) Artifacts(ctx context.Context, f StoreFlags, concurrency int) (*reader.Reader, error) {
	if err := CheckLimits(f.Limits); err != nil {
		return nil, err
	}
	if f.URL == "" && f.TokenFile == "" {
		return nil, nil
	}
	token, err := a.token(ctx, f)
	if err != nil {
		return nil, err
	}
	r, err := reader.Open(f.URL, reader.Options{Client: a.ClientOptions(concurrency), Token: token, Limits: f.Limits})
	if err != nil {
		return nil, Usage(fmt.Errorf("--%s: %w", f.flag, err))
	}
	return r, nil
}

// Token is the token that the user's home has for a URL: see [party.Home.Token].
func (a *App) Token(location string) (string, error) {
	home, err := a.HomeOf("")
	if err != nil {
		return "", nil // nobody has one without a home
	}
	t, err := home.Token(location)
	if err != nil {
		err = Usage(err)
	}
	return t, err
}

// token reads --token-file, or what the home has.
func (a *App) token(ctx context.Context, f StoreFlags) (t string, err error) {
	if f.TokenFile == "" {
		t, err = a.Token(f.URL)
	} else {
		t, err = ReadToken(ctx, "token-file", f.TokenFile)
	}
	if t == "" {
		return "", err
	}
	if u, e := url.Parse(f.URL); err == nil && e == nil && u.Scheme == "http" && !loopback.Host(u.Host) {
		a.Notice("notice: the token goes to %s without encryption; whoever sees it can use it", u.Host)
	}
	return t, err
}

// ReadToken reads the file with a token that a flag names.
func ReadToken(ctx context.Context, flag, path string) (string, error) {
	t, err := party.ReadToken(ctx, path)
	if err != nil {
		return "", Usage(fmt.Errorf("--%s: %w", flag, err))
	}
	return t, nil
}
