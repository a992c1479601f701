package main

import (
	"context"
	"fmt"

	"github.com/conmotion/conmotion/cmd/internal/cli"
	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/monitor/party"
)

// What became of a file, where a command is about several.
const (
	resultRegistered = string(party.Registered)
	resultRefused    = string(party.Refused) // by the service, or its Receipt is not good
	resultFailed     = string(party.Failed)  // no verdict: the same call again may succeed
)

// resultOf is what an error comes to.
func resultOf(err error) string {
	if cli.ExitCode(err) == cli.ExitBad {
		return resultRefused
	}
	return resultFailed
}

// inOrder does something n times, some of them at a time, and tells what came of each in
// their order.
func inOrder[R any](ctx context.Context, n, concurrency int, one func(ctx context.Context, i int) R, tell func(R) error) error {
	work := func(ctx context.Context, i uint64) (R, error) { return one(ctx, int(i)), nil }
	for _, r := range parallel.Ordered(ctx, 0, uint64(n), concurrency, work) {
		if r.Err != nil {
			return r.Err
		}
		if err := tell(r.Value); err != nil {
			return err
		}
	}
	return nil
}

// tally counts what became of files.
type tally struct {
	counts map[string]int // by result
	of     int            // files
	last   error          // about one of them
}

func (t *tally) add(result string, err error) {
	t.counts[result]++
	if err != nil {
		t.last = err
	}
}

// verdict is the error that the whole run comes to. Of several files it tells how many are
// not what they should be.
func (t *tally) verdict(what string) error {
	not, err := t.counts[resultRefused]+t.counts[resultFailed], t.last
	if t.of > 1 {
		err = fmt.Errorf("%d of %d %s", not, t.of, what)
	}
	switch {
	case not == 0:
		return nil
	case t.counts[resultFailed] > 0:
		return cli.Usage(err)
	}
	return cli.Bad(err)
}
