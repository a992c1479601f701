package tiles

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
)

// ErrKeys is wrapped when a log does not announce its keys as it has to.
var ErrKeys = errors.New("the log's keys statements are not valid")

// FollowKeys returns the keys statements of the log in their order; the last
// one is in force at its end. It follows the statements in list, which the log shows in its
// configuration and which nobody has to believe: each must be in the log where
// the list has it, and a valid successor of the one before (docs/formats.md,
// section Keys).
//
// known is the listed statement to start from, which is the first of the result. It is believed, so the view
// must extend a log that holds it. Nil starts at entry 0, and then nothing
// vouches for the keys but that whoever signed the checkpoint signed a tree
// with them: compare the result with keys that are trusted.
//
// Errors wrap [ErrKeys] when the log does not hold what it lists, or when that
// is not valid.
func (v *View) FollowKeys(ctx context.Context, known *scitt.ConfigurationKeys, list []scitt.ConfigurationKeys) ([]*scitt.KeysInForce, error) {
	start := 0
	if known != nil {
		start = slices.IndexFunc(list, func(k scitt.ConfigurationKeys) bool { return k.Index == known.Index && k.EntryID == known.EntryID })
	}
	if start < 0 || start == len(list) {
		return nil, fmt.Errorf("%w: the log does not list the one that was in force before", ErrKeys)
	}
	if known == nil && list[0].Index != 0 {
		return nil, fmt.Errorf("%w: the first one listed is at entry %d and not at entry 0", ErrKeys, list[0].Index)
	}
	var all []*scitt.KeysInForce
	for i, listed := range list[start:] {
		s, err := v.keysStatement(ctx, listed)
		if err != nil {
			return nil, err
		}
		var before, k *scitt.KeysInForce
		if i > 0 {
			before = all[i-1]
		}
		switch {
		case i == 0 && known != nil:
			k, err = scitt.KeysFrom(s, v.Checkpoint.Origin)
		case i == 0:
			k, err = scitt.FirstKeys(s, v.Checkpoint.Origin)
		case listed.Index <= list[start+i-1].Index:
			err = errors.New("the list is not in the order of the log")
		default:
			k, err = before.Next(s)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrKeys, listed.Index, err)
		}
		if err := v.handedOver(ctx, before, k, listed); err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

// keysStatement reads a statement that the log lists, with the proof that it
// holds it.
func (v *View) keysStatement(ctx context.Context, listed scitt.ConfigurationKeys) (*scitt.Statement, error) {
	if listed.Index >= v.Checkpoint.Size {
		return nil, fmt.Errorf("%w: a keys statement is listed at entry %d, and the log has %d", ErrKeys, listed.Index, v.Checkpoint.Size)
	}
	entry, err := v.Entry(ctx, listed.Index)
	if err != nil {
		return nil, err
	}
	s, err := scitt.ParseStatement(entry)
	if err != nil {
		return nil, fmt.Errorf("%w: entry %d: %w", ErrKeys, listed.Index, err)
	}
	if s.ID().String() != listed.EntryID {
		return nil, fmt.Errorf("%w: entry %d is %v, and the keys statement %s is listed there", ErrKeys, listed.Index, s.ID(), listed.EntryID)
	}
	return s, nil
}

// handedOver checks that the note key before signed a tree with the statement
// that replaces it. Without that, whoever has a service key could make a log of
// their own out of this one's files. A recovery key needs no such checkpoint:
// it is there for when the note key is lost.
func (v *View) handedOver(ctx context.Context, before, k *scitt.KeysInForce, listed scitt.ConfigurationKeys) error {
	if before == nil || k.RecoveryKey != nil || k.Note[0] == before.Note[0] {
		return nil
	}
	verifiers, err := scitt.NewCheckpointVerifiers(before.Note[:1])
	if err != nil {
		return err
	}
	cp, err := verifiers.Open([]byte(listed.Handover))
	if err != nil {
		return fmt.Errorf("%w: the handover of entry %d is not signed by the note key before it: %w", ErrKeys, listed.Index, err)
	}
	if cp.Size <= listed.Index {
		return fmt.Errorf("%w: the handover of entry %d is of size %d, which does not hold it", ErrKeys, listed.Index, cp.Size)
	}
	if err := v.Consistency(ctx, cp); errors.Is(err, scitt.ErrProof) {
		return fmt.Errorf("%w: the handover of entry %d: %w", ErrKeys, listed.Index, err)
	} else if err != nil {
		return err
	}
	return nil
}

// OpenBefore opens a checkpoint that a note key signed which the log had before and still announces:
// list is that of FollowKeys. Errors wrap [ErrKeys], or scitt.ErrCheckpoint where none of these keys did.
func (v *View) OpenBefore(ctx context.Context, list []scitt.ConfigurationKeys, raw []byte) (*scitt.Checkpoint, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: the log lists none", ErrKeys)
	}
	all, err := v.FollowKeys(ctx, nil, list)
	if err != nil {
		return nil, err
	}
	for _, vkey := range all[len(all)-1].Note[1:] {
		before, err := scitt.NewCheckpointVerifiers([]string{vkey})
		if err != nil {
			return nil, err
		}
		if cp, err := before.Open(raw); err == nil {
			return cp, nil
		}
	}
	return nil, fmt.Errorf("%w: no note key signed it that the log had before", scitt.ErrCheckpoint)
}
