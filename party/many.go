package party

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// registerMany registers statements in their order, up to the first that is
// not registered, and gives the Receipts of those before it and an error about
// it. Nothing of the answer is verified yet.
func (w *Writer) registerMany(ctx context.Context, statements [][]byte) (receipts [][]byte, err error) {
	done, err := w.client.RegisterAll(ctx, statements)
	for _, r := range done {
		receipts = append(receipts, r.Receipt)
	}
	return receipts, err
}

// MaxRun is how many statements are sent at a time, and maxRunBytes how large
// they are all together. A log of this project takes 1000, and 4 MiB.
const (
	MaxRun      = 512
	maxRunBytes = 3 << 20
)

// sendable is how many of the statements can be sent at a time.
func sendable(statements [][]byte) int {
	size := 0
	for n, s := range statements {
		if size += len(s); n > 0 && (n == MaxRun || size > maxRunBytes) {
			return n
		}
	}
	return len(statements)
}

// checkAll verifies Receipts of this log for statements that the writer
// signed.
func (w *Writer) checkAll(statements []*scitt.Statement, receipts [][]byte) ([]monitor.EntryRef, error) {
	if len(receipts) > len(statements) {
		return nil, fmt.Errorf("%w: the service gave %d receipts for %d statements", scitt.ErrProof, len(receipts), len(statements))
	}
	refs := make([]monitor.EntryRef, len(receipts))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, data := range receipts {
		g.Go(func() error {
			receipt, err := w.check(scitt.AttachReceipts(statements[i], data))
			if err != nil {
				return fmt.Errorf("the service's receipt is not good: %w", err)
			}
			refs[i] = w.ref(place{receipt.Proofs[0].Index, statements[i].ID()})
			return nil
		})
	}
	return refs, g.Wait()
}

// ref names an entry of the writer's log.
func (w *Writer) ref(p place) monitor.EntryRef {
	return monitor.EntryRef{EntryID: p.ID.String(), Index: p.Index, Origin: w.log.View.Checkpoint.Origin}
}
