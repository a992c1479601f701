package party

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// errBehind says that nothing can be told: one of both files is old.
var errBehind = errors.New("the configuration is newer than the checkpoint, or not true; try again")

// followKeys follows the keys statements that the log lists, and holds the
// keys that are trusted to the last one. Keys that the log shows in place of
// the remembered ones are accepted here and nowhere else: when
// the log extends the remembered checkpoint, which the keys before signed, and
// its statements lead from the remembered one to them (docs/formats.md,
// section Keys).
//
// A log that lists none, such as one of other software, keeps its keys.
func (l *Log) followKeys(ctx context.Context, k *KnownLog, o Options) error {
	var known *scitt.ConfigurationKeys
	if k != nil && (l.rotated != nil || scitt.NoteVKey(k.VKeys) == l.Key()) {
		known, l.compromised = k.Keys, k.Compromised
	}
	l.announced = known
	stale := l.Previous != nil && l.Previous.Size > l.Checkpoint.Size
	switch {
	case l.Damage != nil || l.Configuration == nil:
		return nil
	case len(l.Configuration.Keys) == 0:
		return l.earlier(ctx)
	case stale && l.rotated == nil:
		return nil
	}
	list := l.Configuration.Keys
	last := scitt.ConfigurationKeys{EntryID: list[len(list)-1].EntryID, Index: list[len(list)-1].Index}
	if known != nil && *known == last && l.rotated == nil {
		return nil
	}
	changed := func(err error) error {
		switch {
		case l.rotated != nil:
			return fmt.Errorf("%w: %w", l.rotated, err)
		case errors.Is(err, tiles.ErrKeys):
			// They are those that are trusted. What the log says of them is not valid.
			return l.damaged(fmt.Errorf("the log at %s: %w", l.Location, err), o)
		}
		return l.damaged(fmt.Errorf("%w: %s: %w", ErrKeysChanged, l.Location, err), o)
	}
	if last.Index >= l.Checkpoint.Size && (l.rotated == nil || scitt.NoteVKey(k.VKeys) == l.Key()) {
		return l.damaged(fmt.Errorf("the log at %s: %w: it lists a keys statement at entry %d, and the checkpoint has %d entries", l.Location, errBehind, last.Index, l.Checkpoint.Size), o)
	}
	if l.rotated != nil {
		before, err := scitt.NewCheckpointVerifiers(k.VKeys)
		if err != nil {
			return err
		}
		seen, err := before.Open([]byte(k.Checkpoint))
		if err != nil {
			return err
		}
		if err := l.View.Consistency(ctx, seen); errors.Is(err, scitt.ErrProof) {
			return changed(err)
		} else if err != nil {
			return l.damaged(err, o)
		}
	}
	statements, err := l.View.FollowKeys(ctx, known, list)
	if errors.Is(err, tiles.ErrKeys) {
		return changed(err)
	}
	if err != nil {
		return l.damaged(err, o)
	}
	inForce := statements[len(statements)-1]
	vkeys, err := inForce.VKeys()
	if err != nil {
		return err
	}
	if l.Key() != vkeys[0] || slices.ContainsFunc(l.VKeys, func(v string) bool { return !slices.Contains(vkeys, v) }) {
		if k == nil && len(o.VKeys) == 0 { // nothing was known to change
			return changed(fmt.Errorf("%w: entry %d announces other keys than those that it shows", tiles.ErrKeys, last.Index))
		}
		return changed(fmt.Errorf("entry %d announces other keys than those that are trusted, or that it shows", last.Index))
	}
	l.announced, l.compromised = &last, nil
	for _, c := range inForce.Compromised {
		l.compromised = append(l.compromised, c.Thumbprint)
	}
	return nil
}

// earlier refuses a log of a version before the first release, whose statements
// name others by ids that are none now. Other logs may have no keys statement.
func (l *Log) earlier(ctx context.Context) error {
	if l.Checkpoint.Size == 0 {
		return nil
	}
	entry, err := l.View.Entry(ctx, 0)
	if err != nil {
		return ctx.Err() // whoever reads it is told
	}
	if s, err := scitt.DecodeEntry(entry); err == nil {
		if _, err = scitt.KeysFrom(s, l.Checkpoint.Origin); errors.Is(err, scitt.ErrEarlier) {
			return fmt.Errorf("%s: %w, so this version cannot read it", l.Location, err)
		}
	}
	return nil
}

// SignedBefore reports whether a checkpoint is by a note key that the log had before and still
// announces, and the log extends it.
func (l *Log) SignedBefore(ctx context.Context, raw []byte) bool {
	if l.Configuration == nil {
		return false
	}
	old, err := l.View.OpenBefore(ctx, l.Configuration.Keys, raw)
	return err == nil && l.View.Consistency(ctx, old) == nil
}
