package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/conmotion/conmotion/internal/plural"
	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
)

// patience is how often a measurement may fail to be computed again before it
// is told: the other log may only be behind a little.
const patience = 3

// recompute computes measurements again, from the logs that are watched. What
// cannot be computed stays for the next look.
func (f *follower) recompute(ctx context.Context, patience int) {
	log := f.log.Load()
	if log == nil || len(f.look.Recompute) == 0 {
		return
	}
	var left []pending
	var first error
	for _, p := range f.look.Recompute {
		i := slices.IndexFunc(f.c.Measurements, func(r measurementRule) bool { return r.Name == p.Rule && r.Recompute })
		if i < 0 {
			continue // the rule is gone
		}
		if err := f.again(ctx, log, f.c.Measurements[i].ruleHead, p.Index); err != nil {
			p.Tries++
			left = append(left, p)
			if first == nil && p.Tries >= patience {
				first = fmt.Errorf("entry %d: %w", p.Index, err)
			}
		}
	}
	if ctx.Err() != nil {
		return // it did not happen
	}
	f.look.Recompute = left
	const key = string(checkRecompute)
	if first != nil {
		f.fire(key, &Alert{Check: checkRecompute, Severity: severityOf(checkRecompute),
			Message: fmt.Sprintf("%s be computed again, and will be tried at each look: %v", plural.Verb(len(left), "measurement", "cannot", "cannot"), first)})
	} else if len(left) == 0 {
		f.resolve(key, "all measurements were computed again")
	}
	_ = f.commit() // which tells, and the next look tries again
}

// again computes one measurement. The error is what kept it from doing so.
func (f *follower) again(ctx context.Context, log *party.Log, h ruleHead, index uint64) error {
	data, err := log.View.Entry(ctx, index)
	if err != nil {
		return err
	}
	s, err := scitt.DecodeStatement(data)
	if err != nil {
		return err
	}
	e := &entry{index: index, s: s, log: log}
	payload, err := e.load(ctx)
	if err != nil {
		return err
	}
	in, err := monitor.ParseMeasurement(payload)
	if err != nil {
		return err
	}
	differs := func(format string, args ...any) {
		a := e.alert(checkRecomputed, h, "the measurement in entry %d is not what its logs lead to: %s", index, fmt.Sprintf(format, args...))
		a.Severity = monitor.Critical
		f.event(a, a.Entry.EntryID)
	}
	var sides [2]monitor.Log
	for i, cp := range []*scitt.Checkpoint{in.Reported, in.Observed} {
		other := f.w.watched(cp.Origin, cp.Size)
		if other == nil {
			return fmt.Errorf("it is about the log %s with %d entries, which is not among those that are watched, or not so far yet", cp.Origin, cp.Size)
		}
		if sides[i], err = other.At(ctx, cp); errors.Is(err, scitt.ErrProof) {
			differs("the log %s never had the root that it pins: %v", cp.Origin, err)
			return nil
		} else if err != nil {
			return err
		}
	}
	r, err := monitor.Recompute(ctx, payload, sides[0], sides[1])
	if err != nil {
		return err
	}
	if !r.Same() {
		differs("it says %d percent, and they give %d; it differs at %s", in.Impact, r.Measurement.Impact, strings.Join(r.Paths, ", "))
	}
	return nil
}

// watched is a log by its origin, with at least this size; nil when none is.
func (w *Watcher) watched(origin string, size uint64) *party.Log {
	for _, f := range w.followers {
		if log := f.log.Load(); log != nil && log.View.Checkpoint.Origin == origin && log.View.Checkpoint.Size >= size {
			return log
		}
	}
	return nil
}
