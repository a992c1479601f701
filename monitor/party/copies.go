package party

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
)

// Copy is a statement with one signature, and the Receipts of the logs that have
// that signature: a Receipt is for these bytes alone.
type Copy struct {
	Statement *scitt.Statement
	receipts  [][]byte
}

// Transparent is the Transparent Statement.
func (c Copy) Transparent() []byte { return scitt.AttachReceipts(c.Statement, c.receipts...) }

// add adds what a service registered to the copy with this signature, or makes
// that copy with the Receipts that the statement has. The Receipt replaces others
// by this service. It returns which copy it is.
func add(copies []Copy, s *service, r registered) ([]Copy, int) {
	n := slices.IndexFunc(copies, func(c Copy) bool { return bytes.Equal(c.Statement.Entry(), r.Entry()) })
	if n < 0 {
		n, copies = len(copies), append(copies, Copy{r.Statement, r.Receipts})
	}
	own := append([][]byte{r.receipt}, r.more...)
	others := slices.DeleteFunc(slices.Clone(copies[n].receipts), func(receipt []byte) bool { return s.issued(r.Statement, receipt) })
	copies[n].receipts = append(others, own...)
	return copies, n
}

// have reads the copies of a statement that an earlier run wrote, up to the first file
// that is none. Of their Receipts those count that a service here vouches for. Receipts
// of other logs that the statement brings are kept.
func (r *Registrar) have(statement *scitt.Statement, file func(n int) ([]byte, error)) (copies []Copy) {
	for {
		data, err := file(len(copies))
		if err != nil {
			return copies
		}
		have, err := scitt.DecodeStatement(data)
		if err != nil || have.ID() != statement.ID() {
			return copies
		}
		var brought [][]byte
		if bytes.Equal(have.Entry(), statement.Entry()) {
			if brought = statement.Receipts; len(have.Receipts) < len(brought) {
				return copies
			}
		}
		var good []*service
		receipts := slices.DeleteFunc(have.Receipts, func(receipt []byte) bool {
			i := slices.IndexFunc(r.services, func(s *service) bool { return s.vouches(have, receipt) })
			if i >= 0 {
				good = append(good, r.services[i])
			}
			return i < 0
		})
		if len(receipts) == 0 {
			return copies
		}
		brought = slices.DeleteFunc(slices.Clone(brought), func(receipt []byte) bool {
			return slices.ContainsFunc(good, func(s *service) bool { return s.vouches(have, receipt) })
		})
		copies = append(copies, Copy{have, append(brought, receipts...)})
	}
}

// Read completes the copies of an outcome of a Registrar with a Key: where a log knew
// the statement before, it reads the logs' files.
func (r *Registrar) Read(ctx context.Context, o *Outcome) error {
	if !slices.ContainsFunc(o.At, func(at At) bool { return at.Ref.EntryID != "" && !at.copied }) {
		return nil
	}
	o.Copies = nil
	for n, s := range r.services {
		at := &o.At[n]
		if at.Ref.EntryID == "" {
			continue
		}
		if at.Ref.Index >= s.log.View.Checkpoint.Size {
			if err := s.catchUp(ctx); err != nil {
				return err
			}
		}
		e, err := s.log.Find(ctx, EntryName{Index: at.Ref.Index}, nil)
		if err != nil {
			return err
		}
		if e.Statement.ID().String() != at.Ref.EntryID {
			return fmt.Errorf("%w: entry %d is %s and not %s", ErrNoEntry, at.Ref.Index, e.Statement.ID(), at.Ref.EntryID)
		}
		receipt, err := s.log.View.Receipt(ctx, e.Index, scitt.LeafHash(e.Statement.Entry()))
		if err != nil {
			return err
		}
		o.Copies, at.Copy = add(o.Copies, s, registered{Statement: e.Statement, receipt: receipt})
		at.copied = true
	}
	return nil
}
