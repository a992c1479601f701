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
	Bulk        int     // statements in one request
	Chain       bool    // the statements of each connection are a chain
	Payload     []byte  // JSON, the content of each statement; nil for Size random bytes
	// Overload, when not 0, has steps of this length follow, each an open loop at
	// another multiple of what was registered per second.
	Overload time.Duration

	Keys     scitt.KeySet // of the service, to verify Receipts
	Progress func(phase string, done, total uint64)
}

// Check refuses options that cannot be; they are named as those of conmotion bench.
func (o Options) Check() error {
	switch {
	case o.Statements < 1 || o.Concurrency < 1 || o.Wave < 1 || o.Size < 16:
		return errors.New("--statements, --concurrency and --wave are at least 1, and --size is at least 16")
	case o.Bulk < 1 || o.Bulk > scitt.MaxSequence:
		return fmt.Errorf("--bulk is from 1 to %d", scitt.MaxSequence)
	case o.Overload < 0 || o.Overload > 0 && (o.Rate > 0 || o.Chain):
		return errors.New("--overload is a time, and excludes --rate and --chain")
	}
	return nil
}

// Report is what was measured. Times are in milliseconds.
type Report struct {
	Registrations Phase     `json:"registrations"`
	Reads         *Phase    `json:"reads,omitempty"`
	Overload      *Overload `json:"overload,omitempty"`
	Concurrency   int       `json:"concurrency"`
	Size          int       `json:"payload_bytes"`
	// Rate is the one that was asked for; 0 in a closed loop.
	Rate  float64 `json:"rate,omitempty"`
	Bulk  int     `json:"bulk,omitempty"` // statements in one request
	Chain bool    `json:"chain,omitempty"`
}

// Phase is the outcome of one kind of request.
type Phase struct {
	Requests int     `json:"requests"`
	Seconds  float64 `json:"seconds"`
	// PerSecond counts those that were done: refusals are quick.
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
	b.links = make([]scitt.ChainLink, o.Concurrency)
	for i := range b.links {
		b.links[i].Name = fmt.Sprintf("bench-%d", i)
	}
	if o.Overload > 0 {
		b.Concurrency = min(o.Concurrency, peakConcurrency)
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
	b.Concurrency = o.Concurrency
	report := &Report{Registrations: b.registrations.phase(), Concurrency: o.Concurrency, Size: o.Size, Rate: o.Rate, Chain: o.Chain}
	if b.Bulk > 1 {
		report.Bulk = b.Bulk
	}
	if o.Payload != nil {
		report.Size = len(o.Payload)
	}
	if o.Overload > 0 {
		if report.Overload, err = b.overload(ctx, b.registrations.step().Goodput); err != nil {
			return nil, err
		}
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

// peakConcurrency is the most connections with which the peak is measured: enough
// to keep the service busy, and too few to be refused.
const peakConcurrency = 512

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
		if err != nil {
			b.reads.fail(err, begin, begin, 1)
			return nil
		}
		b.reads.add(answer.status, begin, begin, 1)
		if i%1000 == 0 {
			b.Progress("read", uint64(i), uint64(b.Reads))
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
	outcomes []outcome
	status   map[int]int
	errors   map[string]int
	verified atomic.Int64
	began    time.Time
	seconds  float64
}

func newRecorder() *recorder { return &recorder{status: map[int]int{}, errors: map[string]int{}} }

func (r *recorder) start() { r.began = time.Now() }
func (r *recorder) stop()  { r.seconds += time.Since(r.began).Seconds() }

// add notes what came of n statements of one request, which was due and sent at
// these times and is answered now.
func (r *recorder) add(status int, due, sent time.Time, n int) {
	o := outcome{due, sent.Sub(due), time.Since(due), registered(status), n}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status[status] += n
	r.outcomes = append(r.outcomes, o)
}

func (r *recorder) fail(err error, due, sent time.Time, n int) {
	o := outcome{due, sent.Sub(due), time.Since(due), false, n}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[err.Error()] += n
	r.outcomes = append(r.outcomes, o)
}

func (r *recorder) phase() Phase {
	var took []time.Duration
	good := 0
	for _, o := range r.outcomes {
		took = append(took, slices.Repeat([]time.Duration{o.took}, o.n)...)
		if o.good {
			good += o.n
		}
	}
	return Phase{
		Requests: len(took), Seconds: r.seconds, PerSecond: float64(good) / cmp.Or(r.seconds, 1),
		Status: r.status, Errors: r.errors, Verified: int(r.verified.Load()),
		P50: quantile(took, .5), P90: quantile(took, .9), P99: quantile(took, .99), Max: quantile(took, 1),
	}
}

// quantile sorts durations, and gives one of them in milliseconds.
func quantile(d []time.Duration, q float64) float64 {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return float64(d[min(int(q*float64(len(d))), len(d)-1)].Microseconds()) / 1000
}
