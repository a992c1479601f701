package cloud

import (
	"context"
	"errors"
	"testing"

	"github.com/transparency-dev/tessera"
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
