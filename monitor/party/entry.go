package party

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/scitt/client"
	"github.com/conmotion/conmotion/tiles"
)

// ErrNoEntry says that a log does not hold an entry.
var ErrNoEntry = errors.New("the log does not hold that entry")

// EntryName is an entry as people name it: the log's location, and an entry id
// or an index.
type EntryName struct {
	Location string
	ID       *scitt.EntryID // nil when it is named by its index
	Index    uint64
}

// ParseEntryName reads the URL of an entry, such as
// https://transparency.example/entries/ID, or an entry id or index of the log
// at a location that is known otherwise.
func ParseEntryName(name, location string) (EntryName, error) {
	n := EntryName{Location: location}
	rest := name
	if IsURL(name) {
		u, err := url.Parse(name)
		if err != nil {
			return n, err
		}
		at := strings.LastIndex(u.Path, "/entries/")
		if at < 0 || u.RawQuery != "" || u.Fragment != "" {
			return n, fmt.Errorf("%q is not the URL of an entry, such as https://transparency.example/entries/ID", name)
		}
		rest = strings.TrimSuffix(strings.TrimSuffix(u.Path[at+len("/entries/"):], "/statement"), "/proof")
		u.Path, u.RawPath = u.Path[:at], ""
		if location == "" {
			n.Location = u.String()
		}
	}
	if n.Location == "" {
		return n, fmt.Errorf("%q does not say which log: give the URL of an entry, or the log's location", name)
	}
	if index, err := strconv.ParseUint(rest, 10, 63); err == nil && len(rest) < 20 {
		n.Index = index
		return n, nil
	}
	id, err := scitt.ParseEntryID(rest)
	if err != nil {
		return n, fmt.Errorf("%q is neither the URL of an entry, nor an entry id, nor an index: %w", name, err)
	}
	n.ID = &id
	return n, nil
}

// Entry is an entry of a log, proven to be under its checkpoint.
type Entry struct {
	Index     uint64
	Statement *scitt.Statement
}

// Find reads an entry by its name. A service is asked where an entry id is, and
// what it says is checked; without one, the whole log is read. Errors wrap
// ErrNoEntry when there is no such entry.
func (l *Log) Find(ctx context.Context, n EntryName, progress func(done, size uint64)) (*Entry, error) {
	index := n.Index
	if n.ID != nil {
		var err error
		if index, err = l.locate(ctx, *n.ID, progress); err != nil {
			return nil, err
		}
	}
	if size := l.View.Checkpoint.Size; index >= size {
		return nil, fmt.Errorf("%w: index %d, and %s has %d entries", ErrNoEntry, index, l.Location, size)
	}
	data, err := l.View.Entry(ctx, index)
	if err != nil {
		return nil, err
	}
	s, err := scitt.DecodeEntry(data)
	if err != nil {
		return nil, fmt.Errorf("entry %d of %s: %w", index, l.Location, err)
	}
	if n.ID != nil && s.ID() != *n.ID {
		return nil, fmt.Errorf("%w: %s says that %s is entry %d, and there is %s", ErrNoEntry, l.Location, n.ID, index, s.ID())
	}
	return &Entry{index, s}, nil
}

// FindSigned is [Log.Find] of an entry that its issuer must have signed.
func (l *Log) FindSigned(ctx context.Context, n EntryName, progress func(done, size uint64)) (*Entry, error) {
	e, err := l.Find(ctx, n, progress)
	if err != nil {
		return nil, err
	}
	if err := l.VerifyStatement(e.Statement); err != nil {
		return nil, fmt.Errorf("entry %d of %s: %w", e.Index, l.Location, err)
	}
	return e, nil
}

// locate finds the index of an entry id.
func (l *Log) locate(ctx context.Context, id scitt.EntryID, progress func(done, size uint64)) (uint64, error) {
	if IsURL(l.Location) {
		if index, ok := l.ask(ctx, id); ok {
			return index, nil
		}
	}
	return l.scan(ctx, id, progress)
}

// ask has a service say where an entry is. A file server cannot, and what a
// service says is only where to look: an entry that its issuer did not sign is not
// the one. That no entry before has the same content is not looked at; what
// counts is the same either way.
func (l *Log) ask(ctx context.Context, id scitt.EntryID) (uint64, bool) {
	once := l.client
	once.Retries = -1
	c, err := client.New(l.Location, once)
	if err != nil {
		return 0, false
	}
	data, err := c.Receipt(ctx, id.String())
	if err != nil {
		return 0, false
	}
	r, err := scitt.ParseReceipt(data)
	if err != nil {
		return 0, false
	}
	index, _, ok := r.Place()
	if !ok || index >= l.View.Checkpoint.Size {
		return 0, false
	}
	entry, err := l.View.Entry(ctx, index)
	if err != nil {
		return 0, false
	}
	s, err := scitt.DecodeEntry(entry)
	return index, err == nil && s.ID() == id && l.verify(s) == nil
}

// scan reads the log for an entry id: the first entry with it whose signature
// verifies, or where none does the first at all, which whoever follows it finds out.
func (l *Log) scan(ctx context.Context, id scitt.EntryID, progress func(done, size uint64)) (uint64, error) {
	var first *uint64
	var good *uint64
	want := func(s *scitt.Statement) bool { return s.ID() == id }
	err := l.walk(ctx, want, progress, func(f *monitor.Found) bool {
		if f.Statement == nil {
			return true // it has no id
		}
		if first == nil {
			first = &f.Index
		}
		if f.Flaw == "" {
			good = &f.Index
		}
		return good == nil
	})
	switch {
	case err != nil:
		return 0, err
	case good != nil:
		return *good, nil
	case first != nil:
		return *first, nil
	}
	return 0, fmt.Errorf("%w: %s, among the %d of %s", ErrNoEntry, id, l.View.Checkpoint.Size, l.Location)
}

// walk reads the log from its start and gives the wanted entries, and those that are
// nobody's statement, to yield, until that returns false.
func (l *Log) walk(ctx context.Context, want func(*scitt.Statement) bool, progress func(done, size uint64), yield func(*monitor.Found) bool) error {
	size := l.View.Checkpoint.Size
	for f, err := range l.Monitor().Walk(ctx, monitor.NewOnce(), 0, size, want) {
		if err != nil {
			return err
		}
		if progress != nil && f.Index%tiles.Width == 0 {
			progress(f.Index, size)
		}
		if (f.Statement == nil || want(f.Statement)) && !yield(f) {
			return nil
		}
	}
	return nil
}

// newest is the newest entry with a statement that its issuer signed, that is the
// one, and whose content no entry before has. Of a chain it is the one with the
// highest seq: what stands behind it with a lower one forks the chain. It reads
// the log from its start: the newest entry could be a copy. Errors wrap
// ErrNoEntry when there is none. Where entries are unread, one of them may be
// newer: those whose issuer's key is not known, and those that are nobody's statement.
func (l *Log) newest(ctx context.Context, is func(*scitt.Statement) bool, progress func(done, size uint64)) (newest *Entry, unread monitor.Unread, err error) {
	err = l.walk(ctx, is, progress, func(f *monitor.Found) bool {
		unread = unread.Plus(monitor.CountUnread([]monitor.Anomaly{{Kind: f.Flaw}}))
		if f.Flaw == "" && (newest == nil || !behind(newest.Statement.Chain, f.Statement.Chain)) {
			newest = &Entry{f.Index, f.Statement}
		}
		return true
	})
	if err == nil && newest == nil {
		err = fmt.Errorf("%w: none of the %d of %s", ErrNoEntry, l.View.Checkpoint.Size, l.Location)
	}
	return newest, unread, err
}

// behind reports whether the chain of head has come farther than link.
func behind(head, link *scitt.ChainLink) bool {
	return head != nil && link != nil && head.Name == link.Name && link.Seq <= head.Seq
}

// transparent makes the Transparent Statement of an entry from the log's files.
func (l *Log) transparent(ctx context.Context, e *Entry) ([]byte, error) {
	receipt, err := l.View.Receipt(ctx, e.Index, scitt.LeafHash(e.Statement.Entry()))
	if err != nil {
		return nil, err
	}
	return scitt.AttachReceipts(e.Statement, receipt), nil
}

// Evidence is the Transparent Statement of an entry, and the verifier that it
// was verified with.
func (l *Log) Evidence(ctx context.Context, e *Entry) ([]byte, *scitt.Verifier, error) {
	data, err := l.transparent(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	v, err := l.verifier(ctx, e.Statement.Issuer, time.Now())
	if err != nil {
		return nil, nil, err
	}
	out, err := v.Verify(data)
	if err == nil {
		err = out.Err()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the Transparent Statement of entry %d of %s: %w", e.Index, l.Location, err)
	}
	return data, v, nil
}

// ContentOf is the [Log.Content] of an entry, which the error names.
func (l *Log) ContentOf(ctx context.Context, e *Entry) ([]byte, error) {
	data, err := l.Content(ctx, e.Statement)
	if err != nil {
		return nil, fmt.Errorf("content of entry %d of %s: %w", e.Index, l.Location, err)
	}
	return data, nil
}

// Content is what an entry's statement speaks of: its payload, or the artifact
// behind its hash. It has the digest that was signed. The error wraps
// [io/fs.ErrNotExist] when the artifact is not available.
func (l *Log) Content(ctx context.Context, s *scitt.Statement) ([]byte, error) {
	return l.Monitor().Content(ctx, s)
}

// Ref names an entry of this log as payloads do.
func (l *Log) Ref(e *Entry) monitor.EntryRef {
	return monitor.EntryRef{EntryID: e.Statement.ID().String(), Index: e.Index, Origin: l.View.Checkpoint.Origin}
}
