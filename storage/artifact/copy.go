package artifact

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
)

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
func Copy(ctx context.Context, to Store, from Storage, progress func(done, all int)) (c Copied, err error) {
	var all []Info
	if err := from.Each(ctx, func(i Info) error { all = append(all, i); return nil }); err != nil {
		return c, err
	}
	var mu sync.Mutex // of c and done
	done := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(copiers)
	for _, i := range all {
		g.Go(func() error {
			err := copyOne(ctx, to, from, i.Digest)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, ErrCorrupt):
				c.Damaged = append(c.Damaged, i.Digest)
			case err != nil:
				return fmt.Errorf("copy artifact %s: %w", i.Digest, err)
			default:
				c.Artifacts++
				c.Bytes += i.Size
			}
			done++
			progress(done, len(all))
			return nil
		})
	}
	err = g.Wait()
	return c, err
}

func copyOne(ctx context.Context, to, from Store, d Digest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
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
