package party

import (
	"context"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// forward registers with a further service what the first log has of the drafts, and
// what an earlier run left, in that log's order. decided reports that it is known what
// the first log has; then the files in Home are removed at the end.
func (r *Registrar) forward(ctx context.Context, n int, drafts []Draft, outcomes []Outcome, decided bool) error {
	home, s := r.services[0], r.services[n]
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	left, err := s.journal.left()
	if err != nil {
		return err
	}
	left = slices.DeleteFunc(left, func(k kept) bool { return k.After != home.log.Key() })
	items, err := r.items(ctx, n, drafts, outcomes, left)
	if err != nil {
		return err
	}
	took := func(it item, reg registered) error {
		s.said.add(reg.Statement, reg.ref.Index)
		switch {
		case it.draft < 0:
		case outcomes[it.draft].At[0].copied:
			outcomes[it.draft].registered(n, s, reg)
		default: // that of the first log is before it: see Read
			outcomes[it.draft].At[n] = At{Result: Registered, Ref: reg.ref, Location: reg.location}
		}
		return nil
	}
	skip := func(it item, err error) bool {
		have, _ := home.said.find(keyOf(it.Statement))
		err = fmt.Errorf("it is entry %d of %s, and %s does not admit it: %w", have.Index, home.url, s.url, err)
		if it.draft >= 0 {
			outcomes[it.draft].At[n] = At{Result: Refused, err: err}
		} else {
			r.options.notice("notice: of an earlier run: %v", err)
		}
		return r.KeepGoing
	}
	if err := s.pass(ctx, items, took, skip); err != nil {
		return err
	}
	r.alreadyThere(n, drafts, outcomes) // the same content twice
	if !decided {
		return nil
	}
	for _, k := range left {
		if err := forget(k.path); err != nil {
			return err
		}
	}
	return nil
}

// alreadyThere fills in which drafts a further log has, and returns where the first log has
// the others.
func (r *Registrar) alreadyThere(n int, drafts []Draft, outcomes []Outcome) (others map[int]place) {
	home, s := r.services[0], r.services[n]
	others = map[int]place{}
	for i := range outcomes {
		o := &outcomes[i]
		if o.At[0].Result != Registered && o.At[0].Result != Known || o.At[n].Result != Unreached {
			continue
		}
		key := drafts[i].key()
		if o.At[0].copied {
			key = keyOf(o.Copies[o.At[0].Copy].Statement)
		}
		have, _ := home.said.find(key)
		switch there, ok := s.said.find(key); {
		case !ok:
			others[i] = have
		case there.ID == have.ID:
			o.At[n] = At{Result: Known, Ref: s.ref(there)}
		default:
			o.At[n] = At{Result: Refused, err: fmt.Errorf("it is entry %d of %s; %s has it as another statement, entry %d", have.Index, home.url, s.url, there.Index)}
		}
	}
	return others
}

// items returns what is to be sent to a further service.
func (r *Registrar) items(ctx context.Context, n int, drafts []Draft, outcomes []Outcome, left []kept) (items []item, err error) {
	home, s := r.services[0], r.services[n]
	var bundle bundleReader
	at := map[scitt.EntryID]uint64{} // of items, in the first log
	others := r.alreadyThere(n, drafts, outcomes)
	for i, o := range outcomes {
		have, ok := others[i]
		if _, taken := at[have.ID]; !ok || taken {
			continue
		}
		var data []byte
		if o.At[0].copied {
			data = o.Copies[o.At[0].Copy].Statement.Entry()
		} else if data, err = bundle.entry(ctx, home.log.View, have.Index); err != nil {
			return nil, err
		}
		st, err := parseSigned(data)
		if err != nil {
			return nil, err
		}
		at[have.ID] = have.Index
		items = append(items, item{st, i})
	}
	for _, k := range left {
		for _, st := range k.statements {
			have, ok := home.said.find(keyOf(st.Statement))
			there, known := s.said.find(keyOf(st.Statement))
			// What is not in the first log lost a race, and was signed again.
			if !ok || have.ID != st.ID() || known && there.ID == st.ID() {
				continue
			}
			if _, taken := at[st.ID()]; !taken {
				at[st.ID()] = have.Index
				items = append(items, item{st, -1})
			}
		}
	}
	slices.SortFunc(items, func(x, y item) int {
		if at[x.ID()] < at[y.ID()] {
			return -1
		}
		return 1
	})
	return items, nil
}

// bundleReader reads entries that stand close together.
type bundleReader struct {
	first   uint64
	entries [][]byte
}

func (b *bundleReader) entry(ctx context.Context, view *tiles.View, index uint64) ([]byte, error) {
	if index >= b.first && index-b.first < uint64(len(b.entries)) {
		return b.entries[index-b.first], nil
	}
	first := index / tiles.Width * tiles.Width
	var entries [][]byte
	for e, err := range view.Entries(ctx, first, min(first+tiles.Width, view.Checkpoint.Size)) {
		if err != nil {
			return nil, err
		}
		entries = append(entries, e.Data)
	}
	if index-first >= uint64(len(entries)) {
		return nil, fmt.Errorf("%w: index %d", ErrNoEntry, index)
	}
	b.first, b.entries = first, entries
	return entries[index-first], nil
}
