// Package personality is the Transparency Service: it checks Signed
// Statements against the Registration Policy, hands them to the log, and
// answers with Receipts made from the published checkpoint and the tiles.
//
// A statement walks straight down:
//
//	POST /entries -> scitt.ParseStatement -> Index.Lookup -> Policy.Admit
//	              -> Log.Run -> Log.Await -> tiles.View.Receipt -> 201
package personality

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
)

// Log is where entries go. It is safe for concurrent use.
type Log interface {
	// Append takes an entry. Entries are in the log in the order in which
	// their Appends returned. Once wait returned an index the entry survives
	// any crash; errors wrap scitt.ErrBusy or scitt.ErrUnavailable, and then
	// it may be in the log or not.
	Append(ctx context.Context, entry []byte) (wait func(context.Context) (index uint64, duplicate bool, err error), err error)
	// Run begins a run of entries: add is Append, but an entry of the run is in
	// the log only if all of the run before it are, and behind them, whatever
	// fails or crashes. It is not for concurrent use.
	Run() (add func(ctx context.Context, entry []byte) (wait func(context.Context) (index uint64, duplicate bool, err error), err error))
	// Drain waits until every entry that was appended is sequenced.
	Drain(ctx context.Context) error
	// Await waits until a public checkpoint covers the index.
	Await(ctx context.Context, index uint64) (*tiles.View, error)
	// Backlog is how long an entry that is appended now is expected to wait
	// before it is being stored.
	Backlog() time.Duration
	// Published is the log as its public checkpoint commits to it.
	Published() *tiles.View
}

// Index finds entries by id. It is safe for concurrent use.
type Index interface {
	// Lookup finds an entry as soon as it is sequenced.
	Lookup(ctx context.Context, id scitt.EntryID) (tiles.Place, bool, error)
	// Extend makes a sequenced statement the head of its chain, if it has one.
	Extend(s *scitt.Statement, index uint64)
	// Sync waits until Lookup knows everything that is sequenced now.
	Sync(ctx context.Context) error
}

// Policy is a Registration Policy. It is safe for concurrent use.
type Policy interface {
	// Admit reports whether a statement may be registered, as a pure function of
	// the statement, the policy and what the log holds, where pending are heads
	// of chains that are on their way into it, and newer than what the Index
	// has. The error says why not. One that wraps ErrPending asks to be called
	// again when they are in the Index.
	Admit(ctx context.Context, s *scitt.Statement, pending Heads) error
	// VerifySignature verifies who signed a statement, and judges nothing else.
	VerifySignature(s *scitt.Statement) error
	// Replace reports whether a statement of the type of policies may replace
	// this policy, whose own statement is entry, and gives the new one.
	Replace(s *scitt.Statement, entry scitt.EntryID) (Policy, error)
	// Algorithms are the names of the signing algorithms that it allows.
	Algorithms() []string
	// Document is the policy as JSON, in canonical form.
	Document() []byte
}

// ErrPending says that a statement cannot be judged before the head of its
// chain has an index.
var ErrPending = errors.New("the head of the chain has no index yet")

// Heads are the last statements of chains, which are pending.
type Heads map[Chain]scitt.Head

// Chain names a chain: every issuer has its own names.
type Chain struct{ Issuer, Name string }

// InForce is a policy with its place in the log.
type InForce struct {
	Policy Policy
	Index  uint64
	ID     scitt.EntryID
}

// Keys are what a service shows of its log's keys.
type Keys struct {
	Receipt    scitt.KeySet              // of Receipts
	VKeys      []string                  // of the checkpoint
	Statements []scitt.ConfigurationKeys // the places of the log's keys statements
}

// Config configures a Service.
type Config struct {
	Issuer string // the service's URL, without a slash at the end
	Origin string // the log's
	Keys   Keys
	Policy InForce

	// Wait is the longest time that a registration waits for its Receipt.
	Wait time.Duration
	// Queue is the longest time that a statement may be expected to wait before
	// it is judged and stored; beyond it the answer is 503. No limit when it is 0.
	Queue time.Duration
	// RatePerSecond and Burst limit the requests of one client address to
	// everything but the static files; no limit when RatePerSecond is 0.
	RatePerSecond float64
	Burst         int

	// BodyMemory is how many bytes of request bodies beyond the first 16 KiB of
	// each are in memory at a time; beyond it the answer is 503. No limit when it is 0.
	BodyMemory int64

	Log     Log
	Index   Index
	Files   http.FileSystem // the public directory
	Metrics *Metrics
	Logger  *slog.Logger
	// Changed, when not nil, is told when the configuration has a new policy in force.
	Changed func() error
	// Writer, when not nil, is another instance, which is the log's writer: it answers
	// what this one cannot. See [Service.Lead].
	Writer http.Handler
	// Hidden are directories of the operator's, which no answer names.
	Hidden []string
	// Adjacent are the Adjacent Services by their paths, such as "/artifacts".
	Adjacent map[string]http.Handler
}

// storeGrace is how much longer than Wait a registration waits to be durable. A
// 202 promises that the Receipt will come, also after a crash.
const storeGrace = 10 * time.Second

// Service is a Transparency Service.
type Service struct {
	Config
	limits *limits
	gate   *gate
	bodies *semaphore.Weighted
	hidden hidden
	static *staticFiles
	pages  chan struct{} // one for each page that is made or sent

	policy atomic.Pointer[InForce]
	keys   atomic.Pointer[Keys]
	writer atomic.Pointer[http.Handler] // nil while this instance is the writer
	// changing is held for reading from Admit to Append, and for writing while
	// the policy or the keys change: an entry is judged by those before it in the log.
	changing sync.RWMutex
	unknown  bool       // the log may hold a newer policy, or newer keys
	locks    keyedLocks // of ids and chains

	mu      sync.Mutex
	running map[scitt.EntryID]bool // admitted, and not known to be in the log or not
}

// New makes the service of a log that is open and has its policy.
func New(c Config) (*Service, error) {
	limits, err := newLimits(c.RatePerSecond, c.Burst)
	if err != nil {
		return nil, fmt.Errorf("service: %w", err)
	}
	processor := newProcessor()
	behind := func() time.Duration { return c.Log.Backlog() + processor.delay() }
	s := &Service{Config: c, hidden: newHidden(c.Hidden), limits: limits, gate: newGate(c.Queue, behind), bodies: semaphore.NewWeighted(cmp.Or(c.BodyMemory, math.MaxInt64)), pages: make(chan struct{}, mostPages), running: map[scitt.EntryID]bool{}}
	s.static = &staticFiles{c.Files, func() uint64 { return s.Log.Published().Checkpoint.Size }, newEncoders()}
	s.policy.Store(&c.Policy)
	s.keys.Store(&c.Keys)
	if c.Writer != nil {
		s.writer.Store(&c.Writer)
	}
	return s, nil
}

// errRunning says that a registration has not come to its end.
var errRunning = errors.New("registration is running")

// place finds an entry in the published log. The error is errRunning, or a
// problem that says why there is no such entry.
func (s *Service) place(ctx context.Context, id scitt.EntryID) (uint64, []byte, *tiles.View, error) {
	// In this order an entry whose registration ends meanwhile is found in the
	// index, and one that is in the index and published is never reported as
	// running.
	s.mu.Lock()
	running := s.running[id]
	s.mu.Unlock()
	place, ok, err := s.Index.Lookup(ctx, id)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("%w: %w", scitt.ErrUnavailable, err)
	}
	if !ok {
		if running {
			return 0, nil, nil, errRunning
		}
		// Why a registration failed is in the answer to it: 202 comes only when
		// the entry is durable. It is not remembered for whoever asks later,
		// since anybody can send garbage with somebody else's id.
		return 0, nil, nil, notFound(id.String())
	}
	view := s.Log.Published()
	if place.Index >= view.Checkpoint.Size {
		return 0, nil, nil, errRunning
	}
	leaf, err := view.LeafHash(ctx, place.Index)
	if err != nil {
		return 0, nil, nil, err
	}
	if !place.Matches(leaf) {
		return 0, nil, nil, fmt.Errorf("the index says that entry %s is at %d, and the log has another one there: delete the index and restart", id, place.Index)
	}
	return place.Index, leaf, view, nil
}

func notFound(id string) *scitt.Problem {
	return &scitt.Problem{Status: http.StatusNotFound, Title: "Not Found", Detail: fmt.Sprintf("Receipt with entry ID %s not known to this Transparency Service", id)}
}

// Follow takes the policy that the log has, where another instance is the writer.
func (s *Service) Follow(p InForce) { s.policy.Store(&p) }

// Leads reports whether this instance is the log's writer.
func (s *Service) Leads() bool { return s.writer.Load() == nil }

// Lead makes this instance the log's writer, with this policy in force. Its log
// takes entries, and its index has everything that is sequenced.
func (s *Service) Lead(p InForce) {
	s.policy.Store(&p)
	s.writer.Store(nil)
}

// ShownKeys are what the service shows of its log's keys now.
func (s *Service) ShownKeys() *Keys { return s.keys.Load() }

// ShowKeys shows these from now on.
func (s *Service) ShowKeys(k Keys) { s.keys.Store(&k) }

// InForce is the policy that judges the next statement, as far as the service
// knows.
func (s *Service) InForce() *InForce { return s.policy.Load() }

// Configuration is what the service publishes about itself.
func (s *Service) Configuration() *scitt.Configuration {
	p, k := s.InForce(), s.ShownKeys()
	return &scitt.Configuration{
		Issuer: s.Issuer, Origin: s.Origin, CheckpointKeys: k.VKeys, Keys: k.Statements, Algorithms: p.Policy.Algorithms(),
		RegistrationEndpoint: s.Issuer + "/entries",
		Policy:               scitt.ConfigurationPolicy{EntryID: p.ID.String(), Index: p.Index, Document: p.Policy.Document()},
	}
}
