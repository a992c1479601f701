package party

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	// ErrRolledBack is wrapped when a location shows an older checkpoint than before.
	ErrRolledBack = errors.New("the log was rolled back")
	// ErrOtherLog is wrapped when a location shows another log than before.
	ErrOtherLog = errors.New("another log is at this place")
)

// HistoryError is two checkpoints of one log that do not go together. It wraps
// ErrForked or ErrRolledBack.
type HistoryError struct {
	Err          error
	Older, Newer *scitt.Checkpoint // the smaller one first; of a rollback, as they were seen
	// Proof convinces anybody that the log forked; nil when it was rolled back.
	Proof *tiles.Equivocation
	// ProofFile is where Home keeps the proof; "" when it does not.
	ProofFile string
}

// Error says what is wrong.
func (e *HistoryError) Error() string {
	form := "%v: %q had %d entries with root %x before, and now %d with root %x"
	if e.Proof != nil {
		form = "%v: %q has %d entries with root %x, and %d with root %x"
	}
	text := fmt.Sprintf(form, e.Err, e.Older.Origin, e.Older.Size, e.Older.Root, e.Newer.Size, e.Newer.Root)
	if e.ProofFile != "" {
		text += "; the proof, for anybody to verify, is " + e.ProofFile
	}
	return text
}

// Unwrap is the kind of the error.
func (e *HistoryError) Unwrap() error { return e.Err }

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

// checkpoint reads the newest checkpoint and verifies its signature. Errors
// wrap ErrOtherLog when it is another log's by its own words.
func (l *Log) checkpoint(ctx context.Context) (*scitt.Checkpoint, error) {
	raw, err := l.Files.Source.Get(ctx, tiles.CheckpointPath)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	cp, err := l.Files.Verifiers.Open(raw)
	if err != nil {
		origin, rest, _ := bytes.Cut(raw, []byte("\n"))
		size, _, _ := bytes.Cut(rest, []byte("\n"))
		_, serr := strconv.ParseUint(string(size), 10, 64)
		if want := l.Files.Verifiers.Note.Name(); serr == nil && len(origin) <= maxOrigin && scitt.CheckOrigin(string(origin)) == nil && string(origin) != want {
			return nil, fmt.Errorf("%w: its checkpoint is of %q, and the trusted keys are of %q", ErrOtherLog, origin, want)
		}
		return nil, err
	}
	return cp, nil
}

// maxOrigin bounds the origins that are shown to people.
const maxOrigin = 256

// seenBefore are the newest checkpoints that Home remembers; each may be nil.
type seenBefore struct {
	here     *scitt.Checkpoint // at this location
	anywhere *scitt.Checkpoint // of this log
}

func (l *Log) remembered(k *known, o Options) (s seenBefore, err error) {
	if k != nil && sameKeys(k.VKeys, l.VKeys) {
		if s.here, err = l.Files.Verifiers.Open([]byte(k.Checkpoint)); err != nil {
			return s, fmt.Errorf("%s %w: %w", o.Home.logFile(l.Location), ErrDamaged, err)
		}
	}
	s.anywhere, err = o.Home.seen(l.Key(), l.Files.Verifiers)
	return s, err
}

// contradict finds a fork that shows without looking at any tile, which may
// be those of the other history.
func (s seenBefore) contradict(cp *scitt.Checkpoint, l *Log, o Options) error {
	for _, old := range []*scitt.Checkpoint{s.here, s.anywhere} {
		if old == nil {
			continue
		}
		if proof := tiles.Contradict(old, cp); proof != nil {
			return l.forked(old, cp, proof, o)
		}
	}
	return nil
}

// Key is the verifier key that signs the log's checkpoints: it is what a log
// is told by, wherever its files are.
func (l *Log) Key() string { return scitt.NoteVKey(l.VKeys) }

// compareHistory holds the checkpoint against those that were seen before, at
// this location and at others, and remembers it.
func (l *Log) compareHistory(ctx context.Context, k *known, before seenBefore, o Options) error {
	now := l.View.Checkpoint
	next := known{Location: l.Location, Origin: now.Origin, VKeys: slices.Sorted(slices.Values(l.VKeys)), Since: o.now().UTC(), Checkpoint: string(now.Raw)}
	if k != nil && k.Origin != now.Origin {
		return fmt.Errorf("%w: %s was %q on %s and is %q", ErrOtherLog, l.Location, k.Origin, k.Since.Format(time.DateOnly), now.Origin)
	}
	if old := before.here; old != nil {
		next.Since = k.Since
		if err := l.Extends(ctx, old, o); err != nil {
			return err
		}
	}
	switch newest := before.anywhere; {
	case newest == nil || newest.Size <= now.Size:
		if newest != nil {
			if err := l.Extends(ctx, newest, o); err != nil {
				return err
			}
		}
		if err := o.Home.see(l.Key(), now); err != nil {
			return fmt.Errorf("remember the checkpoint: %w", err)
		}
	default:
		o.notice("notice: the log at %s is behind: %d entries, and %d were seen elsewhere; that it is the same history cannot be checked here", l.Location, now.Size, newest.Size)
	}
	if err := o.Home.remember(next); err != nil {
		return fmt.Errorf("remember the log: %w", err)
	}
	return nil
}

// Refresh brings the log to its newest checkpoint, which must extend the one
// that it had. A location that is behind, as a cache may be, changes nothing:
// what was read is still true.
func (l *Log) Refresh(ctx context.Context, o Options) error {
	view, err := l.Files.Latest(ctx)
	if err != nil {
		return err
	}
	old := l.View
	if view.Checkpoint.Size < old.Checkpoint.Size {
		return nil
	}
	l.View = view
	if err := l.Extends(ctx, old.Checkpoint, o); err != nil {
		l.View = old
		return err
	}
	return nil
}

// Extends checks that the log extends a checkpoint of it that was seen before.
// The error is a [HistoryError] when it does not. That it forked is said only
// with a proof: a wrong tile looks the same at first.
func (l *Log) Extends(ctx context.Context, old *scitt.Checkpoint, o Options) error {
	if old.Size > l.View.Checkpoint.Size {
		return l.shrunk(ctx, old, o)
	}
	err := l.View.Consistency(ctx, old)
	if !errors.Is(err, scitt.ErrProof) {
		return err
	}
	proof, perr := l.View.Equivocation(ctx, old)
	if errors.Is(perr, tiles.ErrEquivocation) {
		return fmt.Errorf("%w: the tiles at %s show neither that the log extends the %d entries seen before nor that it does not: %w", tiles.ErrCorrupt, l.Location, old.Size, err)
	}
	if perr != nil {
		return errors.Join(err, perr)
	}
	return l.forked(old, l.View.Checkpoint, proof, o)
}

// shrunk tells a fork from an older state of the same history, as far as the
// files allow.
func (l *Log) shrunk(ctx context.Context, old *scitt.Checkpoint, o Options) error {
	now := l.View.Checkpoint
	if view, err := l.Files.At(ctx, old); err == nil {
		if proof, err := view.Equivocation(ctx, now); err == nil {
			return l.forked(now, old, proof, o)
		}
	}
	return &HistoryError{Err: ErrRolledBack, Older: old, Newer: now}
}

// forked is the error of a fork, whose proof Home keeps.
func (l *Log) forked(older, newer *scitt.Checkpoint, proof *tiles.Equivocation, o Options) error {
	proof.VKey = l.Key()
	e := &HistoryError{Err: ErrForked, Older: older, Newer: newer, Proof: proof}
	var err error
	if e.ProofFile, err = o.Home.KeepProof(proof); err != nil {
		return errors.Join(e, err)
	}
	return e
}
