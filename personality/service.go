// Package personality is the Transparency Service: it checks Signed
// Statements against the Registration Policy, hands them to the log, and
// answers with Receipts made from the published checkpoint and the tiles.
//
// A statement walks straight down:
//
//	POST /entries -> scitt.ParseStatement -> Policy.Admit -> Log.Append
//	              -> Log.Await -> tiles.View.Receipt -> 201
package personality

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

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
	// Admit says whether a statement may be registered, as a pure function of
	// the statement, the policy and what the log holds, where pending are heads
	// of chains that are on their way into it, and newer than what the Index
	// has. The error says why not. One that wraps ErrPending asks to be called
	// again when they are in the Index.
	Admit(ctx context.Context, s *scitt.Statement, pending Heads) error
	// Replace says whether a statement of the type of policies may replace
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

// Heads are the last statements of chains. Their Index is not known.
type Heads map[Chain]tiles.Head

// Chain names a chain: every issuer has its own names.
type Chain struct{ Issuer, Name string }

// InForce is a policy with its place in the log.
type InForce struct {
	Policy Policy
	Index  uint64
	ID     scitt.EntryID
}

// Config configures a Service.
type Config struct {
	Issuer string // the service's URL, without a slash at the end
	Origin string // the log's
	Keys   scitt.KeySet
	VKeys  []string // of the checkpoint
	Policy InForce

	// Wait is the longest time that a registration waits for its Receipt.
	Wait time.Duration
	// RatePerSecond and Burst limit the requests of one client address to
	// everything but the static files; no limit when RatePerSecond is 0.
	RatePerSecond float64
	Burst         int

	Log     Log
	Index   Index
	Files   http.FileSystem // the public directory
	Metrics *Metrics
	Logger  *slog.Logger
	// Changed, when not nil, is told of each new policy in force.
	Changed func(*scitt.Configuration) error
	// Adjacent are the Adjacent Services by their paths, such as "/artifacts".
	Adjacent map[string]http.Handler
}

const (
	// storeGrace is how much longer than Wait a registration waits to be
	// durable. A 202 promises that the Receipt will come, also after a crash.
	storeGrace = 10 * time.Second
	// rememberFailures is how many failed registrations are explained to who
	// asks for their Receipt.
	rememberFailures = 1024
)

// Service is a Transparency Service.
type Service struct {
	Config
	limits *limits

	policy atomic.Pointer[InForce]
	// change is held for reading from Admit to Append, and for writing while
	// the policy changes: an entry is judged by the policy before it in the log.
	change  sync.RWMutex
	unknown bool // the log may hold a newer policy than this one
	chains  keyedLocks

	mu      sync.Mutex
	running map[scitt.EntryID]int // registrations that are not sequenced yet
	failed  *lru.Cache[scitt.EntryID, error]
}

// New makes the service of a log that is open and has its policy.
func New(c Config) (*Service, error) {
	failed, err := lru.New[scitt.EntryID, error](rememberFailures)
	if err != nil {
		return nil, fmt.Errorf("service: %w", err)
	}
	limits, err := newLimits(c.RatePerSecond, c.Burst)
	if err != nil {
		return nil, fmt.Errorf("service: %w", err)
	}
	s := &Service{Config: c, limits: limits, running: map[scitt.EntryID]int{}, failed: failed}
	s.policy.Store(&c.Policy)
	return s, nil
}

// Registration is a statement on its way to its Receipt.
type Registration struct {
	ID        scitt.EntryID
	Index     uint64
	Duplicate bool
	Receipt   []byte // nil when the entry is durable but not published in time
}

// Register registers a statement and waits for its Receipt, at most until
// the context ends. When it returns without an error the entry is durable.
func (s *Service) Register(ctx context.Context, st *scitt.Statement) (*Registration, error) {
	start := time.Now()
	r := &Registration{ID: st.ID()}
	err := s.sequence(ctx, st, r)
	if err != nil {
		s.failed.Add(r.ID, err)
		s.Metrics.registered(resultOf(err))
		return nil, err
	}
	s.Metrics.reached(stageSequenced, start)
	view, err := s.Log.Await(ctx, r.Index)
	if err != nil {
		s.Metrics.registered(resultLate)
		return r, nil // only the context ends the waiting
	}
	s.Metrics.reached(stagePublished, start)
	// The waiting is over, perhaps just in time, or there was none to do.
	if r.Receipt, err = view.Receipt(context.WithoutCancel(ctx), r.Index, scitt.LeafHash(st.Entry())); err != nil {
		s.Metrics.registered(resultError)
		return nil, fmt.Errorf("receipt of entry %d: %w", r.Index, err)
	}
	s.Metrics.reached(stageReceipt, start)
	result := resultNew
	if r.Duplicate {
		result = resultDuplicate
	}
	s.Metrics.registered(result)
	return r, nil
}

// sequence gives the statement its index. It ends in its own time: a client
// that does not wait, or is gone, is no reason to leave a statement half way.
func (s *Service) sequence(ctx context.Context, st *scitt.Statement, r *Registration) error {
	s.run(r.ID, 1)
	defer s.run(r.ID, -1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Wait+storeGrace)
	defer cancel()
	if st.Type == scitt.TypePolicy {
		return s.changePolicy(ctx, st, r)
	}
	if st.Chain != nil {
		return s.sequenceChained(ctx, st, r)
	}
	wait, err := s.admit(ctx, st, s.Log.Append, nil)
	if err != nil {
		return err
	}
	return s.stored(ctx, st, r, wait)
}

// run counts a registration that begins (1) or ends (-1).
func (s *Service) run(id scitt.EntryID, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[id] += n; s.running[id] == 0 {
		delete(s.running, id)
	}
}

func (s *Service) isRunning(id scitt.EntryID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[id] > 0
}

// errRunning says that a registration has not come to its end.
var errRunning = errors.New("registration is running")

// place finds an entry in the published log. The error is errRunning, or a
// problem that says why there is no such entry.
func (s *Service) place(ctx context.Context, id scitt.EntryID) (uint64, []byte, *tiles.View, error) {
	// First the index and then the checkpoint: an entry that is in both is
	// never reported as running.
	place, ok, err := s.Index.Lookup(ctx, id)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("%w: %w", scitt.ErrUnavailable, err)
	}
	if !ok {
		if s.isRunning(id) {
			return 0, nil, nil, errRunning
		}
		if why, ok := s.failed.Get(id); ok {
			return 0, nil, nil, &scitt.Problem{Status: http.StatusNotFound, Title: "Registration Failed", Detail: fmt.Sprintf("entry %s: %v", id, why)}
		}
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

// InForce is the policy that judges the next statement, as far as the service
// knows.
func (s *Service) InForce() *InForce { return s.policy.Load() }

// Configuration is what the service publishes about itself.
func (s *Service) Configuration() *scitt.Configuration {
	p := s.InForce()
	return &scitt.Configuration{
		Issuer: s.Issuer, Origin: s.Origin, CheckpointKeys: s.VKeys, Algorithms: p.Policy.Algorithms(),
		RegistrationEndpoint: s.Issuer + "/entries",
		Policy:               scitt.ConfigurationPolicy{EntryID: p.ID.String(), Index: p.Index, Document: p.Policy.Document()},
	}
}
