package cloud

import (
	"context"
	"strings"
	"time"

	"github.com/transparency-dev/tessera"
)

const (
	// queueAge is the age at which Tessera's queue closes a batch. Integrating is
	// done once a second, so it does not matter to who waits; if handing over takes
	// longer, the batch is divided.
	queueAge = 10 * time.Millisecond
	// outstanding is how many entries may be sequenced and not integrated: at 4096,
	// with a second between two integrations, the log is held to 4,800 a second.
	outstanding = 40960
)

// engine is Tessera's driver with the settings of a cloud.
type engine struct {
	Engine
	driver *Driver
}

// Appender opens the log's appender, which nobody has before the fence is proven.
func (e *engine) Appender(ctx context.Context, o *tessera.AppendOptions) (*tessera.Appender, tessera.LogReader, error) {
	d := e.driver
	interval := max(o.CheckpointInterval(), d.Interval)
	o.WithBatching(o.BatchMaxSize(), queueAge).WithPushback(outstanding).WithCheckpointInterval(interval).
		WithCheckpointRepublishInterval(max(interval, o.CheckpointRepublishInterval()))
	a, r, err := e.Engine.Appender(ctx, o)
	if err != nil {
		return nil, nil, d.Database.Failed("start Tessera's driver", err)
	}
	d.add = a.Add
	return a, r, d.Database.Guard(ctx, d.writer.term)
}

// Whole implements [storage.Driver]. One flush of Tessera's queue is one
// transaction, and the fence refuses all parts of a batch that was divided, which
// happens when handing it over takes longer than queueAge. Then it is handed over
// again.
func (d *Driver) Whole(ctx context.Context, n uint) (tessera.AddFn, error) {
	return wholeBatch(d.add, n), d.writer.batch(ctx, n)
}

// wholeBatch hands n entries over when it has all of them.
func wholeBatch(add tessera.AddFn, n uint) tessera.AddFn {
	const attempts = 10
	var entries []*tessera.Entry
	results := make([]func() (tessera.Index, error), n)
	return func(ctx context.Context, e *tessera.Entry) tessera.IndexFuture {
		place := len(entries)
		if entries = append(entries, e); len(entries) < int(n) {
			return func() (tessera.Index, error) { return results[place]() }
		}
		for range attempts {
			for i, e := range entries {
				results[i] = add(ctx, e)
			}
			again := false
			for _, result := range results {
				_, err := result()
				again = again || err != nil && strings.Contains(err.Error(), Divided)
			}
			if !again {
				break
			}
		}
		return results[place]
	}
}
