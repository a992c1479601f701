package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/cmd/internal/serving"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness/cosigner"
	"github.com/conmotion/conmotion/witness/cosigner/store"
)

const defaultDir = "conmotion-witness-data"

// answerTimeout is how long an answer may take: a request waits for others of its log.
const answerTimeout = 10 * time.Second

type serveFlags struct {
	server                 serving.Options
	dir, name, keys, guard string
	logs, lists            []string
	interval               time.Duration
	rate                   float64
	burst                  int
}

func (f *serveFlags) add(fl *pflag.FlagSet) {
	f.server.AddFlags(fl, "127.0.0.1:8082")
	fl.StringVar(&f.dir, "dir", defaultDir, "directory of the database, the keys, and the logs that were added")
	fl.StringVar(&f.name, "name", "", "name of the witness, a URL without its scheme; fixed when the keys are made (default: the machine's name and a random number)")
	fl.StringVar(&f.keys, "keys", "", "file with the private keys, made when it is not there (default: keys in --dir)")
	fl.StringVar(&f.guard, "guard", "", "file that says how often the database was changed; on another disk it shows that the whole --dir was put back from a backup (default: guard in --dir)")
	fl.StringArrayVar(&f.logs, "logs", nil, "file with a list of logs, read again when it changes; may be given several times")
	fl.StringArrayVar(&f.lists, "log-list", nil, "URL of a list of logs, as of a witness network; may be given several times")
	fl.DurationVar(&f.interval, "log-list-interval", time.Hour, "time between two looks at each --log-list")
	fl.Float64Var(&f.rate, "rate", 1000, "requests per second of one client address; 0 for no limit")
	fl.IntVar(&f.burst, "burst", 1000, "requests that a client address may send at once")
}

// serve runs the witness until the context ends, and then drains it. It calls
// started when the witness answers.
func serve(ctx context.Context, f serveFlags, started func(w *cosigner.Witness, keys, url string)) (err error) {
	if f.interval < time.Minute || f.rate < 0 || f.burst < 1 {
		return cli.Usage(errors.New("--log-list-interval is at least 1m, --rate cannot be negative, and --burst is at least 1"))
	}
	if err := f.server.TuneMemory(); err != nil {
		return err
	}
	public, err := f.server.ListenPublic(ctx, answerTimeout)
	if err != nil {
		return err
	}
	defer public.Close()
	db, cosigners, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	w, err := cosigner.New(cosigners, db, time.Now, f.server.Logger)
	if err != nil {
		return err
	}
	sources := newSources(f, w.SetLogs)
	if err := sources.start(); err != nil {
		return err
	}
	t, err := serving.NewTelemetry()
	if err != nil {
		return err
	}
	h, err := cosigner.NewHandler(w, t.Meter)
	if err != nil {
		return err
	}
	if h, err = personality.RateLimit(f.rate, f.burst, h); err != nil {
		return err
	}
	var draining atomic.Bool
	stopAdmin, err := f.server.ServeAdmin(ctx, t.Registry, func(mux *http.ServeMux) {
		mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) {
			why := db.Ready()
			if w.Halted() != "" {
				why = errors.Join(why, errors.New(w.Halted()))
			}
			if draining.Load() {
				why = errors.Join(why, errors.New("not serving"))
			}
			if why != nil {
				http.Error(rw, why.Error(), http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(rw, "ok")
		})
	})
	if err != nil {
		return err
	}
	defer stopAdmin()
	follow, stop := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		sources.follow(follow)
	}()
	defer func() {
		stop()
		<-followed
	}()
	public.Serve(h)
	started(w, f.keys, public.URL())
	return public.Drain(ctx, func(context.Context) error {
		draining.Store(true)
		return nil
	})
}

// open opens the database, and makes the keys when they are not there. The keys are
// written last, so that a crash in between leaves nothing that was ever used.
func (f *serveFlags) open(ctx context.Context) (db *store.Store, cosigners []*scitt.Cosigner, err error) {
	for path, name := range map[*string]string{&f.keys: "keys", &f.guard: "guard"} {
		if *path == "" {
			*path = filepath.Join(f.dir, name)
		}
		if err := os.MkdirAll(filepath.Dir(*path), 0o700); err != nil {
			return nil, nil, err
		}
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(f.keys)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return nil, nil, err
	}
	if isNew {
		if text, err = f.generate(); err != nil {
			return nil, nil, err
		}
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		c, err := scitt.ParseCosignerKey(line)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.keys, err)
		}
		if f.name != "" && c.Name() != f.name {
			return nil, nil, fmt.Errorf("%s: the keys are of %s, and --name is %s", f.keys, c.Name(), f.name)
		}
		cosigners = append(cosigners, c)
	}
	if db, err = store.Open(ctx, filepath.Join(f.dir, "witness.db"), f.guard, isNew); err != nil {
		return nil, nil, err
	}
	if isNew {
		if err := durable.WriteFile(f.keys, text, 0o600); err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
	}
	return db, cosigners, nil
}

func (f *serveFlags) generate() ([]byte, error) {
	name := f.name
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("--name is needed, since the machine has none: %w", err)
		}
		name = host + "/witness-" + strings.ToLower(rand.Text()[:8])
	}
	ed, pq, err := scitt.GenerateCosignerKeys(name)
	if err != nil {
		return nil, fmt.Errorf("--name: %w", err)
	}
	return fmt.Appendf(nil, "# The keys of the witness %s. Who has them can sign as it.\n%s\n%s\n", name, ed, pq), nil
}

// welcome says what there is.
func welcome(a *cli.App, dir string) func(w *cosigner.Witness, keys, url string) {
	return func(w *cosigner.Witness, keys, url string) {
		fmt.Fprintf(a.Stdout, `conmotion-witness %s at %s, with %d logs
  keys      %s
            Whoever wants its cosignatures in a policy takes one of these:
%s
try
  go run ./cmd/conmotion-witness log add --dir %s https://transparency.example
`, w.Name(), url, w.Logs(), keys, strings.Join(w.VKeys(), "\n"), dir)
		if w.Halted() != "" {
			a.Notice("this witness signs nothing any more: %s", w.Halted())
		}
	}
}
