package party

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"runtime"
	"sync"
	"time"
)

// Input is an item of what is to be registered: a draft, or what is wrong about it.
type Input struct {
	File string
	Line int64 // where it begins, from 1; 0 when it is about the whole file
	Draft
	Code    string   // what it says, for people
	Told    []string // the kinds of what was done to it, for people
	Err     error
	More    bool    // Err is that there is more elsewhere, and nothing is wrong
	Outcome Outcome // of the draft
}

// Batch is inputs that go on together.
type Batch struct {
	Inputs []Input
	Single bool // there is nothing but this one input

	drafts []Draft // of those that can be registered
	at     []int   // where these are in Inputs
	err    error   // storing its artifacts failed
}

// ErrSeveral says that there is more than the single input that was expected.
var ErrSeveral = errors.New("there is more than one")

// Knows returns what reports whether the first log has a statement of a type with some content. The first call reads the
// log; where that fails it knows nothing, and Register says why. It may be called by several goroutines at a time.
func (r *Registrar) Knows(ctx context.Context, typ string) func(content []byte) bool {
	read := sync.OnceValue(func() *said {
		said, err := r.services[0].known(ctx)
		if err != nil {
			return nil
		}
		return said
	})
	return func(content []byte) bool {
		said := read()
		if said == nil {
			return false
		}
		_, ok := said.find(newContentKey(typ, sha256.Sum256(content)))
		return ok
	}
}

// Inputs runs the jobs that make inputs, several at a time, and gives the inputs in order.
func Inputs(ctx context.Context, jobs iter.Seq[func() Input]) iter.Seq[Input] {
	return func(yield func(Input) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for slot := range prepare(ctx, jobs) {
			if !yield(<-slot) {
				return
			}
		}
	}
}

// Stream registers inputs as they come, in batches with their outcomes. It ends after an
// input that is invalid or refused, unless KeepGoing is set, and after an error, such as
// that of Register. With single it is ErrSeveral when there is more than one input.
//
// While a batch is registered, the artifacts of the next one are stored, and later inputs are made. Beside that the log is
// read, to which events are held; an event that is recorded already does not wait for it. When ctx is done, the
// batch that is being registered is finished and given, and the error is why ctx is done.
func (r *Registrar) Stream(ctx context.Context, jobs iter.Seq[func() Input], single bool) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		work, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		incoming, stop := context.WithCancel(ctx)
		defer stop()
		read := r.holding.ahead(work)
		total := 0
		for b := range r.stored(work, gather(incoming, prepare(incoming, jobs), r.KeepGoing, single)) {
			err := b.err
			if total += len(b.Inputs); err == nil && single && total > 1 {
				err = ErrSeveral
			}
			if err != nil {
				yield(&Batch{}, err)
				return
			}
			outcomes, err := r.Register(work, b.drafts)
			last := len(b.drafts) < len(b.Inputs)
			for i, o := range outcomes {
				in := &b.Inputs[b.at[i]]
				in.Draft, in.Outcome = b.drafts[i], o
				last = last || o.Err() != nil
			}
			if !yield(b, err) || err != nil {
				return
			}
			if last && !r.KeepGoing || ctx.Err() != nil {
				break
			}
		}
		read() // for Scan too
		if err := errors.Join(context.Cause(ctx), r.save(work)); err != nil {
			yield(&Batch{}, err)
		}
	}
}

// idle is how long a batch waits for more inputs: a source that is slow gets
// its Receipts all the same.
const idle = 20 * time.Millisecond

func prepare(ctx context.Context, jobs iter.Seq[func() Input]) <-chan chan Input {
	queue := make(chan chan Input, 2*maxRun)
	type making struct {
		job func() Input
		out chan Input
	}
	work := make(chan making)
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for m := range work {
				in := m.job()
				in.hashed = in.key()
				m.out <- in
			}
		}()
	}
	go func() {
		defer close(queue)
		defer close(work)
		for job := range jobs {
			out := make(chan Input, 1)
			select {
			case queue <- out:
			case <-ctx.Done():
				return
			}
			work <- making{job, out}
		}
	}()
	return queue
}

// gather makes batches of inputs, and ends after an invalid one unless the run keeps going.
// With single it looks for a second input before it gives the first.
func gather(ctx context.Context, queue <-chan chan Input, keepGoing, single bool) <-chan *Batch {
	out := make(chan *Batch)
	go func() {
		defer close(out)
		total := 0
		for open := true; open; {
			b := &Batch{}
			if b.Inputs, open = collect(ctx, queue, keepGoing, single && total == 0); len(b.Inputs) == 0 {
				continue
			}
			total += len(b.Inputs)
			for i, in := range b.Inputs {
				if in.Err == nil {
					b.drafts, b.at = append(b.drafts, in.Draft), append(b.at, i)
				}
			}
			b.Single = total == 1 && !open
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// collect takes inputs until there are enough, or no more for now, and returns
// whether there can be more.
func collect(ctx context.Context, queue <-chan chan Input, keepGoing, patient bool) (all []Input, open bool) {
	var quiet <-chan time.Time
	for len(all) < maxRun {
		select {
		case slot, ok := <-queue:
			if !ok {
				return all, false
			}
			in := <-slot
			all = append(all, in)
			if in.Err != nil && !in.More && !keepGoing {
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

// stored stores the artifacts of each batch while the one before it is being
// registered.
func (r *Registrar) stored(ctx context.Context, batches <-chan *Batch) <-chan *Batch {
	out := make(chan *Batch, 1)
	go func() {
		defer close(out)
		for b := range batches {
			err := r.storeAll(ctx, b.drafts)
			b.err = err
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}
