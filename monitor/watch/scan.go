package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// bounds are how far a log is read at a time.
type bounds struct {
	chunk   uint64 // entries between two writings of the state
	waiting int    // alerts that may wait for their receivers before no more entries are read
}

// longScan is how many entries are worth a word.
const longScan = 100_000

func defaultBounds() bounds { return bounds{16 * tiles.Width, 10_000} }

// entry is an entry of the log on its way through the rules.
type entry struct {
	index uint64
	s     *scitt.Statement
	log   *party.Log

	content []byte
	err     error
	read    bool
	facts   *eventFacts
	signed  error
	checked bool
	first   *uint64 // the index that counts for its content; nil until it is known
}

func (e *entry) ref() *monitor.EntryRef {
	return &monitor.EntryRef{EntryID: e.s.ID().String(), Index: e.index, Origin: e.log.View.Checkpoint.Origin}
}

// load reads what the statement speaks of, once.
func (e *entry) load(ctx context.Context) ([]byte, error) {
	if !e.read {
		e.content, e.err = e.log.Content(ctx, e.s)
		e.read = true
	}
	return e.content, e.err
}

// event gives what filters ask of the event.
func (e *entry) event(ctx context.Context) (eventFacts, error) {
	content, err := e.load(ctx)
	if err != nil {
		return eventFacts{}, err
	}
	if e.facts == nil {
		facts := factsOf(content)
		e.facts = &facts
	}
	return *e.facts, nil
}

// signature is nil when the issuer signed it.
func (e *entry) signature() error {
	if !e.checked {
		e.signed, e.checked = e.log.VerifyStatement(e.s), true
	}
	return e.signed
}

// counts reports whether the issuer signed an entry and no entry before it has the
// same content. If not, that is reported.
func (f *follower) counts(ctx context.Context, st *ruleState, h ruleHead, e *entry) (bool, error) {
	if err := e.signature(); err != nil {
		check, text := signatureCheck(err)
		f.tell(st, e, e.alert(check, h, "entry %d (%s) does not count for rule %s: %s: %v", e.index, e.s.Subject, h.Name, text, err))
		return false, nil
	}
	if e.first == nil {
		first, err := f.once.Take(ctx, e.log.View, e.s.ID(), e.index)
		if err != nil {
			return false, err
		}
		e.first = &first
	}
	if *e.first != e.index {
		f.tell(st, e, e.alert(checkDuplicate, h, "entry %d (%s) does not count for rule %s: entry %d has the same content", e.index, e.s.Subject, h.Name, *e.first))
		return false, nil
	}
	return true, nil
}

// signatureCheck is what an error about a signature is told as, and its words.
func signatureCheck(err error) (check Check, text string) {
	if errors.Is(err, scitt.ErrUnchecked) {
		return checkUnchecked, "its issuer's key is not known (issuer_keys)"
	}
	return checkSignature, "its issuer's signature does not verify"
}

// maxTries is how often a rule tries to read one entry, some at each look, before it goes
// on: who serves its content must not hide with it what is behind.
const maxTries = 30

// never says that content will not come by waiting, or has not for too long.
func (st *ruleState) never(err error) bool {
	return monitor.Withheld(err) || monitor.Private(err) || errors.Is(err, monitor.ErrMalformed) || err != nil && st.Tries >= maxTries
}

// scan takes the entries that are new to the rules through them.
func (f *follower) scan(ctx context.Context, log *party.Log) error {
	size := log.View.Checkpoint.Size
	// Rules that met an error stay where they are until the next look, and do
	// not hold up the others.
	var failed []error
	active := slices.Clone(f.rules)
	for {
		from := size
		for _, r := range active {
			from = min(from, f.look.Rules[r.key()].Next)
		}
		if from >= size {
			return errors.Join(failed...)
		}
		if size-from > longScan {
			f.say("%d entries are to be read, which takes a while; it goes on from where it is when it is interrupted", size-from)
		}
		if n := f.book.waiting(); n > f.w.bounds.waiting {
			return errors.Join(append(failed, fmt.Errorf("%d alerts wait for their receivers; the log is read on from entry %d when some are delivered, or their receivers are taken out of the configuration", n, from))...)
		}
		for e, err := range log.View.Entries(ctx, from, min(size, from+f.w.bounds.chunk)) {
			if err != nil {
				return errors.Join(append(failed, err)...)
			}
			s, err := scitt.DecodeEntry(e.Data)
			if err != nil {
				s = nil // which is for the audit to tell
			}
			it := &entry{index: e.Index, s: s, log: log}
			active = slices.DeleteFunc(active, func(r rule) bool {
				err := f.take(ctx, r, it)
				if err != nil {
					failed = append(failed, fmt.Errorf("entry %d: %w", e.Index, err))
				}
				return err != nil
			})
		}
		if err := f.commit(); err != nil {
			return errors.Join(append(failed, err)...)
		}
	}
}

// take takes an entry through one rule. With an error it has not.
func (f *follower) take(ctx context.Context, r rule, e *entry) error {
	st := f.look.Rules[r.key()]
	if e.index < st.Next {
		return nil
	}
	if e.s != nil {
		if err := r.take(ctx, f, st, e); err != nil {
			if ctx.Err() == nil {
				st.Tries++
			}
			return err
		}
	}
	st.Tries = 0
	if st.Next = e.index + 1; st.Next >= st.Quiet {
		// What held when history ended is told now.
		for _, key := range slices.Sorted(maps.Keys(st.Hold)) {
			f.fire(key, st.Hold[key])
		}
		st.Hold = nil
	}
	return nil
}

// about makes an alert about an entry.
func (e *entry) alert(check Check, h ruleHead, format string, args ...any) *Alert {
	return &Alert{Check: check, Rule: h.Name, Severity: h.Severity, Entry: e.ref(), Issuer: e.s.Issuer, Subject: e.s.Subject,
		Message: fmt.Sprintf(format, args...)}
}

// tell tells an event about an entry, unless it is history.
func (f *follower) tell(st *ruleState, e *entry, a *Alert) {
	if e.index >= st.Quiet {
		f.event(a, a.Entry.EntryID, strconv.FormatUint(e.index, 10))
	}
}

// lasting begins or ends a condition that entries bring about. In history only
// what holds in the end counts.
func (f *follower) lasting(st *ruleState, e *entry, key string, a *Alert, end string) {
	if e.index < st.Quiet {
		if st.Hold == nil {
			st.Hold = map[string]*Alert{}
		}
		if st.Hold[key] = a; a == nil {
			delete(st.Hold, key)
		}
		return
	}
	if a != nil {
		f.fire(key, a)
	} else {
		f.resolve(key, "%s", end)
	}
}

// wanted holds an entry to a filter. When that cannot be said it is told, and
// the entry counts as not wanted.
func (f *follower) wanted(ctx context.Context, st *ruleState, h ruleHead, filter entryFilter, e *entry) (bool, error) {
	if !filter.statement(e.s) {
		return false, nil
	}
	if !filter.needsEvent() {
		return true, nil
	}
	facts, err := e.event(ctx)
	switch {
	case st.never(err):
		f.tell(st, e, e.alert(checkContent, h, "entry %d (%s) may be one for rule %s, which asks for its content: %v", e.index, e.s.Subject, h.Name, err))
		return false, nil
	case err != nil:
		return false, err
	}
	return filter.event(facts), nil
}

// trusted gives the content of an entry whose issuer's word counts. When the
// entry does not count, or there is no content, it is told and ok is false.
func (f *follower) trusted(ctx context.Context, st *ruleState, h ruleHead, e *entry) (content []byte, ok bool, err error) {
	if ok, err := f.counts(ctx, st, h, e); !ok || err != nil {
		return nil, false, err
	}
	content, err = e.load(ctx)
	if st.never(err) {
		f.tell(st, e, e.alert(checkContent, h, "entry %d (%s) cannot be read for rule %s: %v", e.index, e.s.Subject, h.Name, err))
		return nil, false, nil
	}
	return content, err == nil, err
}

// carried tells that an entry is in another log than its home.
func (f *follower) carried(st *ruleState, h ruleHead, e *entry, home string) {
	f.tell(st, e, e.alert(checkAsOfLog, h, "entry %d (%s) counts for rule %s only as of this log, so not at all: its home is %s, where it may have been withdrawn or replaced", e.index, e.s.Subject, h.Name, home))
}

// invalid tells that an entry is not what its type says.
func (f *follower) invalid(st *ruleState, h ruleHead, e *entry, err error) {
	f.tell(st, e, e.alert(checkInvalid, h, "entry %d (%s) is not what its type says: %v", e.index, e.s.Subject, err))
}
