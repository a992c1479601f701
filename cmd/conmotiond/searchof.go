package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/cmd/internal/cli"
)

// searchOf are the flags of a search over somebody else's log.
type searchOf struct {
	location, artifacts, token string
	vkeys                      []string
	interval                   time.Duration
}

func (s *searchOf) addFlags(f *pflag.FlagSet) {
	f.StringVar(&s.location, "search-of", "", "URL or directory of the static files of somebody else's log: search it, and be no Transparency Service")
	cli.Strings(f, &s.vkeys, "vkey", "with --search-of, verifier key of the log, as in its transparency configuration; once for each key (default: what the log says at the first start, from then on)")
	f.StringVar(&s.artifacts, "artifacts-of", "", "with --search-of, where the content behind hashes is: URL of a service, or directory of an artifact storage")
	f.StringVar(&s.token, "artifacts-of-token", "", "file with the token for reading at --artifacts-of")
	f.DurationVar(&s.interval, "search-interval", 5*time.Second, "with --search-of, time between two looks at the log")
}

// shared are the flags that have a meaning with --search-of, beside its own.
var (
	ofSearch = []string{"search-of", "vkey", "artifacts-of", "artifacts-of-token", "search-interval"}
	shared   = []string{"config", "listen", "admin-listen", "dir", "rate", "burst", "trusted-proxies", "tls-cert", "tls-key", "log-format", "artifact-read-tokens", "artifacts-public"}
)

// complete refuses flags that mean nothing together.
func (s *searchOf) complete(c *config, flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		switch {
		case err != nil || slices.Contains(shared, f.Name):
		case s.location == "" && slices.Contains(ofSearch, f.Name):
			err = fmt.Errorf("--%s is for --search-of", f.Name)
		case s.location != "" && !slices.Contains(ofSearch, f.Name):
			err = fmt.Errorf("--%s is for a log of one's own, and --search-of searches somebody else's", f.Name)
		}
	})
	if err == nil && s.artifacts != "" && c.ArtifactReaders == (daemon.Readers{}) {
		err = errors.New("--artifacts-of: the answers tell what is in the artifacts; say who may search, with --artifact-read-tokens or --artifacts-public")
	}
	if err == nil && s.interval <= 0 {
		err = errors.New("--search-interval must be more than 0")
	}
	if s.location != "" && !flags.Changed("dir") {
		c.Dir = "conmotion-search" // not that of a log
	}
	return err
}

// serveSearchOf searches until the context ends.
func serveSearchOf(ctx context.Context, c *config) (err error) {
	if err := c.server.TuneMemory(); err != nil {
		return err
	}
	public, err := c.server.ListenPublic(ctx, c.Wait)
	if err != nil {
		return err
	}
	defer public.Close()
	t, err := daemon.NewTelemetry()
	if err != nil {
		return err
	}
	var running atomic.Pointer[daemon.SearchOf]
	var draining atomic.Bool
	stopAdmin, err := serveAdmin(ctx, c, t, checks{
		role: func() string { return "" },
		ready: func(_ context.Context, now time.Time) error {
			switch s := running.Load(); {
			case s == nil:
				return errStarting
			case draining.Load():
				return errors.New("not serving")
			default:
				return s.Health.Check(now)
			}
		},
		search: func() *daemon.SearchHealth {
			if s := running.Load(); s != nil {
				return s.Health
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	defer stopAdmin()
	s, err := daemon.OpenSearchOf(ctx, daemon.SearchOfConfig{
		Dir: c.Dir, Log: c.searchOf.location, VKeys: c.searchOf.vkeys,
		Artifacts: c.searchOf.artifacts, ArtifactsToken: c.searchOf.token, Readers: c.ArtifactReaders, Interval: c.searchOf.interval,
		Rate: c.Rate, Burst: c.Burst, Logger: c.Logger,
	}, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	running.Store(s)
	public.Serve(s.Handler())
	welcomeSearch(c, s, public.URL())
	return public.Drain(ctx, func(context.Context) error {
		draining.Store(true)
		return nil
	})
}

func welcomeSearch(c *config, s *daemon.SearchOf, url string) {
	keys := fmt.Sprintf("%d, given with --vkey", len(s.VKeys))
	if s.FirstUse {
		keys = fmt.Sprintf("%d, taken from the log itself at the first start (trust on first use) and kept in %s;\n            --vkey names keys that you know", len(s.VKeys), s.Home)
	}
	receipts := s.Service
	if receipts == "" {
		receipts = "not known"
	}
	fmt.Fprintf(c.stdout, `conmotiond searches the log %s at %s, with an index in %s
  keys      %s
  receipts  %s
  index     %s
  service   %s
try
  go run ./cmd/conmotion search --log %s --limit 3
  go run ./cmd/conmotion search --log %s --limit 3 --verify --static %s
`, s.Origin, c.searchOf.location, c.Dir, keys, receipts, s.Health, url, url, url, c.searchOf.location)
}
