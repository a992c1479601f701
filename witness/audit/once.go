package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// count has each content count once: for the first entry with its id whose
// signature verifies. A later one is a duplicate. It was judged at its first place
// and changes nothing.
//
// Signatures are verified in the next stage. Only where a second entry comes with
// an id are both verified here, with the key that the policy in force has for the
// second: what names a key is signed, so it is the first one's key too.
func (r *replay) count(ctx context.Context, it *item) error {
	var verify error
	verified := false
	first, duplicate, err := r.ids.Find(it.id, func(at uint64) (bool, error) {
		entry, err := r.entry(ctx, at)
		if id, ok := scitt.EntryIDOf(entry); err != nil || !ok || id != it.id {
			return false, err
		}
		if !verified {
			verify, verified = r.register.verify(it.st), true
		}
		same := bytes.Equal(entry, it.st.Entry())
		switch {
		case errors.Is(verify, scitt.ErrSignature):
			return false, nil // it is none of its issuer's, whatever the other is
		case verify != nil:
			// Whether the other one is its issuer's cannot be told.
			return same, nil
		case same:
			return true, nil
		}
		other, err := scitt.DecodeStatement(entry)
		return err == nil && r.register.verify(other) == nil, nil
	})
	switch {
	case err != nil:
		return err
	case verified && errors.Is(verify, scitt.ErrSignature):
		it.fail(policy.CheckSignature, "%v", verify)
	case duplicate:
		it.fail(CheckDuplicate, "entry %d has the same content, with a signature that verifies", first)
		if verify != nil {
			it.found = []finding{{CheckDuplicate, fmt.Sprintf("the same entry is at index %d", first)}}
		}
	default:
		it.takes = true
		r.ids.Take(it.id, it.index)
	}
	return nil
}

// entry reads an entry again; nil when the files are damaged, which is reported where
// they are read in order.
func (r *replay) entry(ctx context.Context, index uint64) ([]byte, error) {
	entries, err := tiles.ReadBundle(ctx, r.src, index/tiles.Width, r.size)
	if damaged(err) || err == nil && index%tiles.Width >= uint64(len(entries)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return entries[index%tiles.Width], nil
}
