package party

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

var (
	// ErrForked is wrapped when a log signed two histories.
	ErrForked = errors.New("the log forked: it signed two checkpoints that cannot both be true")
	// ErrRolledBack is wrapped when a location shows fewer entries than were
	// seen of the log, and it cannot be checked whether both are one history; or
	// when they are, and the newest state is needed.
	ErrRolledBack = errors.New("the log was rolled back, or this copy of it is old")
)

// HistoryError is two checkpoints of one log that do not go together. It wraps
// ErrForked or ErrRolledBack.
type HistoryError struct {
	err          error
	Older, Newer *scitt.Checkpoint // the smaller one first; of a rollback, as they were seen
	// Proof convinces anybody that the log forked; nil when it was rolled back.
	Proof *tiles.Equivocation
	// ProofFile is where Home keeps the proof; "" when it does not.
	ProofFile string
	// OneHistory reports that the log was rolled back to what is proven to be an
	// older state of it. Otherwise that could not be checked.
	OneHistory bool
}

// Error says what is wrong.
func (e *HistoryError) Error() string {
	form := "%v: %q had %d entries with root %x before, and now %d with root %x"
	if e.Proof != nil {
		form = "%v: %q has %d entries with root %x, and %d with root %x"
	}
	text := fmt.Sprintf(form, e.err, e.Older.Origin, e.Older.Size, e.Older.Root, e.Newer.Size, e.Newer.Root)
	switch {
	case e.Proof == nil && e.OneHistory:
		text += "; both are one history"
	case e.Proof == nil:
		text += "; that both are one history cannot be checked here"
	}
	if e.ProofFile != "" {
		text += "; the proof, for anybody to verify, is " + e.ProofFile
	}
	return text
}

// Unwrap is the kind of the error.
func (e *HistoryError) Unwrap() error { return e.err }

// KeepProof writes a proof into Home and gives the file; "" when Home
// remembers nothing. A crash leaves the whole file or none.
func (h Home) KeepProof(e *tiles.Equivocation) (path string, err error) {
	if h == "" {
		return "", nil
	}
	data, err := e.Marshal()
	if err != nil {
		return "", err
	}
	path = filepath.Join(string(h), "proofs", hashName(string(data))+".json")
	if err := writeFile(path, data); err != nil {
		return "", fmt.Errorf("keep the proof: %w", err)
	}
	return path, nil
}

// open verifies a checkpoint. Errors wrap [tiles.ErrOtherLog] when it is another log's
// by its own words.
func (l *Log) open(raw []byte) (*scitt.Checkpoint, error) {
	cp, err := l.Files.Verifiers.Open(raw)
	if err != nil {
		origin := scitt.ClaimedOrigin(raw)
		_, rest, _ := bytes.Cut(raw, []byte("\n"))
		size, _, _ := bytes.Cut(rest, []byte("\n"))
		_, serr := strconv.ParseUint(string(size), 10, 64)
		if want := l.Files.Verifiers.Note.Name(); serr == nil && len(origin) <= maxOrigin && scitt.CheckOrigin(origin) == nil && origin != want {
			return nil, fmt.Errorf("%w: its checkpoint is of %q, and the trusted keys are of %q", tiles.ErrOtherLog, origin, want)
		}
		return nil, err
	}
	return cp, nil
}

// maxOrigin bounds the origins that are shown to people.
const maxOrigin = 256

// Key is the verifier key that signs the log's checkpoints.
func (l *Log) Key() string { return scitt.NoteVKey(l.VKeys) }

// settle compares the checkpoint with what Home remembers of the log, and
// remembers it. Of processes that do so at once, each compares with what the
// others saw.
func (l *Log) settle(ctx context.Context, k *KnownLog, o Options) error {
	for {
		if err := l.compare(ctx, k, o); err != nil {
			return err
		}
		if err := l.followKeys(ctx, k, o); err != nil || l.Damage != nil {
			return err
		}
		err := o.Home.remember(ctx, k, l.next(k, o), l.address)
		if !errors.Is(err, errMoved) {
			return err
		}
		if k, err = o.Home.Known(l.Checkpoint.Origin); err != nil {
			return err
		}
	}
}

// next is what is to be remembered in the place of k, which may be nil.
func (l *Log) next(k *KnownLog, o Options) KnownLog {
	n := KnownLog{Origin: l.Checkpoint.Origin, VKeys: slices.Sorted(slices.Values(l.VKeys)), FirstUse: l.FirstUse, Since: o.now().UTC(), Keys: l.announced, Compromised: l.compromised, WitnessPolicy: l.policy, Checkpoint: string(l.Checkpoint.Raw)}
	if l.rotated != nil {
		n.Addresses = k.Addresses
	}
	if k == nil || scitt.NoteVKey(k.VKeys) != l.Key() {
		return n
	}
	if !slices.ContainsFunc(n.VKeys, func(v string) bool { return !slices.Contains(k.VKeys, v) }) && len(n.VKeys) < len(k.VKeys) && l.rotated == nil {
		n.VKeys, n.FirstUse = k.VKeys, k.FirstUse // some of them were given
	}
	if sameKeys(n.VKeys, k.VKeys) {
		n.Since = k.Since
	}
	if l.Previous != nil && l.Previous.Size > l.Checkpoint.Size {
		n.Checkpoint = k.Checkpoint
	}
	return n
}

// compare holds the checkpoint against the newest one that is remembered. A fork
// that shows without any tile is found first: the tiles may be those of the
// other history.
func (l *Log) compare(ctx context.Context, k *KnownLog, o Options) (err error) {
	l.Previous = nil
	if k != nil && scitt.NoteVKey(k.VKeys) == l.Key() {
		l.Previous = k.newest
		if proof := tiles.Contradict(l.Previous, l.Checkpoint); proof != nil {
			return l.forked(l.Previous, l.Checkpoint, proof, o)
		}
	}
	if l.View == nil {
		if l.View, err = l.Files.At(ctx, l.Checkpoint); err != nil {
			if err = l.damaged(err, o); err != nil {
				err = fmt.Errorf("the log at %s: %w", l.Location, err)
			}
			return err
		}
	}
	switch seen := l.Previous; {
	case seen == nil:
		return nil
	case seen.Size > l.Checkpoint.Size:
		// It may have grown since it was read, and another process saw that; or the
		// next answer is another edge's.
		for _, wait := range o.waits(l.Location) {
			if err := sleep(ctx, wait); err != nil {
				return err
			}
			if again, err := l.Files.Checkpoint(ctx); err == nil && again.Size > l.Checkpoint.Size {
				l.Checkpoint, l.View = again, nil
				return l.compare(ctx, k, o)
			}
		}
		return l.older(ctx, seen, k.Addresses, o)
	default:
		return l.damaged(l.extends(ctx, l.View, seen, o), o)
	}
}

// waits are the times between looks at a location that shows an older state. More
// than one look is worth its time where the newest state is needed.
func (o Options) waits(location string) []time.Duration {
	if !o.Newest || !IsURL(location) {
		return []time.Duration{0}
	}
	return []time.Duration{0, 500 * time.Millisecond, time.Second, 2 * time.Second}
}

// sleep waits, or ends with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// damaged makes an error about tiles, or about what the log says of its keys, the
// log's Damage, where that is looked for.
func (l *Log) damaged(err error, o Options) error {
	if o.Examine && slices.ContainsFunc([]error{tiles.ErrCorrupt, fs.ErrNotExist, tiles.ErrKeys, ErrKeysChanged, errBehind},
		func(damage error) bool { return errors.Is(err, damage) }) {
		l.Damage, err = err, nil
	}
	return err
}

// Refresh brings the log to its newest checkpoint, which must extend the one
// that it had, and remembers it. A location that is behind, as a cache may be,
// changes nothing: what was read is still true.
func (l *Log) Refresh(ctx context.Context, o Options) error {
	view, err := l.Files.Latest(ctx)
	if errors.Is(err, scitt.ErrCheckpoint) && o.Home != "" && len(o.VKeys) == 0 {
		return l.reopen(ctx, o) // its keys may have changed
	}
	if err != nil {
		return err
	}
	if view.Checkpoint.Size < l.Checkpoint.Size {
		return nil
	}
	next := *l
	next.View, next.Checkpoint = view, view.Checkpoint
	if err := next.witnessed(o); err != nil {
		return err
	}
	if err := next.Extends(ctx, l.Checkpoint, o); err != nil {
		return err
	}
	if next.Checkpoint.Size > l.Checkpoint.Size {
		k, err := o.Home.Known(next.Checkpoint.Origin)
		if err != nil {
			return err
		}
		if err := next.settle(ctx, k, o); err != nil {
			return err
		}
	}
	*l = next
	return nil
}

// reopen is Refresh for a checkpoint that does not verify: the log may have
// announced other keys meanwhile.
func (l *Log) reopen(ctx context.Context, o Options) error {
	next, err := Open(ctx, l.Location, o)
	if err == nil && next.Damage != nil {
		err = next.Damage
	}
	if err != nil {
		return err
	}
	if next.Checkpoint.Size >= l.Checkpoint.Size {
		*l = *next
	}
	return nil
}

// Extends checks that the log extends a checkpoint of it that was seen before.
// The error is a [HistoryError] when it does not. That it forked is said only
// with a proof: a wrong tile looks the same at first.
func (l *Log) Extends(ctx context.Context, old *scitt.Checkpoint, o Options) error {
	if old.Size > l.Checkpoint.Size {
		o.Newest = true
		return l.older(ctx, old, nil, o)
	}
	return l.extends(ctx, l.View, old, o)
}

// extends checks that a view of the log extends a checkpoint that is not larger.
func (l *Log) extends(ctx context.Context, view *tiles.View, old *scitt.Checkpoint, o Options) error {
	err := view.Consistency(ctx, old)
	if !errors.Is(err, scitt.ErrProof) {
		return err
	}
	proof, perr := view.Equivocation(ctx, old)
	if errors.Is(perr, tiles.ErrEquivocation) {
		return fmt.Errorf("%w: the tiles at %s show neither that the log extends the %d entries seen before nor that it does not: %w", tiles.ErrCorrupt, l.Location, old.Size, err)
	}
	if perr != nil {
		return errors.Join(err, perr)
	}
	return l.forked(old, view.Checkpoint, proof, o)
}

// lookElsewhere is how long the files at another address may take to answer.
const lookElsewhere = 15 * time.Second

// older decides about a log that shows fewer entries than seen: it is stale when
// both are one history, and otherwise forked. Which it is shows in the files of
// the larger tree, here or at another address of the log. Whose they are does not
// matter: they have to lead to the root that seen signs.
func (l *Log) older(ctx context.Context, seen *scitt.Checkpoint, addresses []string, o Options) error {
	for i, address := range append([]string{l.Location}, addresses...) {
		if i > 0 && address == l.address {
			continue
		}
		switch err := l.olderBy(ctx, address, seen, o); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && o.Newest:
			return &HistoryError{err: ErrRolledBack, Older: seen, Newer: l.Checkpoint, OneHistory: true}
		case err == nil:
			o.notice("notice: the log at %s is stale: it shows %d entries, and %d were seen; both are one history", l.Location, l.Checkpoint.Size, seen.Size)
			return nil
		case errors.Is(err, ErrForked):
			return err
		}
	}
	return &HistoryError{err: ErrRolledBack, Older: seen, Newer: l.Checkpoint}
}

// olderBy checks with the files at an address that the log's checkpoint is an
// older one of the log that is at seen.
func (l *Log) olderBy(ctx context.Context, address string, seen *scitt.Checkpoint, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, lookElsewhere)
	defer cancel()
	src, err := tiles.Open(address, o.Client)
	if err != nil {
		return err
	}
	view, err := tiles.NewTree(src).At(ctx, seen)
	if err != nil {
		return err
	}
	return l.extends(ctx, view, l.Checkpoint, o)
}

// forked is the error of a fork, whose proof Home keeps.
func (l *Log) forked(older, newer *scitt.Checkpoint, proof *tiles.Equivocation, o Options) error {
	proof.VKey = l.Key()
	e := &HistoryError{err: ErrForked, Older: older, Newer: newer, Proof: proof}
	var err error
	if e.ProofFile, err = o.Home.KeepProof(proof); err != nil {
		return errors.Join(e, err)
	}
	return e
}
