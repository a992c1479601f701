// Package bench puts load on a Transparency Service and measures it.
//
// The load is real: distinct ES256 Signed Statements, signed before the clock
// starts. The client is thin, one connection for each worker, because it
// usually shares the machine with the service that it measures.
package bench

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// Options say what load to put on which service.
type Options struct {
	URL         string
	Statements  int     // to register
	Size        int     // of a statement's payload in bytes
	Concurrency int     // connections
	Rate        float64 // registrations per second, open loop; 0 for as fast as it goes
	Reads       int     // Receipts to read again afterwards, by id
	Verify      int     // verify every n-th Receipt; 0 for none
	Wave        int     // statements that are signed at a time
	Bulk        int     // statements in one request; at most 1 for one by one
	Chain       bool    // the statements of each connection are a chain
	Payload     []byte  // JSON, the content of each statement; nil for Size random bytes

	Keys     scitt.KeySet // of the service, to verify Receipts
	Progress func(phase string, done, total int)
}

// Report is what was measured. Times are in milliseconds.
type Report struct {
	Registrations Phase  `json:"registrations"`
	Reads         *Phase `json:"reads,omitempty"`
	Concurrency   int    `json:"concurrency"`
	Size          int    `json:"payload_bytes"`
	// Rate is the one that was asked for; 0 in a closed loop.
	Rate  float64 `json:"rate,omitempty"`
	Bulk  int     `json:"bulk,omitempty"` // statements in one request
	Chain bool    `json:"chain,omitempty"`
}

// Phase is the outcome of one kind of request.
type Phase struct {
	Requests  int            `json:"requests"`
	Seconds   float64        `json:"seconds"`
	PerSecond float64        `json:"per_second"`
	Status    map[int]int    `json:"status"`
	Verified  int            `json:"verified"`
	P50       float64        `json:"p50_ms"`
	P90       float64        `json:"p90_ms"`
	P99       float64        `json:"p99_ms"`
	Max       float64        `json:"max_ms"`
	Errors    map[string]int `json:"errors,omitempty"`
}

// statement is what is registered, and where its Receipt is then.
type statement struct {
	data     []byte
	location string
}

// Run puts the load on. The error says why it could not; refused or failed
// requests are in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("bench: %q is not a URL", o.URL)
	}
	key, err := scitt.GenerateKey("ES256")
	if err != nil {
		return nil, err
	}
	b := &bench{Options: o, url: u, key: key, registrations: newRecorder(), reads: newRecorder()}
	b.Bulk = min(max(b.Bulk, 1), scitt.MaxSequence)
	b.links = make([]scitt.ChainLink, o.Concurrency)
	for i := range b.links {
		b.links[i].Name = fmt.Sprintf("bench-%d", i)
	}
	for done := 0; done < o.Statements; {
		wave, err := b.sign(ctx, min(o.Wave, o.Statements-done), done)
		if err != nil {
			return nil, err
		}
		if err := b.register(ctx, wave, done); err != nil {
			return nil, err
		}
		done += len(wave)
		for _, s := range wave {
			if len(b.locations) < o.Reads && s.location != "" {
				b.locations = append(b.locations, s.location)
			}
		}
	}
	report := &Report{Registrations: b.registrations.phase(), Concurrency: o.Concurrency, Size: o.Size, Rate: o.Rate, Chain: o.Chain}
	if b.Bulk > 1 {
		report.Bulk = b.Bulk
	}
	if o.Payload != nil {
		report.Size = len(o.Payload)
	}
	if len(b.locations) > 0 {
		if err := b.read(ctx); err != nil {
			return nil, err
		}
		reads := b.reads.phase()
		report.Reads = &reads
	}
	return report, nil
}

type bench struct {
	Options
	url           *url.URL
	key           crypto.Signer
	links         []scitt.ChainLink // the next of each connection's chain
	registrations *recorder
	reads         *recorder
	locations     []string
}

// read gets Receipts by entry id.
func (b *bench) read(ctx context.Context) error {
	b.reads.start()
	defer b.reads.stop()
	return b.workers(ctx, b.Reads, false, func(c *conn, i int) error {
		u, err := url.Parse(b.locations[i%len(b.locations)])
		if err != nil {
			return fmt.Errorf("bench: Location: %w", err)
		}
		begin := time.Now()
		answer, err := c.get(u.Path)
		took := time.Since(begin)
		if err != nil {
			b.reads.fail(err, took, 1)
			return nil
		}
		b.reads.add(answer.status, took, 1)
		if i%1000 == 0 {
			b.Progress("read", i, b.Reads)
		}
		return nil
	})
}

// workers runs do for 0 to n-1, each worker on a connection of its own: the
// next that nobody does, or in turn the ones that are its own.
func (b *bench) workers(ctx context.Context, n int, own bool, do func(c *conn, i int) error) error {
	var next atomic.Int64
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for w := range min(b.Concurrency, n) {
		group.Go(func() {
			c := newConn(ctx, b.url)
			defer c.close()
			for i := w; ctx.Err() == nil; i += b.Concurrency {
				if !own {
					i = int(next.Add(1)) - 1
				}
				if i >= n {
					return
				}
				if err := do(c, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

func sleepUntil(ctx context.Context, t time.Time) error {
	wait := time.Until(t)
	if wait <= 0 {
		return nil
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recorder collects the outcome of a phase that may have several parts.
type recorder struct {
	mu       sync.Mutex
	took     []time.Duration
	status   map[int]int
	errors   map[string]int
	verified atomic.Int64
	began    time.Time
	seconds  float64
}

func newRecorder() *recorder { return &recorder{status: map[int]int{}, errors: map[string]int{}} }

func (r *recorder) start() { r.began = time.Now() }
func (r *recorder) stop()  { r.seconds += time.Since(r.began).Seconds() }

// add notes what came of n statements of one request.
func (r *recorder) add(status int, took time.Duration, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status[status] += n
	r.took = append(r.took, slices.Repeat([]time.Duration{took}, n)...)
}

func (r *recorder) fail(err error, took time.Duration, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[err.Error()] += n
	r.took = append(r.took, slices.Repeat([]time.Duration{took}, n)...)
}

func (r *recorder) phase() Phase {
	slices.Sort(r.took)
	at := func(q float64) float64 {
		if len(r.took) == 0 {
			return 0
		}
		i := min(int(q*float64(len(r.took))), len(r.took)-1)
		return float64(r.took[i].Microseconds()) / 1000
	}
	return Phase{
		Requests: len(r.took), Seconds: r.seconds, PerSecond: float64(len(r.took)) / cmp.Or(r.seconds, 1),
		Status: r.status, Errors: r.errors, Verified: int(r.verified.Load()),
		P50: at(.5), P90: at(.9), P99: at(.99), Max: at(1),
	}
}
