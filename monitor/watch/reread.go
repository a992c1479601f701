package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/tiles"
)

// reread is how far the log's files were read again.
type reread struct {
	At   time.Time `json:"at"`   // when that was
	Next uint64    `json:"next"` // the bundle whose turn is next
	// Bad are bundles that could not be verified, up to maxBad.
	Bad []uint64 `json:"bad,omitempty"`
}

const (
	maxReread = 4096 // bundles that one look reads again
	maxBad    = 100
)

// reread reads so many of the log's bundles again, and the tiles above them, that
// all have their turn in the configured time, and holds them to the checkpoint.
// What was found to be wrong is read again at every look. The error says what
// kept it from looking.
func (f *follower) reread(ctx context.Context, log *party.Log) error {
	r, now, turn := &f.look.Reread, f.now(), time.Duration(f.c.Reread)
	bundles := (log.View.Checkpoint.Size + tiles.Width - 1) / tiles.Width
	elapsed := now.Sub(r.At)
	if r.At.IsZero() || elapsed < 0 || bundles == 0 {
		r.At = now
		return nil
	}
	var problem error // the last one
	still := r.Bad[:0:0]
	for _, n := range r.Bad {
		_, bad, err := verifyBundles(ctx, log, n, n+1)
		if err != nil {
			return err
		}
		if bad != nil {
			still, problem = append(still, n), bad
		}
	}
	r.Bad = still
	due := uint64(float64(bundles) * min(1, elapsed.Seconds()/turn.Seconds()))
	if due > maxReread {
		due = maxReread
		f.say("%d bundles of entries are to be read again in %v, which is more than %d at each look; all of them take longer", bundles, f.c.Reread, maxReread)
	}
	for left := due; left > 0; {
		r.Next %= bundles
		next, bad, err := verifyBundles(ctx, log, r.Next, min(bundles, r.Next+left))
		if err != nil {
			return err
		}
		if bad != nil {
			if problem = bad; len(r.Bad) < maxBad && !slices.Contains(r.Bad, next-1) {
				r.Bad = append(r.Bad, next-1)
			}
		}
		left -= next - r.Next
		r.Next = next
	}
	if due == maxReread || due == bundles {
		r.At = now
	} else { // what is left of the time is for the next look
		r.At = r.At.Add(time.Duration(float64(due) / float64(bundles) * float64(turn)))
	}
	const key = string(checkHistory)
	if problem != nil {
		f.fire(key, &Alert{Check: checkHistory, Severity: severityOf(checkHistory),
			Message: fmt.Sprintf("what the log had already is wrong or gone: %v", problem)})
	} else {
		f.resolve(key, "what was wrong or gone is there again")
	}
	return nil
}

// verifyBundles reads and verifies the entries of the bundles from first up to and
// not including end. It stops behind the first that is wrong or missing, which is
// next-1, and says why.
func verifyBundles(ctx context.Context, log *party.Log, first, end uint64) (next uint64, bad, err error) {
	next = first
	for e, err := range log.View.Entries(ctx, first*tiles.Width, end*tiles.Width) {
		switch {
		case errors.Is(err, tiles.ErrCorrupt), errors.Is(err, fs.ErrNotExist):
			return next + 1, fmt.Errorf("entries %d to %d: %w", next*tiles.Width, min(log.View.Checkpoint.Size, (next+1)*tiles.Width)-1, err), nil
		case err != nil:
			return next, nil, err
		}
		next = (e.Index + 1) / tiles.Width
	}
	return end, nil, nil
}
