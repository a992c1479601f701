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
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"strings"
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
	Rate float64 `json:"rate,omitempty"`
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

// statement is one request and what came of it.
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
	b := &bench{Options: o, url: u, registrations: newRecorder(), reads: newRecorder()}
	for done := 0; done < o.Statements; {
		wave, err := b.sign(ctx, key, min(o.Wave, o.Statements-done), done)
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
	report := &Report{Registrations: b.registrations.phase(), Concurrency: o.Concurrency, Size: o.Size, Rate: o.Rate}
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
	registrations *recorder
	reads         *recorder
	locations     []string
}

// sign makes distinct statements on every core, outside of the measurement.
func (b *bench) sign(ctx context.Context, key crypto.Signer, n, before int) ([]*statement, error) {
	wave := make([]*statement, n)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			payload := make([]byte, b.Size)
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				_, _ = rand.Read(payload) // it never fails
				data, err := scitt.SignStatement(key, scitt.SignOptions{Subject: "bench", ContentType: "application/octet-stream"}, payload)
				if err != nil {
					failed.Store(&err)
					return
				}
				wave[i] = &statement{data: data}
				if i%1000 == 0 {
					b.Progress("sign", before+i, b.Statements)
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return wave, ctx.Err()
}

// register sends the statements: each worker the next one, or in an open loop
// the next one when its time has come, whether earlier ones are answered or
// not. Latency counts from that time.
func (b *bench) register(ctx context.Context, wave []*statement, before int) error {
	b.registrations.start()
	defer b.registrations.stop()
	path := strings.TrimRight(b.url.EscapedPath(), "/") + "/entries"
	start := time.Now()
	return b.workers(ctx, len(wave), func(c *conn, i int) error {
		due := time.Now()
		if b.Rate > 0 {
			due = start.Add(time.Duration(float64(i) / b.Rate * float64(time.Second)))
			if err := sleepUntil(ctx, due); err != nil {
				return err
			}
		}
		s := wave[i]
		answer, err := c.post(path, s.data)
		took := time.Since(due)
		if err != nil {
			b.registrations.fail(err, took)
			return nil
		}
		s.location = answer.location
		b.registrations.add(answer.status, took)
		if b.Verify > 0 && i%b.Verify == 0 && answer.status == 201 {
			if err := b.verify(s.data, answer.body); err != nil {
				return err
			}
			b.registrations.verified.Add(1)
		}
		if i%500 == 0 {
			b.Progress("register", before+i, b.Statements)
		}
		return nil
	})
}

// read gets Receipts by entry id.
func (b *bench) read(ctx context.Context) error {
	b.reads.start()
	defer b.reads.stop()
	return b.workers(ctx, b.Reads, func(c *conn, i int) error {
		u, err := url.Parse(b.locations[i%len(b.locations)])
		if err != nil {
			return fmt.Errorf("bench: Location: %w", err)
		}
		begin := time.Now()
		answer, err := c.get(u.Path)
		took := time.Since(begin)
		if err != nil {
			b.reads.fail(err, took)
			return nil
		}
		b.reads.add(answer.status, took)
		if i%1000 == 0 {
			b.Progress("read", i, b.Reads)
		}
		return nil
	})
}

func (b *bench) verify(data, receipt []byte) error {
	st, err := scitt.ParseStatement(data)
	if err != nil {
		return err
	}
	v := scitt.Verifier{LogKeys: b.Keys, Leaf: []scitt.LeafMode{scitt.LeafEntry}}
	out, err := v.Verify(scitt.AttachReceipts(st, receipt))
	if err == nil {
		err = out.Err()
	}
	if err != nil {
		return fmt.Errorf("bench: the service gave a Receipt that does not verify: %w", err)
	}
	return nil
}

// workers runs do for 0 to n-1, each worker on a connection of its own.
func (b *bench) workers(ctx context.Context, n int, do func(c *conn, i int) error) error {
	var next atomic.Int64
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for range min(b.Concurrency, n) {
		group.Go(func() {
			c := newConn(ctx, b.url)
			defer c.close()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
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

func (r *recorder) add(status int, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status[status]++
	r.took = append(r.took, took)
}

func (r *recorder) fail(err error, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[err.Error()]++
	r.took = append(r.took, took)
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
