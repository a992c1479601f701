package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

// role is what the reader takes a log for.
type role string

// The roles. Measurements and endorsements are looked for in all of them.
const (
	roleProvider role = "provider" // its records are compared
	roleAuditor  role = "auditor"  // with its observations
	roleOwn      role = "own"
	roleOther    role = "other"
)

// state is whether a log could be used.
type state string

// The states of a log. Of all but good nothing counts.
const (
	stateGood        state = "good"
	stateForked      state = "forked"
	stateRolledBack  state = "rolled_back"
	stateOtherLog    state = "other_log"
	stateKeysChanged state = "keys_changed"
	stateCorrupt     state = "corrupt"     // its files are not what its checkpoint says
	stateUnreachable state = "unreachable" // there is no answer, or no log
	stateUnwitnessed state = "unwitnessed" // it has no quorum of the witnesses that are demanded, or an old one
)

// keys says why a log's keys are trusted.
type keys string

// The reasons.
const (
	keysGiven      keys = "given"      // by the reader
	keysRemembered keys = "remembered" // from when the log was first opened
	keysFirstUse   keys = "first_use"  // this is the first time
	keysUnknown    keys = "unknown"
)

// Source is a log, opened and verified, or why it could not be.
type Source struct {
	location string
	roles    []role
	// url is what "/entries/ID" is added to for links; "" for none.
	url string
	// log is nil when it could not be opened; then State and Detail say why.
	log    *monitor.Log
	state  state
	detail string
	keys   keys
	vkeys  []string
	// seenBefore says that a checkpoint of it was seen before, and that Log
	// extends it.
	seenBefore bool
	cosigned   *witness.Cosigned // nil where no quorum of witnesses is demanded
	// at is the log at an older checkpoint, which Log must extend.
	at func(context.Context, *scitt.Checkpoint) (monitor.Log, error)
	// evidence makes the Transparent Statement of an entry and verifies it, signature and
	// Receipt; nil for none.
	evidence func(ctx context.Context, index uint64, s *scitt.Statement) ([]byte, error)
	proofs   []proof
}

// Options are what a report is about, and whose word counts in it.
type Options struct {
	At, From, To time.Time
	// MeasuredBy and EndorsedBy are issuers (iss). When there are none, those
	// count who have such a statement in a log of the auditor or your own.
	MeasuredBy, EndorsedBy []string
	// ReportedBy and ObservedBy are whose records are compared. When there are
	// none, those of whom the newest measurement speaks, or all.
	ReportedBy, ObservedBy []string
	Grace                  time.Duration // of comparisons
	Scope                  monitor.Scope // of comparisons, and of the measurements that count
	Expiring               time.Duration // how long before its end an endorsement is to be told
	Stale                  time.Duration // how old a checkpoint may be
	Compare, Recompute     bool
	Names                  map[string]string // of issuers, for people; those count who are in the report
	// Progress, when not nil, is told how far reading a log is.
	Progress func(location string, done, size uint64)
	Before   *Report // the one to hold this one against; nil when there is none
	// Command is the command line that makes this report, for people.
	Command string
}

// ErrOptions is wrapped by errors about the options.
var ErrOptions = errors.New("the report's options")

func (o Options) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrOptions, fmt.Errorf(format, args...))
	}
	for _, t := range []time.Time{o.At, o.From, o.To} {
		if t.UnixMilli() < 0 || t.Year() > 9999 || t.Nanosecond()%int(time.Millisecond) != 0 {
			return bad("times must be in whole milliseconds, between 1970 and 9999")
		}
	}
	if !o.From.Before(o.To) || o.To.After(o.At) {
		return bad("the interval must end after it begins, and not after the time that the report is made for")
	}
	if o.Grace < 0 || o.Grace%time.Millisecond != 0 || o.Expiring < 0 || o.Stale <= 0 {
		return bad("grace and expiring must not be negative, and stale more than 0")
	}
	return nil
}

// maker is a report in the making.
type maker struct {
	Options
	r    *Report
	logs []*log
	// What the logs hold, each statement once.
	measurements []measurement
	endorsements []monitor.Registered
	unread       []monitor.Anomaly // of which it is not known what they say
	targets      map[monitor.EntryRef]endorsedEntry
	seen         map[scitt.EntryID]*place
	postponed    map[scitt.EntryID]*postponed
	left         map[leftOutCount]int // Count is 0 in the keys
}

// log is a source and what was read of it.
type log struct {
	*Source
	health logHealth
	pins   map[string]logPin // by size and root
	// Whether it has statements of the types that are compared.
	records, observations bool
}

// place is where a statement was found first, and where else.
type place struct {
	log    *log
	link   EntryLink
	alsoIn []string
}

// postponed is a statement that does not count by itself: its log has not its
// content, or is not its home. With what another log has it may.
type postponed struct {
	leftOutEntry
	place     *place
	statement *scitt.Statement
	content   []byte // nil when its log does not have it
}

// Make makes the report. Logs that could not be read are part of it; an error
// is about the options, or is the context's.
func Make(ctx context.Context, sources []Source, o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	m := &maker{
		Options: o, seen: map[scitt.EntryID]*place{}, postponed: map[scitt.EntryID]*postponed{}, left: map[leftOutCount]int{}, targets: map[monitor.EntryRef]endorsedEntry{},
		r: &Report{
			Format: documentFormat, At: timestamp(o.At), From: timestamp(o.From), To: timestamp(o.To), Level: levelNone,
			Assessments: []assessment{}, Attention: []attention{}, Commands: []command{}, Comparisons: []comparison{}, Logs: []logHealth{},
			LeftOut: leftOut{Counts: []leftOutCount{}, List: []leftOutEntry{}},
			Trust: trustDocument{
				EndorsedBy: newWord(o.EndorsedBy), MeasuredBy: newWord(o.MeasuredBy),
				Names: []issuerName{}, ExpiringMS: o.Expiring.Milliseconds(), StaleMS: o.Stale.Milliseconds(),
			},
		},
	}
	for _, issuer := range slices.Sorted(maps.Keys(o.Names)) {
		m.r.Trust.Names = append(m.r.Trust.Names, issuerName{issuer, o.Names[issuer]})
	}
	for i := range sources {
		m.logs = append(m.logs, newLog(&sources[i], o))
	}
	// Statements count as of the auditor's log before those of others.
	order := slices.Clone(m.logs)
	slices.SortStableFunc(order, func(a, b *log) int { return cmp.Compare(a.rank(), b.rank()) })
	for _, l := range order {
		if err := m.read(ctx, l); err != nil {
			return nil, err
		}
	}
	for _, step := range []func(context.Context) error{m.assess, m.recompute, m.compare, m.endorse} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	m.finish()
	return m.r, m.namesInIt()
}

// namesInIt leaves out the names of those who are not in the report: whoever reads it
// need not know whom else its maker knows.
func (m *maker) namesInIt() error {
	names := m.r.Trust.Names
	m.r.Trust.Names = []issuerName{}
	data, err := m.r.JSON()
	if err != nil {
		return err
	}
	for _, n := range names {
		if quoted, err := json.Marshal(n.Issuer); err == nil && bytes.Contains(data, quoted) {
			m.r.Trust.Names = append(m.r.Trust.Names, n)
		}
	}
	return nil
}

func newWord(issuers []string) countedIssuers {
	sorted := slices.Sorted(slices.Values(issuers))
	return countedIssuers{Issuers: list(slices.Compact(sorted)), Named: len(issuers) > 0}
}

// add notes an issuer whose word counts because of where it stands.
func (w *countedIssuers) add(issuer string) {
	if i, found := slices.BinarySearch(w.Issuers, issuer); !found {
		w.Issuers = slices.Insert(w.Issuers, i, issuer)
	}
}

// counts reports whether the word of an issuer counts, in a log.
func (w *countedIssuers) counts(issuer string, l *log) bool {
	if w.Named {
		return slices.Contains(w.Issuers, issuer)
	}
	return l.is(roleAuditor) || l.is(roleOwn)
}

func (l *log) is(r role) bool { return slices.Contains(l.roles, r) }

func (l *log) rank() int {
	for i, r := range []role{roleAuditor, roleOwn, roleProvider} {
		if l.is(r) {
			return i
		}
	}
	return 3
}

// link names an entry of the log.
func (l *log) link(ref monitor.EntryRef) EntryLink {
	if l == nil || l.url == "" {
		return EntryLink{EntryRef: ref}
	}
	return EntryLink{ref, l.url + "/entries/" + ref.EntryID}
}

func (l *log) good() bool { return l.health.State == stateGood }

// fail marks a log as one that cannot be used.
func (l *log) fail(err error) {
	l.health.State, l.health.Detail = stateUnreachable, err.Error()
	if errors.Is(err, tiles.ErrCorrupt) || errors.Is(err, scitt.ErrProof) {
		l.health.State = stateCorrupt
	}
}

// byOrigin is the first usable log with an origin; nil when there is none.
func (m *maker) byOrigin(origin string) *log {
	for _, l := range m.logs {
		if l.good() && l.health.Origin == origin {
			return l
		}
	}
	return nil
}

// linkTo names an entry of whatever log it is in.
func (m *maker) linkTo(ref monitor.EntryRef) EntryLink { return m.byOrigin(ref.Origin).link(ref) }

// list makes the empty array of what would be null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
