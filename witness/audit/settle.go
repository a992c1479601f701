package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
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
		if it.unread != nil {
			if err := a.state.out(it); err != nil {
				return err
			}
			a.outOfReach(it)
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
	if it.unjudged && it.unread == nil {
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
		a.tell(it)
	}
	if it.takes {
		a.once.Take(it.id, it.index)
	}
	s.Next = it.index + 1
}

// tell takes what was found about an entry into the state.
func (a *Auditor) tell(it *item) {
	index := it.index // a copy, which does not hold the bundle in memory
	id := ""
	if it.id != (scitt.EntryID{}) {
		id = it.id.String()
	}
	for _, f := range it.found {
		a.found(Violation{Index: &index, EntryID: id, Check: f.check, Message: f.message})
	}
}

// found takes a violation into the state.
func (a *Auditor) found(v Violation) {
	if a.state.Counts[v.Check]++; len(v.Message) > maxMessage {
		v.Message = strings.ToValidUTF8(v.Message[:maxMessage], "") + "..."
	}
	if len(a.state.Violations) < a.o.List {
		a.state.Violations = append(a.state.Violations, v)
		a.pending = append(a.pending, v)
	}
}

// stop tells a violation after which the audit cannot go on.
func (a *Auditor) stop(v Violation) {
	a.stopped = append(a.stopped, v)
	a.pending = append(a.pending, v)
}

// save tells what is pending, then saves the state. A crash in between makes
// the next audit tell the same once more, and never skips any; in the states
// that are saved each violation stands once.
func (a *Auditor) save() error {
	for _, v := range a.pending {
		a.o.Report(v)
	}
	a.pending = nil
	a.state.Heads, a.state.Refused, a.state.Once = a.heads.list(), a.refused.list(), a.once.Bytes
	start := time.Now()
	err := a.o.Save(a.state)
	// A large state is saved less often.
	a.nextSave = time.Now().Add(max(saveEvery, 10*time.Since(start)))
	return err
}
