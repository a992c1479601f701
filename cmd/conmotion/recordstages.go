package main

import (
	"context"
	"iter"
	"runtime"
	"time"

	"github.com/conmotion/conmotion/monitor/party"
)

// batch is candidates that go on together, at most as many as are sent at a
// time.
type batch struct {
	all    []candidate
	drafts []party.Draft // of those that can be registered
	at     []int         // where these are in all
	single bool          // there is nothing but this one candidate
	last   bool          // the run ends behind it
	err    error         // storing its artifacts failed
}

// idle is how long a batch waits for more events: a source that is slow gets
// its Receipts all the same.
const idle = 20 * time.Millisecond

// prepare runs what makes the candidates, several at a time, and gives them in
// order.
func prepare(ctx context.Context, jobs iter.Seq[func() candidate]) <-chan chan candidate {
	queue := make(chan chan candidate, 2*party.MaxRun)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	go func() {
		defer close(queue)
		for job := range jobs {
			out := make(chan candidate, 1)
			select {
			case queue <- out:
			case <-ctx.Done():
				return
			}
			slots <- struct{}{}
			go func() {
				out <- job()
				<-slots
			}()
		}
	}()
	return queue
}

// gather makes batches of candidates. An invalid one is the last unless the
// run keeps going. A run with a single output needs to know that there is a
// second event before it registers the first.
func gather(ctx context.Context, queue <-chan chan candidate, keepGoing, wantSingle bool) <-chan *batch {
	out := make(chan *batch)
	go func() {
		defer close(out)
		total := 0
		for open := true; open; {
			b := &batch{}
			if b.all, open = collect(ctx, queue, keepGoing, wantSingle && total == 0); len(b.all) == 0 {
				continue
			}
			total += len(b.all)
			for i, c := range b.all {
				if c.err == nil {
					b.drafts, b.at = append(b.drafts, c.draft), append(b.at, i)
				}
			}
			b.last = !open
			b.single = total == 1 && len(b.all) == 1 && b.last
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// collect takes candidates until there are enough, or no more for now. It says
// whether there can be more.
func collect(ctx context.Context, queue <-chan chan candidate, keepGoing, patient bool) (all []candidate, open bool) {
	var quiet <-chan time.Time
	for len(all) < party.MaxRun {
		select {
		case slot, ok := <-queue:
			if !ok {
				return all, false
			}
			c := <-slot
			all = append(all, c)
			if c.err != nil && !keepGoing {
				return all, false
			}
		case <-quiet:
			return all, true
		case <-ctx.Done():
			return nil, false
		}
		if patient && len(all) < 2 {
			continue
		}
		quiet = time.After(idle)
	}
	return all, true
}

// store stores the artifacts of each batch while the one before it is being
// registered.
func store(ctx context.Context, batches <-chan *batch, r *party.Recorder) <-chan *batch {
	out := make(chan *batch, 1)
	go func() {
		defer close(out)
		for b := range batches {
			b.err = r.Store(ctx, b.drafts)
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
			if b.err != nil {
				return
			}
		}
	}()
	return out
}
