package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/conmotion/conmotion/scitt"
)

// settle is the second ordered stage: it takes a bundle into the state. After
// each entry the state is one that an audit can go on from.
func (a *Auditor) settle(ctx context.Context, b *bundle) error {
	s := a.state
	if errors.Is(b.broken, fs.ErrNotExist) {
		return fmt.Errorf("cannot go on at entry %d: %w", s.Next, b.broken) // which is not known to be wrong
	}
	if b.broken != nil {
		a.stop(Violation{Check: CheckBundle, Message: fmt.Sprintf("cannot go on at entry %d: %v", s.Next, b.broken)})
		return nil
	}
	for i := range b.items {
		it := &b.items[i]
		if it.err == nil && a.heads.judgeAgain(it) {
			it.err = it.judge(ctx, a.o.Artifacts)
		}
		if it.err != nil {
			return fmt.Errorf("entry %d: %w", it.index, it.err)
		}
		a.take(it)
	}
	for _, v := range b.files {
		a.found(v)
	}
	a.missing = append(a.missing, b.missing...)
	a.o.Progress(s.Next, s.Size)
	if time.Now().After(a.nextSave) {
		return a.save()
	}
	return nil
}

// take takes an entry into the state.
func (a *Auditor) take(it *item) {
	s := a.state
	switch {
	case it.st == nil || it.st.Chain == nil:
	case len(it.found) == 0:
		a.heads.add(it.st, it.index)
		delete(a.refused, keyOf(it.st))
	case it.under != nil:
		a.refused.add(it.st, it.index)
	}
	if it.st != nil {
		s.issuer(it.issuer)
	}
	if it.unjudged {
		s.Unjudged++
	}
	if r := it.registered; r != nil {
		if it.st.Type == scitt.TypeKeys {
			s.Keys = append(s.Keys, *r)
		} else {
			s.Policies = append(s.Policies, *r)
		}
	}
	if it.index >= s.Since {
		index := it.index // a copy, which does not hold the bundle in memory
		id := ""
		if it.id != (scitt.EntryID{}) {
			id = it.id.String()
		}
		for _, f := range it.found {
			a.found(Violation{Index: &index, EntryID: id, Check: f.check, Message: f.message})
		}
	}
	if it.takes {
		a.once.Take(it.id, it.index)
	}
	s.Next = it.index + 1
}
