package party

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// Copy is the Transparent Statement of one signature of a content, with the
// Receipts of the logs that have this signature: a Receipt is of bytes.
type Copy struct {
	Transparent []byte
	Origins     []string // of those logs
}

// held is a Copy whose Receipts are verified.
type held struct {
	statement *scitt.Statement
	receipts  [][]byte
	origins   []string
}

// hold adds the Receipts of a log to the copy with the statement's signature.
func hold(copies []held, st *scitt.Statement, origin string, receipts ...[]byte) []held {
	i := slices.IndexFunc(copies, func(h held) bool { return bytes.Equal(h.statement.Entry(), st.Entry()) })
	if i < 0 {
		i, copies = len(copies), append(copies, held{statement: st})
	}
	h := &copies[i]
	h.receipts, h.origins = append(h.receipts, receipts...), append(h.origins, origin)
	return copies
}

// Copies are the Transparent Statements of an outcome: that of the Recorder's
// log first, and then one for each other signature that a further log has. What
// was known before is read from the logs' files.
func (r *Recorder) Copies(ctx context.Context, o Outcome) ([]Copy, error) {
	copies := o.copies
	if copies == nil {
		var err error
		if copies, err = r.fromFiles(ctx, o); err != nil {
			return nil, err
		}
	}
	var out []Copy
	for _, h := range copies {
		out = append(out, Copy{scitt.AttachReceipts(h.statement, h.receipts...), h.origins})
	}
	return out, nil
}

func (r *Recorder) fromFiles(ctx context.Context, o Outcome) (copies []held, err error) {
	for _, ref := range append([]monitor.EntryRef{o.Ref}, o.Also...) {
		w, s := r.w, r.said
		for _, a := range r.also {
			if a.w.log.View.Checkpoint.Origin == ref.Origin {
				w, s = a.w, a.said
			}
		}
		transparent, err := w.fromFiles(ctx, s, ref)
		if err != nil {
			return nil, err
		}
		st, err := scitt.DecodeStatement(transparent)
		if err != nil {
			return nil, err
		}
		copies = hold(copies, st, ref.Origin, st.Receipts...)
	}
	return copies, nil
}

// fromFiles makes the Transparent Statement of an entry of the writer's log.
func (w *Writer) fromFiles(ctx context.Context, s *said, ref monitor.EntryRef) ([]byte, error) {
	if ref.Index >= w.log.View.Checkpoint.Size {
		if err := w.catchUp(ctx, s); err != nil {
			return nil, err
		}
	}
	e, err := w.log.Find(ctx, EntryName{Index: ref.Index}, nil)
	if err != nil {
		return nil, err
	}
	if e.Statement.ID().String() != ref.EntryID {
		return nil, fmt.Errorf("%w: entry %d is %s and not %s", ErrNoEntry, ref.Index, e.Statement.ID(), ref.EntryID)
	}
	return w.log.Transparent(ctx, e)
}
