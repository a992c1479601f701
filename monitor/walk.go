package monitor

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/conmotion/conmotion/internal/firsts"
	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Once counts the contents of one log once: the first entry with an entry id
// whose signature verifies. An issuer can sign the same content again, and
// anybody can make a second valid signature of an ECDSA one; so an operator can
// put what was said before into the log another time, and without Once it would
// be said again, with effect.
//
// It takes up to 43 bytes of memory for each statement that it counts, and 9 where
// it is saved. It is not safe for concurrent use.
type Once struct{ table *firsts.Table }

// NewOnce returns a Once that has seen nothing.
func NewOnce() *Once { return &Once{firsts.New()} }

// LoadOnce reads what Save wrote when size entries of the log were read. Errors wrap
// ErrMalformed.
func LoadOnce(data []byte, size uint64) (*Once, error) {
	table, err := firsts.Load(data, size)
	if err != nil {
		return nil, malformed("%w", err)
	}
	return &Once{table}, nil
}

// Save returns what LoadOnce reads. The same entries lead to the same bytes.
func (o *Once) Save() []byte { return o.table.Save() }

// Take notes the statement with this id at an index, whose signature has been
// verified, and returns the index that counts for its content. The statement
// is a duplicate where that is another one. Errors are those of the source.
func (o *Once) Take(ctx context.Context, source Source, id scitt.EntryID, index uint64) (counts uint64, err error) {
	first, ok, err := o.table.Find(id, func(at uint64) (bool, error) {
		if at == index {
			return true, nil
		}
		for e, err := range source.Entries(ctx, at, at+1) {
			if err != nil {
				return false, fmt.Errorf("entry %d: %w", at, err)
			}
			found, ok := scitt.EntryIDOf(e.Data)
			return ok && found == id, nil
		}
		return false, fmt.Errorf("the source has no entry %d", at)
	})
	switch {
	case err != nil:
		return 0, err
	case !ok:
		o.table.Take(id, index)
	case index < first: // read after a later one
		o.table.Move(id, first, index)
	default:
		return first, nil
	}
	return index, nil
}

// Found is an entry of a log on a [Log.Walk].
type Found struct {
	Index     uint64
	Statement *scitt.Statement // nil when the entry is nobody's statement
	// Flaw is why a statement that is wanted does not count: AnomalySignature,
	// AnomalyUnchecked or AnomalyDuplicate; AnomalyNoStatement where there is none.
	// "" when it counts, and when it is not wanted.
	Flaw   AnomalyKind
	Detail string
	First  uint64 // of a duplicate: the index that counts
}

// Walk reads the entries from index from up to, and not including, to, in order. Those
// that are wanted count once: their signatures are verified (unless Verify is
// nil) and once has what counts of the entries before. want is called by several
// goroutines at a time; what it does not want it may want once the entries before have
// been given out. An error ends the walk.
func (l Log) Walk(ctx context.Context, once *Once, from, to uint64, want func(*scitt.Statement) bool) iter.Seq2[*Found, error] {
	return func(yield func(*Found, error) bool) {
		nothing := func(context.Context, *scitt.Statement) (struct{}, error) { return struct{}{}, nil }
		for f, err := range walk(ctx, l, once, from, to, want, nothing) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(&f.Found, nil) {
				return
			}
		}
	}
}

// found is a Found with what was read of it.
type found[T any] struct {
	Found
	wanted bool
	value  T
}

const (
	batch = tiles.Width // entries that one worker reads at a time
	// ahead is how many batches for each processor are read before they are used: a scan of a large inventory
	// takes as long as signatures of a thousand records, and the other processors do not wait for it.
	ahead = 4
)

// walk is Walk with a read of each statement that is wanted and signed, on all
// cores. An error of read ends it.
func walk[T any](ctx context.Context, log Log, once *Once, from, to uint64, want func(*scitt.Statement) bool,
	read func(context.Context, *scitt.Statement) (T, error)) iter.Seq2[*found[T], error] {
	return func(yield func(*found[T], error) bool) {
		if from >= to {
			return
		}
		some := func(ctx context.Context, n uint64) ([]found[T], error) {
			out := make([]found[T], 0, batch)
			for e, err := range log.Source.Entries(ctx, max(from, n*batch), min(to, (n+1)*batch)) {
				if err != nil {
					return nil, err
				}
				f := found[T]{Found: Found{Index: e.Index}}
				if f.Statement, err = scitt.DecodeEntry(e.Data); err != nil {
					f.Flaw, f.Detail = AnomalyNoStatement, err.Error()
				}
				if f.wanted = f.Statement != nil && want(f.Statement); f.wanted {
					if f.value, err = signed(ctx, log, &f.Found, read); err != nil {
						return nil, fmt.Errorf("entry %d: %w", e.Index, err)
					}
				}
				out = append(out, f)
			}
			return out, nil
		}
		next := from
		for _, batch := range parallel.Ordered(ctx, from/batch, (to-1)/batch+1, ahead*parallel.CPUs(), some) {
			if batch.Err != nil {
				yield(nil, batch.Err)
				return
			}
			for i := range batch.Value {
				f := &batch.Value[i]
				if f.Index != next {
					yield(nil, fmt.Errorf("the source gave entry %d in place of %d", f.Index, next))
					return
				}
				next++
				if !f.wanted && f.Statement != nil && want(f.Statement) { // by what came between
					f.wanted = true
					var err error
					if f.value, err = signed(ctx, log, &f.Found, read); err != nil {
						yield(nil, fmt.Errorf("entry %d: %w", f.Index, err))
						return
					}
				}
				if f.wanted && f.Flaw == "" {
					if err := log.count(ctx, once, &f.Found); err != nil {
						yield(nil, err)
						return
					}
				}
				if !yield(f, nil) {
					return
				}
			}
		}
		if next != to {
			yield(nil, fmt.Errorf("the source ended at entry %d, before %d", next, to))
		}
	}
}

// signed verifies a statement and reads it.
func signed[T any](ctx context.Context, log Log, f *Found, read func(context.Context, *scitt.Statement) (T, error)) (value T, err error) {
	if log.Verify != nil {
		if err := log.Verify(f.Statement); err != nil {
			if f.Flaw, f.Detail = AnomalySignature, err.Error(); errors.Is(err, scitt.ErrUnchecked) {
				f.Flaw = AnomalyUnchecked
			}
			return value, nil
		}
	}
	return read(ctx, f.Statement)
}

// count counts a statement, unless an entry before has its content.
func (l Log) count(ctx context.Context, once *Once, f *Found) error {
	var err error
	if f.First, err = once.Take(ctx, l.Source, f.Statement.ID(), f.Index); err != nil || f.First == f.Index {
		return err
	}
	f.Flaw = AnomalyDuplicate
	f.Detail = fmt.Sprintf("entry %d has the same content, with a valid signature too, and is what counts", f.First)
	if l.Verify == nil {
		f.Detail = fmt.Sprintf("entry %d has the same content and is what counts; the signatures of both were not checked", f.First)
	}
	return nil
}
