package party

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// registerMany registers statements in their order, up to the first that is
// not registered, and returns the Receipts of those before it and an error about
// it. The Receipts are not verified yet. Where the log holds the content with
// another signature, that statement takes the place of the writer's own in both
// slices: the Receipt is for its bytes alone.
func (w *Writer) registerMany(ctx context.Context, parsed []*scitt.Statement, statements [][]byte) (receipts [][]byte, err error) {
	for n := 0; n < len(statements); n = len(receipts) {
		done, err := w.client.RegisterAll(ctx, statements[n:])
		for _, r := range done {
			receipts = append(receipts, r.Receipt)
		}
		if n = len(receipts); !errors.Is(err, scitt.ErrRegistered) || n == len(statements) {
			return receipts, err
		}
		other, err := w.registered(ctx, parsed[n])
		if err != nil {
			return receipts, err
		}
		parsed[n], statements[n] = other, other.Entry()
		receipts = append(receipts, other.Receipts[0])
	}
	return receipts, nil
}

// registered fetches what the log holds in place of a statement: its content
// with another signature of the writer's key.
func (w *Writer) registered(ctx context.Context, s *scitt.Statement) (*scitt.Statement, error) {
	return w.client.Registered(ctx, s, "", w.verifier())
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
// signed. Those of one checkpoint have one signature.
func (w *Writer) checkAll(statements []*scitt.Statement, receipts [][]byte) ([]monitor.EntryRef, error) {
	if len(receipts) > len(statements) {
		return nil, fmt.Errorf("%w: the service gave %d receipts for %d statements", scitt.ErrProof, len(receipts), len(statements))
	}
	var refs []monitor.EntryRef
	var good *scitt.Receipt // the last one
	var goodRoot []byte
	for i, data := range receipts {
		r, root, err := w.rootOf(statements[i], data)
		if err == nil && (good == nil || !r.SameSignature(good) || !bytes.Equal(root, goodRoot)) {
			err = w.receipts.VerifyRoot(r, root)
		}
		if err == nil {
			err = r.Validity.At(time.Now())
		}
		if err != nil {
			return nil, fmt.Errorf("the service's receipt is not good: %w", err)
		}
		good, goodRoot = r, root
		index, _, _ := r.Place()
		refs = append(refs, w.ref(place{index, statements[i].ID()}))
	}
	return refs, nil
}

// rootOf is a Receipt of this log and the root that it leads to.
func (w *Writer) rootOf(s *scitt.Statement, receipt []byte) (*scitt.Receipt, []byte, error) {
	r, err := scitt.ParseReceipt(receipt)
	if err != nil {
		return nil, nil, err
	}
	if origin := w.log.View.Checkpoint.Origin; r.Subject != origin {
		return nil, nil, fmt.Errorf("%w: it is of the log %q and not of %q", scitt.ErrProof, r.Subject, origin)
	}
	if _, _, ok := r.Place(); !ok {
		return nil, nil, fmt.Errorf("%w: it does not say where the entry is", scitt.ErrProof)
	}
	root, err := r.Root(s.Entry())
	return r, root, err
}

// ref names an entry of the writer's log.
func (w *Writer) ref(p place) monitor.EntryRef {
	return monitor.EntryRef{EntryID: p.ID.String(), Index: p.Index, Origin: w.log.View.Checkpoint.Origin}
}
