package artifact

import (
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/internal/parallel"
)

// Listed is a Store that can tell all that it has.
type Listed interface {
	Store
	// Each calls f with every artifact, in no order, until it returns an error.
	Each(ctx context.Context, f func(Info) error) error
}

// Copied says what a copy came to.
type Copied struct {
	Artifacts int   // that are in the other store now, each of them read and hashed
	Bytes     int64 // of these
	Damaged   []Digest
}

// copiers is how many artifacts are copied at a time.
const copiers = 16

// Copy stores every artifact of one store in another one. What is there already is read
// and hashed, and replaced where it is damaged; what is damaged in from is left out, and
// named. Progress is called with the number of artifacts that are done. A crash leaves
// whole artifacts, or none; then it is done again.
func Copy(ctx context.Context, to Store, from Listed, progress func(done, all int)) (c Copied, err error) {
	var all []Info
	if err := from.Each(ctx, func(i Info) error { all = append(all, i); return nil }); err != nil {
		return c, err
	}
	for n, r := range parallel.Ordered(ctx, 0, uint64(len(all)), copiers, func(ctx context.Context, n uint64) (struct{}, error) {
		return struct{}{}, copyOne(ctx, to, from, all[n].Digest)
	}) {
		switch {
		case errors.Is(r.Err, ErrCorrupt):
			c.Damaged = append(c.Damaged, all[n].Digest)
		case r.Err != nil:
			return c, fmt.Errorf("copy artifact %s: %w", all[n].Digest, r.Err)
		default:
			c.Artifacts++
			c.Bytes += all[n].Size
		}
		progress(int(n)+1, len(all))
	}
	return c, nil
}

func copyOne(ctx context.Context, to, from Store, d Digest) (err error) {
	if err := intact(ctx, to, d); err == nil || !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
		return err
	}
	r, info, err := from.Open(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close()
	_, _, err = to.Put(ctx, r, Want{Digest: &d, Size: info.Size})
	return err
}
