package party

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// alsoLog is a further log that gets the statements of a Recorder's log.
type alsoLog struct {
	w         *Writer
	said      *said
	dir       saidDir
	pending   pendingDir // statements that are, or were to be, in the Recorder's log
	artifacts bool       // its policy wants the content stored there
	run       int
}

func (w *Writer) newAlso(ctx context.Context, to *Writer, progress func(done, size uint64)) (*alsoLog, error) {
	home := w.options.Home
	a := &alsoLog{w: to, run: MaxRun, dir: home.said(to.log.Key(), w.Issuer)}
	// By both logs: what waits for this one is no statement of its own.
	a.pending = home.pending(to.log.Key()+"\x00also\x00"+w.log.Key(), w.Issuer)
	var p struct {
		Artifact string `json:"artifact"`
	}
	if c := to.log.Configuration; c != nil && json.Unmarshal(c.Policy.Document, &p) == nil {
		a.artifacts = p.Artifact == "required"
	}
	var err error
	a.said, err = to.readSaid(ctx, a.dir, progress)
	return a, err
}

// forwarded is a statement on its way into a further log.
type forwarded struct {
	index     uint64 // in the Recorder's log
	draft     int    // -1 when an earlier run left it
	statement []byte
	parsed    *scitt.Statement
}

// forward registers what the Recorder's log has of the drafts, and what an
// earlier run left, in that log's order. Outcomes get the further entries and
// Receipts. When all of it is decided, nothing is kept in Home any more.
func (a *alsoLog) forward(ctx context.Context, r *Recorder, drafts []Draft, outcomes []Outcome, decided bool) error {
	if err := a.w.catchUp(ctx, a.said); err != nil {
		return err
	}
	left, err := a.pending.left()
	if err != nil {
		return err
	}
	items, err := a.items(ctx, r, drafts, outcomes, left)
	if err != nil {
		return err
	}
	if err := a.send(ctx, r, items, outcomes); err != nil {
		return err
	}
	if !decided {
		return nil
	}
	for _, file := range left {
		if err := a.pending.forget(file); err != nil {
			return err
		}
	}
	return nil
}

// items is what is to be sent.
func (a *alsoLog) items(ctx context.Context, r *Recorder, drafts []Draft, outcomes []Outcome, left [][]byte) ([]forwarded, error) {
	var items []forwarded
	var bundle bundleReader
	taken := map[uint64]bool{}
	for i := range outcomes {
		o := &outcomes[i]
		if o.Result != Registered && o.Result != Known {
			continue
		}
		key := drafts[i].key()
		have, _ := r.said.find(key)
		there, ok := a.said.find(key)
		switch {
		case ok && there.ID == have.ID:
			o.Also = append(o.Also, a.w.ref(there))
			continue
		case ok:
			o.Result, o.Err = Refused, fmt.Errorf("it is entry %d of %s; %s has it as another statement, entry %d", have.Index, r.w.Service, a.w.Service, there.Index)
			continue
		}
		f := forwarded{index: have.Index, draft: i}
		if o.copies != nil {
			f.statement = o.copies[0].statement.Entry()
		} else {
			var err error
			if f.statement, err = bundle.entry(ctx, r.w.log.View, have.Index); err != nil {
				return nil, err
			}
		}
		var err error
		if f.parsed, err = scitt.ParseStatement(f.statement); err != nil {
			return nil, err
		}
		taken[f.index] = true
		items = append(items, f)
	}
	for _, file := range left {
		statements, err := split(file)
		if err != nil {
			return nil, fmt.Errorf("what an earlier run left: %w", err)
		}
		for _, data := range statements {
			st, err := scitt.ParseStatement(data)
			if err != nil {
				return nil, fmt.Errorf("what an earlier run left: %w", err)
			}
			have, ok := r.said.find(keyOf(st))
			there, known := a.said.find(keyOf(st))
			// What is not in the first log lost a race, and was signed anew.
			if !ok || have.ID != st.ID() || known && there.ID == st.ID() || taken[have.Index] {
				continue
			}
			taken[have.Index] = true
			items = append(items, forwarded{have.Index, -1, data, st})
		}
	}
	slices.SortFunc(items, func(x, y forwarded) int {
		if x.index < y.index {
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

// send sends statements to the further log.
func (a *alsoLog) send(ctx context.Context, r *Recorder, items []forwarded, outcomes []Outcome) error {
	for len(items) > 0 {
		var statements [][]byte
		var parsed []*scitt.Statement
		size := 0
		for _, f := range items {
			if size += len(f.statement); len(statements) > 0 && (size > maxRunBytes || len(statements) == a.run) {
				break
			}
			statements, parsed = append(statements, f.statement), append(parsed, f.parsed)
		}
		receipts, err := a.w.registerMany(ctx, parsed, statements)
		refs, checkErr := a.w.checkAll(parsed, receipts)
		if checkErr != nil {
			return checkErr
		}
		for i, ref := range refs {
			a.said.add(parsed[i], ref.Index)
			if d := items[i].draft; d >= 0 {
				outcomes[d].Also = append(outcomes[d].Also, ref)
				if outcomes[d].copies != nil {
					outcomes[d].copies = hold(outcomes[d].copies, parsed[i], ref.Origin, receipts[i])
				}
			}
		}
		items = items[len(refs):]
		switch {
		case err == nil && len(refs) == len(statements):
			a.run = min(2*a.run, MaxRun)
			continue
		case err == nil:
			return errPart
		case !refused(err):
			return err
		}
		err = fmt.Errorf("it is entry %d of %s, and %s does not admit it: %w", items[0].index, r.w.Service, a.w.Service, err)
		if d := items[0].draft; d >= 0 {
			outcomes[d].Result, outcomes[d].Err = Refused, err
		} else {
			r.w.options.notice("notice: of an earlier run: %v", err)
		}
		if !r.KeepGoing {
			return nil
		}
		items = items[1:]
		a.run = max(1, a.run/2)
	}
	return nil
}

var errPart = errors.New("the service answered for a part of the statements only")
