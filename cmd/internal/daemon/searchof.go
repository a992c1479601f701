package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/cmd/internal/foreign"
	"github.com/conmotion/conmotion/internal/durable"
	"github.com/conmotion/conmotion/personality"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/search"
	"github.com/conmotion/conmotion/tiles"
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
	// KeysFile is where they are kept.
	KeysFile string
	Health   *SearchHealth

	dir       *storage.Dir
	log       *tiles.Log
	view      *tiles.View // the last one; only the indexer uses it
	searching *searching
	handler   http.Handler
	published atomic.Uint64
}

// foreignFile keeps which log it is, and its keys.
const foreignFile = "search-of.json"

// foreignLog is what foreignFile holds.
type foreignLog struct {
	Origin  string   `json:"origin"`
	VKeys   []string `json:"vkeys"`
	Service string   `json:"service,omitempty"`
	// FirstUse says that the keys were taken from the log itself.
	FirstUse bool `json:"first_use,omitempty"`
}

// OpenSearchOf opens the index and begins to follow the log. It answers from
// what it has at once.
func OpenSearchOf(ctx context.Context, c SearchOfConfig, t *Telemetry) (s *SearchOf, err error) {
	dir, err := storage.OpenDir(c.Dir)
	if err != nil {
		return nil, err
	}
	s = &SearchOf{dir: dir, KeysFile: dir.Private(foreignFile)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if _, err := os.Stat(dir.Private(identityFile)); err == nil {
		return s, fmt.Errorf("the directory %s is of a Transparency Service, which searches its own log with --search; use another --dir", c.Dir)
	}
	if err := s.openLog(ctx, &c); err != nil {
		return s, err
	}
	artifacts, err := openForeignArtifacts(&c)
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

// openLog finds out which keys count, and keeps them. A crash before the file
// is written leaves a first start.
func (s *SearchOf) openLog(ctx context.Context, c *SearchOfConfig) error {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	src, err := tiles.Open(c.Log, &http.Client{Timeout: time.Minute, Transport: transport})
	if err != nil {
		return fmt.Errorf("--search-of: %w", err)
	}
	kept, err := readForeign(s.KeysFile)
	if err != nil {
		return err
	}
	log := foreignLog{VKeys: c.VKeys}
	switch {
	case len(c.VKeys) > 0:
	case kept != nil:
		log.VKeys, log.FirstUse = kept.VKeys, kept.FirstUse
	default:
		log.FirstUse = true
		if log.VKeys, err = publishedKeys(ctx, src); err != nil {
			return fmt.Errorf("--search-of %s: no keys of the log; give --vkey: %w", c.Log, err)
		}
	}
	verifiers, err := scitt.NewCheckpointVerifiers(log.VKeys)
	if err != nil {
		return fmt.Errorf("keys of the log: %w", err)
	}
	log.Origin = verifiers.Note.Name()
	if kept != nil {
		if kept.Origin != log.Origin {
			return fmt.Errorf("--vkey: the directory %s is of the log %s, and these are keys of %s; use another --dir for another log", c.Dir, kept.Origin, log.Origin)
		}
		log.Service = kept.Service
	} else if log.Service, err = foreign.Service(ctx, src, c.Log); err != nil {
		return fmt.Errorf("--search-of: %w", err)
	}
	s.Origin, s.Service, s.VKeys, s.FirstUse = log.Origin, log.Service, log.VKeys, log.FirstUse
	s.log = tiles.NewLog(src, verifiers)
	if kept != nil && slices.Equal(kept.VKeys, log.VKeys) && kept.FirstUse == log.FirstUse {
		return nil
	}
	data, err := json.MarshalIndent(log, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(s.KeysFile, append(data, '\n'), 0o600)
}

// readForeign gives nil when there is no file yet.
func readForeign(path string) (*foreignLog, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var log foreignLog
	if err := json.Unmarshal(data, &log); err != nil || len(log.VKeys) == 0 {
		return nil, fmt.Errorf("%s is not what an earlier start wrote; remove it to trust the log's keys anew", path)
	}
	return &log, nil
}

func publishedKeys(ctx context.Context, src tiles.Source) ([]string, error) {
	data, err := src.Get(ctx, tiles.ConfigurationPath)
	if err != nil {
		return nil, err
	}
	c, err := scitt.ParseConfiguration(data)
	if err != nil {
		return nil, err
	}
	return c.CheckpointKeys, nil
}

func openForeignArtifacts(c *SearchOfConfig) (search.Artifacts, error) {
	switch {
	case c.Artifacts == "" && c.ArtifactsToken == "":
		return nil, nil
	case strings.HasPrefix(c.Artifacts, "http://"), strings.HasPrefix(c.Artifacts, "https://"):
		token := ""
		if c.ArtifactsToken != "" {
			data, err := os.ReadFile(c.ArtifactsToken)
			if err != nil {
				return nil, fmt.Errorf("--artifacts-of-token: %w", err)
			}
			token = string(bytes.TrimSpace(data))
		}
		a, err := client.NewArtifacts(c.Artifacts, token, client.Options{})
		if err != nil {
			return nil, fmt.Errorf("--artifacts-of: %w", err)
		}
		return foreign.Fetched{Artifacts: a}, nil
	case c.ArtifactsToken != "":
		return nil, errors.New("--artifacts-of-token is for a URL in --artifacts-of")
	}
	stored, err := foreign.OpenStored(c.Artifacts)
	if err != nil {
		return nil, fmt.Errorf("--artifacts-of: %w", err)
	}
	return stored, nil
}

// latest gives the index the log as it is now, if it extends what was read.
func (s *SearchOf) latest(ctx context.Context) (*scitt.Checkpoint, search.Log, error) {
	if s.searching.index.Err() != nil {
		// Whatever was read may have been wrong, and is read again.
		s.log, s.view = tiles.NewLog(s.log.Source, s.log.Verifiers), nil
	}
	cp, err := s.log.Checkpoint(ctx)
	if err != nil {
		return nil, nil, err
	}
	if s.view == nil || cp.Size != s.view.Checkpoint.Size || !bytes.Equal(cp.Root, s.view.Checkpoint.Root) {
		view, err := s.log.At(ctx, cp)
		if err != nil {
			return nil, nil, err
		}
		if err := s.searching.index.Extends(ctx, view); err != nil {
			return nil, nil, err
		}
		s.view = view
		s.published.Store(cp.Size)
	}
	return cp, s.view, nil
}

func (s *SearchOf) openHandler(c *SearchOfConfig) error {
	h, err := search.NewHandler(search.HandlerConfig{Searcher: s.searching.index, Problem: writeProblem, Log: c.Logger})
	if err != nil {
		return err
	}
	if h, err = personality.RateLimit(c.Rate, c.Burst, h); err != nil {
		return err
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
