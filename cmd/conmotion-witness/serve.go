package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/witness/cosigner"
)

const defaultDir = "conmotion-witness-data"

// answerTimeout is how long an answer may take: a request waits for others of its log.
const answerTimeout = 10 * time.Second

type serveFlags struct {
	server                 serving.Options
	dir, name, keys, guard string
	key, logs, lists       []string
	interval               time.Duration
	rate                   float64
	burst                  int
	mirror                 string
	audit                  bool
	auditWait              time.Duration
}

func (f *serveFlags) add(fl *pflag.FlagSet) {
	f.server.AddFlags(fl, "127.0.0.1:8082")
	fl.StringVar(&f.dir, "dir", defaultDir, "directory of the database, the keys, and the logs that were added")
	fl.StringVar(&f.name, "name", "", "name of the witness, a URL without its scheme; fixed when the keys are made (default: the machine's name and a random number)")
	fl.StringVar(&f.keys, "keys", "", "file with the private keys, made when it is not there (default: keys in --dir)")
	cli.Strings(fl, &f.key, "key", "URI of a key in a KMS or an HSM (docs/keys.md), for a new witness in place of keys that are made: Ed25519 or ML-DSA-44; may be given several times")
	fl.StringVar(&f.guard, "guard", "", "file that says how often the database was changed; on another disk it shows that the whole --dir was put back from a backup (default: guard in --dir)")
	cli.Strings(fl, &f.logs, "logs", "file with a list of logs, read again when it changes; may be given several times")
	cli.Strings(fl, &f.lists, "log-list", "URL of a list of logs, as of a witness network; may be given several times")
	fl.DurationVar(&f.interval, "log-list-interval", time.Hour, "time between two looks at each --log-list")
	fl.StringVar(&f.mirror, "mirror", "", "directory to keep the logs in, which are cosigned besides with a key of its own when they are there durably (C2SP tlog-mirror)")
	fl.BoolVar(&f.audit, "audit", false, "replay every admission of the logs whose URL is known, and cosign besides with a key of its own what holds no entry that the policy in force does not allow")
	fl.DurationVar(&f.auditWait, "audit-wait", 500*time.Millisecond, "how long an answer waits for the audited cosignature")
	fl.Float64Var(&f.rate, "rate", 1000, "requests per second of one client address; 0 for no limit")
	fl.IntVar(&f.burst, "burst", 1000, "requests that a client address may send at once")
}

// serve runs the witness until the context ends, and then drains it. It calls
// started when the witness answers.
func serve(ctx context.Context, f serveFlags, started func(w *cosigner.Witness, url string)) (err error) {
	if f.interval < time.Minute || f.rate < 0 || f.burst < 1 || f.auditWait < 0 || f.auditWait > answerTimeout/2 {
		return cli.Usage(fmt.Errorf("--log-list-interval is at least 1m, --rate and --audit-wait cannot be negative, --burst is at least 1, and --audit-wait at most %v", answerTimeout/2))
	}
	if err := f.server.TuneMemory(); err != nil {
		return err
	}
	public, err := f.server.ListenPublic(ctx, answerTimeout)
	if err != nil {
		return err
	}
	defer public.Close()
	t, err := serving.NewTelemetry()
	if err != nil {
		return err
	}
	signs, err := serving.NewSignatures(t.Meter)
	if err != nil {
		return err
	}
	var phase atomic.Value // a string: why it does not serve; "" while it does
	phase.Store("starting")
	r := &roles{f: f, signs: signs}
	stopAdmin, err := f.server.ServeAdmin(ctx, t.Registry, func(mux *http.ServeMux) {
		mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) {
			if why := phase.Load().(string); why != "" {
				http.Error(rw, why, http.StatusServiceUnavailable)
			} else if err := r.ready(); err != nil {
				http.Error(rw, err.Error(), http.StatusServiceUnavailable)
			} else {
				fmt.Fprintln(rw, "ok")
			}
		})
	})
	if err != nil {
		return err
	}
	defer stopAdmin()
	// The work that no request waits for ends before the databases are closed.
	behind, stop := context.WithCancel(ctx)
	r.ctx = behind
	defer func() {
		stop()
		err = errors.Join(err, r.close())
	}()
	w, err := r.open("")
	if err != nil {
		return err
	}
	sources := newSources(f, r.setLogs)
	companions, resume, err := r.companions(w)
	if err != nil {
		return err
	}
	if err := sources.start(); err != nil {
		return err
	}
	resume()
	h, err := cosigner.NewHandler(w, t.Meter, companions...)
	if err != nil {
		return err
	}
	if h, err = personality.RateLimit(f.rate, f.burst, h); err != nil {
		return err
	}
	r.work.Go(func() { sources.follow(behind) })
	public.Serve(h)
	phase.Store("")
	started(w, public.URL())
	return public.Drain(ctx, func(context.Context) error {
		phase.Store("not serving")
		return nil
	})
}

// welcome says what there is.
func welcome(a *cli.App, f serveFlags) func(w *cosigner.Witness, url string) {
	return func(w *cosigner.Witness, url string) {
		fmt.Fprintf(a.Stdout, `conmotion-witness %s at %s, with %s
  keys      %s
            Whoever wants its cosignatures in a policy takes one of these:
%s
try
  go run ./cmd/conmotion-witness log add --dir %s https://transparency.example
`, w.Name(), url, plural.Of(w.Logs(), "log"), f.path(f.keys, "keys", ""), strings.Join(w.VKeys(), "\n"), f.dir)
		if w.Halted() != "" {
			a.Notice("this witness signs nothing any more: %s", w.Halted())
		}
	}
}
