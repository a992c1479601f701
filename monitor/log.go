package monitor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/conmotion/conmotion/monitor/disclosure"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// Source gives a log's verified entries. A *tiles.View is one.
type Source interface {
	// Entries are the entries from index from up to, and not including, index
	// to, in order, each verified against the checkpoint. An error ends them.
	Entries(ctx context.Context, from, to uint64) iter.Seq2[tiles.Entry, error]
	// Consistency checks that the log extends the log at an older checkpoint.
	Consistency(ctx context.Context, old *scitt.Checkpoint) error
}

// Log is a log at one verified checkpoint.
type Log struct {
	Checkpoint *scitt.Checkpoint
	Source     Source
	Artifacts  reader.Artifacts // nil when there are none
	// Disclosed are payloads with hidden values that are shown, by the SHA-256 of what
	// was signed: see package disclosure.
	Disclosed map[reader.Digest]*Shown
	// Verify holds a statement to its issuer's signature; nil leaves that to
	// the log's admission. It is safe for concurrent use.
	Verify func(*scitt.Statement) error
}

// Shown is a payload with hidden values that are shown.
type Shown struct {
	*disclosure.Opened
	used atomic.Bool
}

// Used reports whether it is that of a record that was read.
func (s *Shown) Used() bool { return s.used.Load() }

// NewLog is the log in a view.
func NewLog(view *tiles.View, artifacts reader.Artifacts, verify func(*scitt.Statement) error) Log {
	return Log{Checkpoint: view.Checkpoint, Source: view, Artifacts: artifacts, Verify: verify}
}

// Ref is a record's place in its log, and its times.
type Ref struct {
	Index  uint64
	ID     scitt.EntryID
	Time   int64 // the event's: milliseconds since 1970
	Issued int64 // the statement's iat: seconds since 1970; 0 when absent
}

// published is when the record was signed, in milliseconds: its event's time
// when the statement does not say, or claims to be older than the event.
func (r Ref) published() int64 { return max(r.Time, r.Issued*1000) }

// record is an entry of a log, read.
type record struct {
	Ref
	issuer, typ, subject string
	chain                *scitt.ChainLink
	given                string          // [scitt.Statement.GivenChain]
	takes                *scitt.Handover // not nil when it takes over another issuer's chain
	event                *Event          // nil when there is none, or none of interest
	scan                 *Scan           // in place of an event
	flaw                 AnomalyKind     // why there is no event: the record cannot be used
	detail               string
	first                uint64 // of a duplicate: the index that counts
}

// records reads the records of a log from index from up to, and not including,
// to, in order. Entries of other parties and types have no event. once has what
// counts of the entries before, and h the chains that went on under other issuers in them.
func records(ctx context.Context, log Log, f Filter, h *heirs, once *Once, from, to uint64) iter.Seq2[*record, error] {
	ofType := func(s *scitt.Statement) bool { return slices.Contains(f.Types, s.Type) }
	want := func(s *scitt.Statement) bool {
		return f.selects(s, h) && (ofType(s) || s.Chain != nil || scans(s, f.Types)) || f.takes(s, h)
	}
	read := func(ctx context.Context, s *scitt.Statement) (*record, error) {
		r := newRecord(s)
		r.chain, r.given, r.takes = s.Chain, s.GivenChain(), taken(s)
		if !ofType(s) && !scans(s, f.Types) {
			return r, nil
		}
		return r, log.read(ctx, s, r)
	}
	return func(yield func(*record, error) bool) {
		for f, err := range walk(ctx, log, once, from, to, want, read) {
			if err != nil {
				yield(nil, err)
				return
			}
			r := f.value
			switch {
			case f.Statement == nil:
				r = &record{flaw: f.Flaw, detail: f.Detail}
			case f.Flaw != "":
				r = newRecord(f.Statement)
				r.flaw, r.detail, r.first = f.Flaw, f.Detail, f.First
			case r == nil: // not wanted
				r = &record{}
			}
			r.Index = f.Index
			if !yield(r, nil) {
				return
			}
		}
	}
}

// newRecord is a record as its header has it.
func newRecord(s *scitt.Statement) *record {
	return &record{Ref: Ref{ID: s.ID(), Issued: s.IssuedAt}, issuer: s.Issuer, typ: s.Type, subject: s.Subject}
}

// read reads what a record says whose issuer signed it. The error is about what
// kept it from looking.
func (l Log) read(ctx context.Context, s *scitt.Statement, r *record) error {
	if r.Issued < 0 || r.Issued > maxSeconds {
		r.Issued, r.flaw, r.detail = 0, AnomalyInvalid, fmt.Sprintf("iat %d is not a time between 1970 and 9999", s.IssuedAt)
		return nil
	}
	content, err := l.Content(ctx, s)
	if err != nil {
		if r.flaw = flaw(err); r.flaw == "" {
			return err
		}
		if r.detail = err.Error(); r.flaw == AnomalyContent {
			r.detail = fmt.Sprintf("artifact %x is not served", s.Payload) // for all readers the same
		} else if r.flaw == AnomalyPrivate {
			r.detail = fmt.Sprintf("artifact %x is private", s.Payload)
		}
		return nil
	}
	if s.Type == scitt.TypeScan {
		if r.scan, err = parseScan(content); err == nil && r.Issued < r.scan.Ended.Unix() {
			err = malformed("it was signed before the scan ended")
		}
		if err != nil {
			r.scan, r.flaw, r.detail = nil, AnomalyInvalid, err.Error()
			return nil
		}
		r.Time = r.scan.Ended.UnixMilli()
		return nil
	}
	if r.event, err = ParseEvent(l.shown(content)); err != nil {
		r.event = nil
		if !errors.Is(err, ErrOther) {
			r.flaw, r.detail = AnomalyInvalid, err.Error()
		}
		return nil
	}
	r.Time = r.event.Time
	return nil
}

// maxSeconds is the last second of the year 9999.
var maxSeconds = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()

// maxContent bounds in bytes the content that is read into memory: events and
// documents, which are small.
const maxContent = 64 << 20

// Content is what the statement speaks of. Errors are [reader.Withheld] when it
// is not served, wrap ErrMalformed when nothing can have that digest, or are the
// storage's.
func (l Log) Content(ctx context.Context, s *scitt.Statement) ([]byte, error) {
	if s.Envelope == nil {
		return s.Payload, nil
	}
	if len(s.Payload) != sha256.Size {
		return nil, malformed("the hash envelope's digest is not a SHA-256")
	}
	if l.Artifacts == nil {
		return nil, fmt.Errorf("the content is not in the log, and there is no artifact storage: %w", fs.ErrNotExist)
	}
	content, err := l.Artifacts.Artifact(ctx, reader.Digest(s.Payload), maxContent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("artifact %x is not in the artifact storage: %w", s.Payload, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("artifact %x: %w", s.Payload, err)
	}
	ok, err := s.PayloadMatches(content)
	if err != nil {
		return nil, malformed("%w", err)
	}
	if !ok {
		return nil, fmt.Errorf("artifact %x: %w", s.Payload, reader.ErrWrong)
	}
	return content, nil
}

// Withheld reports whether an error of Content says that the content is not served:
// what it says is not known.
func Withheld(err error) bool { return reader.Withheld(err) }

// Private reports whether an error of Content says that the content is for others,
// who have a token.
func Private(err error) bool { return errors.Is(err, reader.ErrPrivate) }

// flaw is what an error of content says about the statement; "" when it is
// the storage's and may pass.
func flaw(err error) AnomalyKind {
	switch {
	case reader.Withheld(err):
		return AnomalyContent
	case Private(err), errors.Is(err, reader.ErrUnread):
		return AnomalyPrivate
	case errors.Is(err, ErrMalformed):
		return AnomalyInvalid
	}
	return ""
}

// event reads the event of an entry that has been replayed.
func (l Log) event(ctx context.Context, e tiles.Entry) (*Event, error) {
	s, err := scitt.DecodeEntry(e.Data)
	if err != nil {
		return nil, err
	}
	content, err := l.Content(ctx, s)
	if err != nil {
		return nil, err
	}
	return ParseEvent(l.shown(content))
}

// shown is a record's content with the hidden values that are shown.
func (l Log) shown(content []byte) []byte {
	if len(l.Disclosed) == 0 {
		return content
	}
	if o := l.Disclosed[sha256.Sum256(content)]; o != nil {
		o.used.Store(true)
		return o.Payload
	}
	return content
}
