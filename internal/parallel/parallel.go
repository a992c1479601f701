// Package parallel runs independent work on several goroutines and returns the
// results in order.
package parallel

import (
	"context"
	"iter"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Result is what one call of f in [Ordered] returned.
type Result[T any] struct {
	Value T
	Err   error
}

// CPUs is how many workers keep every processor busy: one more than there are,
// since the result that is being used counts as one.
func CPUs() int { return runtime.GOMAXPROCS(0) + 1 }

// Ordered calls f for every n from start up to, and not including, end, with
// at most workers calls and unused results at a time, and yields the results in order. All calls have
// returned when the loop ends, also when its body breaks out of it. When ctx
// ends first, the last result has its error.
func Ordered[T any](ctx context.Context, start, end uint64, workers int, f func(context.Context, uint64) (T, error)) iter.Seq2[uint64, Result[T]] {
	return func(yield func(uint64, Result[T]) bool) {
		ctx, cancel := context.WithCancel(ctx)
		g, ctx := errgroup.WithContext(ctx)
		defer func() { cancel(); _ = g.Wait() }() // errors travel in the results
		// The oldest result that was not yielded yet is outside the queue, so
		// the queue holds one less than there are calls.
		queue := make(chan chan Result[T], max(0, workers-1))
		g.Go(func() error {
			defer close(queue)
			for n := start; n < end && ctx.Err() == nil; n++ {
				slot := make(chan Result[T], 1)
				select {
				case queue <- slot:
				case <-ctx.Done():
					return nil
				}
				g.Go(func() error {
					value, err := f(ctx, n)
					slot <- Result[T]{value, err}
					return nil
				})
			}
			return nil
		})
		n := start
		for slot := range queue {
			if !yield(n, <-slot) {
				return
			}
			n++
		}
		if n < end {
			yield(n, Result[T]{Err: ctx.Err()})
		}
	}
}

// Map calls f for what seq gives, at most ahead of them at a time, and yields the results in order. Only the caller's
// goroutine is in seq. All calls have returned when the loop ends.
func Map[T, R any](seq iter.Seq[T], ahead int, f func(T) R) iter.Seq[R] {
	return func(yield func(R) bool) {
		type call struct {
			v    T
			slot chan R
		}
		queue, calls, workers := make(chan chan R, ahead), make(chan call), 0
		defer close(calls)
		more := true
		next := func() {
			if r := <-<-queue; more {
				more = yield(r)
			}
		}
		for v := range seq {
			if len(queue) == ahead {
				next()
			}
			if !more {
				break
			}
			slot := make(chan R, 1)
			queue <- slot
			if workers < ahead { // they stay: a stack that has grown need not grow again for each call
				workers++
				go func() {
					for c := range calls {
						c.slot <- f(c.v)
					}
				}()
			}
			calls <- call{v, slot}
		}
		for len(queue) > 0 {
			next()
		}
	}
}
