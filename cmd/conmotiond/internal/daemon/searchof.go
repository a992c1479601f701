package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/storage/search"
)

// SearchOfConfig says over which log to search.
type SearchOfConfig struct {
	Dir string
	Log string // URL or directory of its static files
	// VKeys are the log's verifier keys. Without them those of an earlier start
	// count, and at the first one those that the log publishes.
	VKeys []string
	// Artifacts is the URL of an artifact storage, or its directory; "" for none.
	Artifacts      string
	ArtifactsToken string        // file with a token for it; "" for none
	Readers        Readers       // who may search; everybody where there are no artifacts
	Interval       time.Duration // between two looks at the log
	Rate           float64
	Burst          int
	Logger         *slog.Logger
}

// SearchOf is a search over somebody else's log. It has no keys and no policy,
// and nobody has to believe it: see conmotion search --verify.
type SearchOf struct {
	Origin  string
	Service string // URL of the log's Transparency Service, or ""
	VKeys   []string
	// FirstUse says that the keys are the log's own word, at the first start.
	FirstUse bool
	// Home is where they are remembered, with the newest checkpoint.
	Home   party.Home
	Health *SearchHealth

	dir       *storage.Dir
	location  string
	options   party.Options
	log       *party.Log // nil while it is out of reach; only the indexer uses it
	searching *searching
	handler   http.Handler
	published atomic.Uint64
}

// foreignHome is where it is remembered which log is searched.
const foreignHome = "home"

// OpenSearchOf opens the index and begins to follow the log. It answers from
// what it has at once.
func OpenSearchOf(ctx context.Context, c SearchOfConfig, t *Telemetry) (s *SearchOf, err error) {
	dir, err := storage.OpenDir(c.Dir)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	s = &SearchOf{dir: dir, Home: party.Home(dir.Private(foreignHome)), location: c.Log}
	s.options = party.Options{Home: s.Home, VKeys: c.VKeys, Client: client.Options{HTTP: &http.Client{Timeout: time.Minute, Transport: transport}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if _, err := os.Stat(dir.Private(identityFile)); err == nil {
		return s, fmt.Errorf("the directory %s is of a Transparency Service, which searches its own log; use another --dir", c.Dir)
	}
	if err := s.openLog(ctx, &c); err != nil {
		return s, err
	}
	artifacts, err := openForeignArtifacts(ctx, &c)
	if err != nil {
		return s, err
	}
	x, err := search.Open(ctx, dir.Private("search.db"), search.Options{Artifacts: artifacts, Service: s.Service, Logger: c.Logger})
	if err != nil {
		return s, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.searching = &searching{index: x, stop: cancel}
	s.Health = &SearchHealth{index: x, published: s.published.Load, good: time.Now()}
	if err := t.observeSearch(s.Health); err != nil {
		return s, err
	}
	if err := s.openHandler(&c); err != nil {
		return s, err
	}
	s.searching.fed.Go(func() { x.Follow(run, c.Interval, s.latest) })
	return s, nil
}

// openLog opens the log as everybody else's is opened; the directory remembers
// its keys and its newest checkpoint. When the log was seen before, it may be
// out of reach, and is opened when it is there again. A crash leaves a first start.
func (s *SearchOf) openLog(ctx context.Context, c *SearchOfConfig) error {
	known, err := s.options.Home.Logs()
	if err != nil {
		return err
	}
	if len(known) > 0 {
		k := known[0]
		s.options.Origin = k.Origin
		s.Origin, s.VKeys, s.FirstUse = k.Origin, k.VKeys, k.FirstUse
		if len(c.VKeys) > 0 && !slices.ContainsFunc(c.VKeys, func(v string) bool { return strings.HasPrefix(v, k.Origin+"+") }) {
			return fmt.Errorf("--vkey: the directory %s is of the log %s, and none of these keys is; use another --dir for another log", c.Dir, k.Origin)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, firstLook)
		defer cancel()
	}
	if !party.IsURL(c.Log) {
		if _, err := os.Stat(c.Log); err != nil {
			return fmt.Errorf("--search-of: %w", err)
		}
	}
	o := s.options
	o.Examine = true // the files may be whole later
	log, err := party.Open(ctx, c.Log, o)
	if err != nil && len(known) > 0 {
		c.Logger.WarnContext(ctx, "the log cannot be followed yet", "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("--search-of: %w; --vkey names keys that you know", err)
	}
	s.Origin, s.VKeys, s.FirstUse, s.Service = log.Files.Verifiers.Note.Name(), log.VKeys, log.FirstUse, log.Service()
	s.options.Origin = s.Origin
	if log.Damage == nil {
		s.log = log
	}
	return nil
}

// firstLook is how long a start waits for a log that was seen before.
const firstLook = 10 * time.Second

// openForeignArtifacts returns nil where there are none.
func openForeignArtifacts(ctx context.Context, c *SearchOfConfig) (*reader.Reader, error) {
	var o reader.Options
	if c.ArtifactsToken != "" {
		var err error
		if o.Token, err = party.ReadToken(ctx, c.ArtifactsToken); err != nil {
			return nil, fmt.Errorf("--artifacts-of-token: %w", err)
		}
	}
	if c.Artifacts == "" && o.Token == "" {
		return nil, nil
	}
	r, err := reader.Open(c.Artifacts, o)
	if err != nil {
		return nil, fmt.Errorf("--artifacts-of: %w", err)
	}
	return r, nil
}

// latest gives the index the log as it is now, if it extends what was read.
func (s *SearchOf) latest(ctx context.Context) (*scitt.Checkpoint, search.Log, error) {
	var err error
	if s.log == nil || s.searching.index.Err() != nil {
		// Whatever was read may have been wrong, and is read again.
		if s.log, err = party.Open(ctx, s.location, s.options); err == nil {
			err = s.searching.index.SetService(ctx, s.log.Service())
		}
	} else {
		err = s.log.Refresh(ctx, s.options)
	}
	if err != nil {
		return nil, nil, err
	}
	view := s.log.View
	if err := s.searching.index.Extends(ctx, view); err != nil {
		return nil, nil, err
	}
	s.published.Store(view.Checkpoint.Size)
	return view.Checkpoint, view, nil
}

func (s *SearchOf) openHandler(c *SearchOfConfig) error {
	h, err := search.NewHandler(search.HandlerConfig{Searcher: s.searching.index, Problem: writeProblem, Log: c.Logger})
	if err != nil {
		return err
	}
	if h, err = personality.RateLimit(c.Rate, c.Burst, h); err != nil {
		return err
	}
	if c.Artifacts != "" {
		readers, err := c.Readers.open("")
		if err != nil {
			return err
		}
		h = artifact.Readers(readers, writeProblem, h)
	}
	mux := http.NewServeMux()
	mux.Handle("/search", h)
	mux.Handle("/search/", h)
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, http.StatusNotFound, "Not Found", "there is nothing here; GET /search searches the log "+s.Origin+", which is elsewhere")
	})
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
	return nil
}

// home tells a person with a browser where they are.
func (s *SearchOf) home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintf(w, `conmotion: a search over a log of somebody else

log      %s
service  %s
search   %s

GET /search        a query, such as /search?iss=...&order=desc&limit=10
GET /search/stats  entries by issuer, class, event code and day

Nothing here has to be believed: conmotion search --verify holds an answer to
the log's own files.
`, s.Origin, s.Service, s.Health)
}

// Handler serves GET /search, /search/stats and /.
func (s *SearchOf) Handler() http.Handler { return s.handler }

// Close ends following and lets go of the directory. Requests must have ended.
func (s *SearchOf) Close() error {
	var errs []error
	if s.searching != nil {
		errs = append(errs, s.searching.close())
	}
	return errors.Join(append(errs, s.dir.Close())...)
}
