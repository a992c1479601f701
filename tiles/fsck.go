package tiles

import (
	"bytes"
	"context"
	"fmt"
	"runtime"

	"github.com/conmotion/conmotion/internal/parallel"
	"github.com/conmotion/conmotion/scitt"
)

// Fsck checks the files of a whole log against a checkpoint whose signatures
// have been verified: it recomputes the root and every tile of every level
// from the entries alone, and holds each entry to the form of an Entry. It
// gives every problem that it finds to report and goes on where it can; the
// error is about what kept it from looking. Progress, when not nil, is told
// the number of entries done.
func Fsck(ctx context.Context, src Source, cp *scitt.Checkpoint, report func(error), progress func(done uint64)) error {
	read := func(ctx context.Context, n uint64) (checked, error) { return readChecked(ctx, src, n, cp.Size) }
	tree := NewRebuild(src, 0, report)
	for n, b := range parallel.Ordered(ctx, 0, (cp.Size+Width-1)/Width, 2*runtime.GOMAXPROCS(0), read) {
		if b.Err != nil {
			return fmt.Errorf("cannot go on after entry %d: %w", n*Width, b.Err)
		}
		for _, problem := range b.Value.problems {
			report(problem)
		}
		for _, leaf := range b.Value.leaves {
			if err := tree.Add(ctx, leaf); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(min(cp.Size, (n+1)*Width))
		}
	}
	root, err := tree.Root(ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(root, cp.Root) {
		report(fmt.Errorf("%w: the entries lead to root %x and the checkpoint of size %d signs %x", ErrCorrupt, root, cp.Size, cp.Root))
	}
	return nil
}

// checked is what there is to know of a bundle's entries.
type checked struct {
	leaves   [][]byte
	problems []error
}

// readChecked runs on many cores at once.
func readChecked(ctx context.Context, src Source, n, size uint64) (c checked, err error) {
	entries, err := ReadBundle(ctx, src, n, size)
	if err != nil {
		return c, err
	}
	for i, e := range entries {
		c.leaves = append(c.leaves, scitt.LeafHash(e))
		if err := CheckEntry(e); err != nil {
			c.problems = append(c.problems, fmt.Errorf("entry %d: %w", n*Width+uint64(i), err))
		}
	}
	return c, nil
}

// CheckEntry holds bytes to the form of an Entry: a registrable Signed
// Statement in the one encoding that entries have.
func CheckEntry(entry []byte) error {
	s, err := scitt.ParseStatement(entry)
	if err != nil {
		return err
	}
	if !bytes.Equal(s.Entry(), entry) {
		return fmt.Errorf("%w: a Signed Statement, but not in the encoding of an entry (empty unprotected header, shortest lengths)", ErrCorrupt)
	}
	return nil
}
