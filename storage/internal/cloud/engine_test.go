package cloud

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera"

	"github.com/conmotion/conmotion/scitt"
)

// TestWholeBatch: a batch that was divided is handed over again; another error is not.
func TestWholeBatch(t *testing.T) {
	for name, failures := range map[string][]string{"divided twice": {Divided, Divided}, "at once": nil, "fails": {"disk full", "never read"}} {
		handed := 0
		add := wholeBatch(func(context.Context, *tessera.Entry) tessera.IndexFuture {
			attempt, place := handed/3, handed%3
			handed++
			return func() (tessera.Index, error) {
				if attempt < len(failures) {
					return tessera.Index{}, errors.New("update seqcoord: " + failures[attempt])
				}
				return tessera.Index{Index: uint64(place)}, nil
			}
		}, 3)
		var futures []tessera.IndexFuture
		for range 3 {
			futures = append(futures, add(t.Context(), tessera.NewEntry(nil)))
		}
		for i, future := range futures {
			index, err := future()
			if fails := name == "fails"; (err != nil) != fails || !fails && index.Index != uint64(i) || fails && handed != 3 {
				t.Errorf("%s: entry %d is at %d after %d: %v", name, i, index.Index, handed, err)
			}
		}
	}
}

// broken is a bucket of which nothing can be read.
type broken struct {
	Bucket
	err error
}

func (b broken) Get(context.Context, string) (Object, error) { return Object{}, b.err }

// TestAway: what reads a bucket that does not answer is told to come again, and nothing of the bucket.
func TestAway(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	late, end := context.WithTimeout(t.Context(), 0)
	defer end()
	reset := errors.New("read s3://log: connection reset")
	for _, c := range []struct {
		ctx  context.Context
		err  error
		away bool
	}{{t.Context(), reset, true}, {t.Context(), fs.ErrNotExist, false}, {gone, context.Canceled, false}, {late, context.DeadlineExceeded, true}} {
		_, err := (&Driver{Place: Place{Bucket: broken{err: c.err}}}).Get(c.ctx, "tile/0/000")
		p := scitt.ProblemOf(err)
		if !errors.Is(err, c.err) || (p != nil) != c.away || p != nil && (p.Status != 503 || p.RetryAfter == 0 || strings.Contains(p.Detail, "s3:")) {
			t.Errorf("%v: %v, %+v", c.err, err, p)
		}
	}
}
