package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.opentelemetry.io/otel"
	"k8s.io/klog/v2"

	"github.com/conmotion/conmotion/cmd/conmotiond/internal/daemon"
	"github.com/conmotion/conmotion/scitt"
)

// serve runs the service until the context ends, and then drains it.
func serve(ctx context.Context, c *config) (err error) {
	engine := slog.New(atLeast{c.Logger.Handler(), slog.LevelWarn})
	klog.SetSlogLogger(engine) // Tessera's one way to log
	slog.SetDefault(engine)    // and its other way
	if err := mysql.SetLogger(slog.NewLogLogger(c.Logger.With("of", "a connection to --database").Handler(), slog.LevelWarn)); err != nil {
		return err
	}
	if err := c.server.TuneMemory(); err != nil {
		return err
	}
	c.BodyMemory = c.server.Memory / 8
	public, err := c.server.ListenPublic(ctx, c.Wait)
	if err != nil {
		return err
	}
	defer public.Close()
	c.DefaultIssuer = public.URL()
	c.Early = func(tiles http.Handler) { public.Early("GET /tile/", tiles) }
	t, err := daemon.NewTelemetry()
	if err != nil {
		return err
	}
	otel.SetMeterProvider(t.Provider) // where Tessera looks for it
	var running atomic.Pointer[daemon.Daemon]
	stopAdmin, err := serveAdmin(ctx, c, t, checks{
		ready: func(ctx context.Context, now time.Time) error {
			if d := running.Load(); d != nil {
				return d.Readiness.Check(ctx, now)
			}
			return errStarting
		},
		role: func() string {
			if d := running.Load(); d != nil {
				return d.Role()
			}
			return ""
		},
		search: func() *daemon.SearchHealth {
			if d := running.Load(); d != nil {
				return d.Search
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	defer stopAdmin()

	d, err := daemon.Open(ctx, c.Config, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	running.Store(d)
	management, err := serveManagement(ctx, c, d.ManageHandler())
	if err != nil {
		return err
	}
	defer management.Close()
	public.Serve(d.Handler())
	welcome(c, d)
	// A writer that is none any more ends; whatever starts it again has it follow the log.
	run, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-d.Lost():
			stop()
		case <-run.Done():
		}
	}()
	err = public.Drain(run, func(drain context.Context) error {
		d.Readiness.Stop()
		return management.Shutdown(drain)
	})
	select {
	case <-d.Lost():
		err = errors.Join(d.LostWhy(), err)
	default:
	}
	return err
}

// atLeast passes on what is important enough.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled reports whether a record of this level is passed on.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

func welcome(c *config, d *daemon.Daemon) {
	what := "serves"
	if d.New {
		what = "made"
	}
	p := d.InForce()
	inForce, first := fmt.Sprintf("entry %d: %s", p.Index, p.ID), ""
	if p.ID == (scitt.EntryID{}) {
		inForce = "none yet: the first statement that is registered must be one, and nothing else is taken"
		first = fmt.Sprintf(`  go run ./cmd/conmotion keygen --out administrator.pem
  go run ./cmd/conmotion policy set --log %s --admin-key administrator.pem testdata/policies/open.json
            (or a policy of your own; docs/policy.md: how it is written, and who may replace it)
and then
`, d.Issuer)
	}
	var recovery string
	if d.New && c.Keys == "" {
		recovery = fmt.Sprintf(`  recovery  %s
            Move this file off the machine now, and keep it: it replaces a
            stolen service key. The service runs without it.
`, d.RecoveryKey())
	}
	fmt.Fprintf(c.stdout, `conmotiond %s the log %s in %s
  service   %s
  here      %s, %s
  public    %s   (everybody may read it)
  policy    %s
  artifacts %s
%stry
%s  go run ./cmd/conmotion keygen --out issuer.pem
  go run ./cmd/conmotion sign --key issuer.pem --sub my-first-asset --out s.cose README.md
  go run ./cmd/conmotion submit --log %s --out transparent.cose s.cose
  go run ./cmd/conmotion verify --log %s --payload README.md transparent.cose
`, what, d.Origin, c.Dir, d.Issuer, c.DefaultIssuer, d.Role(), d.Place(), inForce, artifacts(c, d), recovery, first, d.Issuer, d.Issuer)
}

// artifacts says who may store how much, and who may read it.
func artifacts(c *config, d *daemon.Daemon) string {
	who, room := "everybody may store them", "without a limit (--artifact-quota)"
	if c.ArtifactWriters != "" {
		who = "who has a token may store them"
	}
	if c.ArtifactQuota > 0 {
		room = fmt.Sprintf("%.3g of %.3g GiB are taken (--artifact-quota)", float64(d.ArtifactBytes())/(1<<30), float64(c.ArtifactQuota)/(1<<30))
	}
	return who + ", " + c.ArtifactReaders.Who(d.Issuer) + ", " + room
}
