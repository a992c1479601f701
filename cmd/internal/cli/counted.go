package cli

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/tiles"
)

// counted is a log's source that shows how far its reading is.
type counted struct {
	monitor.Source
	name     string
	size     uint64
	progress *Progress
	done     atomic.Uint64
}

// Count makes the reading of a log show.
func (p *Progress) Count(name string, log monitor.Log) monitor.Log {
	log.Source = &counted{Source: log.Source, name: name, size: log.Checkpoint.Size, progress: p}
	return log
}

// Entries implements [monitor.Source].
func (c *counted) Entries(ctx context.Context, from, to uint64) iter.Seq2[tiles.Entry, error] {
	return func(yield func(tiles.Entry, error) bool) {
		for e, err := range c.Source.Entries(ctx, from, to) {
			done := c.done.Add(1)
			if done%tiles.Width == 0 {
				c.progress.Show(func() string { return fmt.Sprintf("%s: read %d of %d entries", c.name, min(done, c.size), c.size) })
			}
			if !yield(e, err) {
				return
			}
		}
	}
}
