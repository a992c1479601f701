package daemon

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage"
	"github.com/conmotion/conmotion/storage/artifact"
	"github.com/conmotion/conmotion/storage/search"
)

// searchInterval is how often the search index looks for new entries: seldom
// enough that it reads many at a time.
const searchInterval = 500 * time.Millisecond

// busyAt is how many entries wait to be stored when registrations need the
// processors, and search has to wait. A service that is not at its limit has
// those of one batch, a few tens.
const busyAt = 256

// openAdjacent opens the Adjacent Services, by the paths that they serve.
func (d *Daemon) openAdjacent(ctx context.Context, c *Config, t *Telemetry, issuer string) (map[string]http.Handler, error) {
	readers, err := c.ArtifactReaders.open(issuer)
	if err != nil {
		return nil, err
	}
	artifacts, err := d.openArtifacts(ctx, c, t, readers)
	if err != nil {
		return nil, err
	}
	if d.place.shared != nil && c.Artifacts == "" {
		c.Logger.Warn("artifacts are in the directory of the instance that is the writer, and another one that takes over has none of them; --artifacts gives all instances one bucket")
		artifacts = d.atWriter(artifacts)
	}
	adjacent := map[string]http.Handler{"/artifacts": artifacts}
	if c.Search && d.dir.ReadOnly() != nil {
		c.Logger.Warn("there is no search: its index cannot be written")
	} else if c.Search {
		searching, err := d.openSearch(ctx, c, t, issuer)
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		adjacent["/search"] = artifact.Readers(readers, writeProblem, searching)
	}
	return adjacent, nil
}

// searching is the search index of the service's own log, and what feeds it.
type searching struct {
	index *search.Index
	stop  context.CancelFunc
	fed   sync.WaitGroup
}

func (d *Daemon) openSearch(ctx context.Context, c *Config, t *Telemetry, issuer string) (http.Handler, error) {
	x, err := search.Open(ctx, d.dir.Private("search.db"), search.Options{
		Artifacts: d.artifacts, Service: issuer, Logger: c.Logger,
		Busy: func() bool { return d.log.Waiting() > busyAt },
	})
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.search = &searching{index: x, stop: cancel}
	d.search.fed.Go(func() { x.Follow(run, searchInterval, latest(d.log)) })
	d.Search = &SearchHealth{index: x, published: d.log.PublishedSize, good: time.Now()}
	if err := t.observeSearch(d.Search); err != nil {
		return nil, err
	}
	return search.NewHandler(search.HandlerConfig{Searcher: x, Problem: writeProblem, Log: c.Logger})
}

// latest gives the search index the published log, as everybody sees it.
func latest(log *storage.Log) func(context.Context) (*scitt.Checkpoint, search.Log, error) {
	return func(context.Context) (*scitt.Checkpoint, search.Log, error) {
		view := log.Published()
		return view.Checkpoint, view, nil
	}
}

func (s *searching) close() error {
	s.stop()
	s.fed.Wait()
	return s.index.Close()
}
