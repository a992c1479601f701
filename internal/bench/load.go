package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// A wave is sent in requests of Bulk statements; request r is of connection r
// modulo Concurrency where its statements are part of that one's chain.

// sign makes distinct statements on every core, outside of the measurement.
// The statements of one chain can only be signed one after the other.
func (b *bench) sign(ctx context.Context, n, before int) ([]*statement, error) {
	wave := make([]*statement, n)
	parts := make([][]int, n) // what is signed in order, by index
	for i := range n {
		part := i
		if b.Chain {
			part = i / b.Bulk % b.Concurrency
		}
		parts[part] = append(parts[part], i)
	}
	var next, done atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for {
				part := int(next.Add(1)) - 1
				if part >= n {
					return
				}
				for _, i := range parts[part] {
					if ctx.Err() != nil || failed.Load() != nil {
						return
					}
					data, err := b.signNext(part)
					if err != nil {
						failed.Store(&err)
						return
					}
					wave[i] = &statement{data: data}
					if d := done.Add(1); d%1000 == 0 {
						b.Progress("sign", uint64(before)+uint64(d), uint64(b.Statements))
					}
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

// signNext signs a statement, in a chain the next one.
func (b *bench) signNext(chain int) ([]byte, error) {
	payload := b.Payload
	o := scitt.SignOptions{Subject: "bench", ContentType: "application/json"}
	if payload == nil {
		payload = make([]byte, b.Size)
		_, _ = rand.Read(payload) // it never fails
		o.ContentType = "application/octet-stream"
	}
	if !b.Chain {
		return scitt.SignStatement(b.key, o, payload)
	}
	link := b.links[chain]
	o.Chain = &link
	data, err := scitt.SignStatement(b.key, o, payload)
	if err != nil {
		return nil, err
	}
	st, err := scitt.ParseStatement(data)
	if err != nil {
		return nil, err
	}
	id := st.ID()
	b.links[chain].Seq, b.links[chain].Prev = link.Seq+1, id[:]
	return data, nil
}

// register sends the statements: each worker the next request, or in an open
// loop the next one when its time has come, whether earlier ones are answered
// or not. Latency counts from that time.
func (b *bench) register(ctx context.Context, wave []*statement, before int) error {
	b.registrations.start()
	defer b.registrations.stop()
	path := strings.TrimRight(b.url.EscapedPath(), "/") + "/entries"
	start := time.Now()
	requests := slices.Collect(slices.Chunk(wave, b.Bulk))
	return b.workers(ctx, len(requests), b.Chain, func(c *conn, i int) error {
		due := time.Now()
		if b.Rate > 0 {
			due = start.Add(time.Duration(float64(i*b.Bulk) / b.Rate * float64(time.Second)))
			if err := sleepUntil(ctx, due); err != nil {
				return err
			}
		}
		if i%max(1, 500/b.Bulk) == 0 {
			b.Progress("register", uint64(before+i*b.Bulk), uint64(b.Statements))
		}
		if b.Bulk > 1 {
			return b.postMany(c, path, requests[i], i*b.Bulk, due)
		}
		return b.post(c, path, requests[i][0], i, due)
	})
}

// post sends a statement.
func (b *bench) post(c *conn, path string, s *statement, i int, due time.Time) error {
	sent := time.Now()
	answer, err := c.post(path, "application/cose", s.data)
	if err != nil {
		b.registrations.fail(err, due, sent, 1)
		return nil
	}
	s.location = answer.location
	b.registrations.add(answer.status, due, sent, 1)
	if answer.status != 201 {
		return b.rest(c.ctx, answer)
	}
	return b.verify(i, s.data, answer.body)
}

// rest leaves a busy service alone for as long as it says, in a closed loop.
func (b *bench) rest(ctx context.Context, a answer) error {
	if b.Rate > 0 || a.status < 400 {
		return nil
	}
	return sleepUntil(ctx, time.Now().Add(a.retryAfter))
}

var errNotReached = errors.New("not registered, because one before it in the request was not")

// postMany sends a request of many, the first of which is statement i.
func (b *bench) postMany(c *conn, path string, all []*statement, i int, due time.Time) error {
	var body []byte
	for _, s := range all {
		body = append(body, s.data...)
	}
	sent := time.Now()
	answer, err := c.post(path, "application/cbor-seq", body)
	if err != nil {
		b.registrations.fail(err, due, sent, len(all))
		return nil
	}
	if answer.status != 200 {
		b.registrations.add(answer.status, due, sent, len(all))
		return b.rest(c.ctx, answer)
	}
	items, err := scitt.SplitSequence(answer.body)
	if err != nil {
		return fmt.Errorf("bench: the answer: %w", err)
	}
	if n := len(items); n > 0 {
		if p, err := scitt.ParseProblemItem(items[n-1]); err == nil {
			items = items[:n-1]
			b.registrations.add(p.Status, due, sent, 1)
			b.registrations.fail(errNotReached, due, sent, max(0, len(all)-n))
		}
	}
	if len(items) > len(all) {
		return fmt.Errorf("bench: %d Receipts for %d statements", len(items), len(all))
	}
	b.registrations.add(answer.status, due, sent, len(items))
	for j, receipt := range items {
		if len(b.locations) < b.Reads {
			st, err := scitt.ParseStatement(all[j].data)
			if err != nil {
				return err
			}
			all[j].location = b.url.JoinPath("entries", st.ID().String()).String()
		}
		if err := b.verify(i+j, all[j].data, receipt); err != nil {
			return err
		}
	}
	return nil
}

// verify holds every n-th Receipt to its statement.
func (b *bench) verify(i int, data, receipt []byte) error {
	if b.Verify == 0 || i%b.Verify != 0 {
		return nil
	}
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
	b.registrations.verified.Add(1)
	return nil
}
