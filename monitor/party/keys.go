package party

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

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
		known = k.Keys
	}
	l.announced = known
	stale := l.Previous != nil && l.Previous.Size > l.Checkpoint.Size
	if l.Damage != nil || l.Configuration == nil || len(l.Configuration.Keys) == 0 || stale && l.rotated == nil {
		return nil
	}
	list := l.Configuration.Keys
	last := scitt.ConfigurationKeys{EntryID: list[len(list)-1].EntryID, Index: list[len(list)-1].Index}
	if known != nil && *known == last && l.rotated == nil {
		return nil
	}
	refusal := l.rotated
	if refusal == nil {
		refusal = fmt.Errorf("%w: %s", ErrKeysChanged, l.Location)
	}
	changed := func(err error) error { return fmt.Errorf("%w: %w", refusal, err) }
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
	vkeys, err := statements[len(statements)-1].VKeys()
	if err != nil {
		return err
	}
	if l.Key() != vkeys[0] || slices.ContainsFunc(l.VKeys, func(v string) bool { return !slices.Contains(vkeys, v) }) {
		return changed(fmt.Errorf("entry %d announces other keys than those that are trusted, or that it shows", last.Index))
	}
	l.announced = &last
	return nil
}
