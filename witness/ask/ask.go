// Package ask asks witnesses to cosign the checkpoints of a log (C2SP
// tlog-witness): one request at a time for each URL, and every cosignature that
// verifies is kept, however many are needed.
//
// No witness is believed or waited for. One that hangs, answers with an error or
// with something that is not its cosignature of this checkpoint has failed: it is
// asked again after a while, and the others go on.
package ask

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness"
)

const (
	// DefaultTimeout is the default of Options.Timeout.
	DefaultTimeout = 5 * time.Second
	// A witness that failed is asked again after the shortest time, and after
	// twice as long each time that it fails again.
	shortestPause, longestPause = 250 * time.Millisecond, 5 * time.Second
	// refreshEvery is when a checkpoint that is still the newest is cosigned again,
	// so that its cosignatures say that it is.
	refreshEvery = 10 * time.Minute
	// grace is how long a checkpoint that has its quorum waits for witnesses that
	// answered the last time, since Receipts carry what is there when it is published.
	grace = 100 * time.Millisecond
)

// Options say how witnesses are asked. The zero value of a number means its default.
type Options struct {
	// Timeout is how long a request may take, and how long a quorum is waited for.
	Timeout time.Duration
	HTTP    *http.Client
	Logger  *slog.Logger
}

// Witnesses are those of a policy, as the log asks them. All methods are safe for
// concurrent use.
type Witnesses struct {
	policy *witness.Policy
	vkey   string // of the log
	Options
	more chan struct{}

	mu      sync.Mutex // guards what is below, and the workers' state
	target  *target
	workers []*worker
}

// target is a tree with the cosignatures of it that came so far.
type target struct {
	view    *tiles.View
	lines   []note.Signature // each of another key
	met     bool             // they are a quorum
	changed chan struct{}    // closed and replaced when a worker is done with it
}

// New makes the asker of a log with this verifier key. Every witness of the policy
// that has a URL is asked. Errors wrap [witness.ErrPolicy] where those cannot make
// its quorum, or where it is for other logs.
func New(p *witness.Policy, vkey string, o Options) (*Witnesses, error) {
	w := &Witnesses{policy: p, vkey: vkey, Options: o, more: make(chan struct{}, 1)}
	if w.Timeout == 0 {
		w.Timeout = DefaultTimeout
	}
	client := http.Client{}
	if o.HTTP != nil {
		client = *o.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.HTTP = &client
	origin, _, _ := strings.Cut(vkey, "+")
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	if len(p.Logs) > 0 && !slices.ContainsFunc(p.Logs, func(l note.Verifier) bool { return l.Name() == origin && l.KeyHash() == key.KeyHash() }) {
		return nil, fmt.Errorf("%w for this log: its logs are others, and this one is %s", witness.ErrPolicy, vkey)
	}
	var names []string
	for _, of := range p.Witnesses {
		if of.URL == "" {
			continue
		}
		names = append(names, of.Name)
		url, err := addCheckpoint(of.URL)
		if err != nil {
			return nil, fmt.Errorf("%w: witness %s: %w", witness.ErrPolicy, of.Name, err)
		}
		i := slices.IndexFunc(w.workers, func(o *worker) bool { return o.url == url })
		if i < 0 {
			i = len(w.workers)
			w.workers = append(w.workers, &worker{Witnesses: w, url: url, wake: make(chan struct{}, 1)})
		}
		w.workers[i].names = append(w.workers[i].names, of.Name)
		w.workers[i].keys = append(w.workers[i].keys, of.Key)
	}
	// C2SP tlog-mirror: "The mirror cosigner MUST NOT sign the checkpoint in this process",
	// which is add-checkpoint. No name shows which key is a mirror's, so it has no URL.
	if !p.Reachable(names) {
		return nil, fmt.Errorf("%w that this log can meet: %s is needed, and the witnesses with a URL are %q; the key of a mirror has none, since it signs what is public already, and readers can demand it", witness.ErrPolicy, p.Rule(), names)
	}
	return w, nil
}

// Run asks until the context ends.
func (w *Witnesses) Run(ctx context.Context) {
	var done sync.WaitGroup
	for _, of := range w.workers {
		done.Go(func() { of.run(ctx) })
	}
	done.Wait()
}

// More gets a value when the tree that is asked for has more cosignatures, or newer ones.
func (w *Witnesses) More() <-chan struct{} { return w.more }

// Cosign has the witnesses asked for a view's checkpoint from now on, and for no
// other one. The function wait waits until it has a quorum, and not longer than the timeout,
// or than any witness could still answer. Errors wrap [witness.ErrQuorum].
func (w *Witnesses) Cosign(view *tiles.View) (wait func(context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.target == nil || w.target.view.Checkpoint.Size != view.Checkpoint.Size {
		w.target = &target{view: view, changed: make(chan struct{})}
		w.target.met = w.quorum(w.target) == nil // none may be needed
		for _, of := range w.workers {
			of.awake()
		}
	}
	t := w.target
	return func(ctx context.Context) error { return w.await(ctx, t) }
}

func (w *Witnesses) await(ctx context.Context, t *target) error {
	deadline := time.NewTimer(w.Timeout)
	defer deadline.Stop()
	var over <-chan time.Time
	for {
		w.mu.Lock()
		met, changed := t.met, t.changed
		busy := slices.ContainsFunc(w.workers, func(of *worker) bool { return of.mayAnswer(t, met) })
		w.mu.Unlock()
		if !busy {
			return w.outcome(t)
		}
		if met && over == nil {
			over = time.After(grace)
		}
		select {
		case <-changed:
		case <-over:
			return nil
		case <-deadline.C:
			return w.outcome(t)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// outcome says why there is no quorum; nil when there is one.
func (w *Witnesses) outcome(t *target) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.quorum(t)
	if err == nil {
		return nil
	}
	for _, of := range w.workers {
		if of.err != nil {
			err = fmt.Errorf("%w; %s: %w", err, strings.Join(of.names, ", "), of.err)
		}
	}
	return err
}

// quorum holds what came to the policy.
func (w *Witnesses) quorum(t *target) error {
	raw, err := t.add(t.view.Checkpoint.Raw)
	if err != nil {
		return err
	}
	c, err := w.policy.Open(raw)
	if err != nil {
		return err
	}
	return c.Quorum()
}

// add adds the cosignatures to a note of the tree.
func (t *target) add(raw []byte) ([]byte, error) {
	if len(t.lines) == 0 {
		return raw, nil
	}
	return scitt.MergeNotes(raw, scitt.SignedNote(t.view.Checkpoint.Body(), t.lines))
}

// Add adds to a checkpoint the cosignatures that came for its tree, which is the one
// that was asked for last.
func (w *Witnesses) Add(raw []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.target == nil {
		return raw, nil
	}
	return w.target.add(raw)
}

// came takes the cosignatures of a worker for a target.
func (w *Witnesses) came(t *target, lines []note.Signature) {
	for _, s := range lines {
		i := slices.IndexFunc(t.lines, func(o note.Signature) bool { return o.Name == s.Name && o.Hash == s.Hash })
		if i < 0 {
			t.lines = append(t.lines, s)
		} else {
			t.lines[i] = s
		}
	}
	t.met = w.quorum(t) == nil
	if t == w.target {
		select {
		case w.more <- struct{}{}:
		default:
		}
	}
}

// State is how it goes with the witnesses at one URL.
type State struct {
	Names []string  // in the policy
	At    time.Time // when they cosigned last; the zero time for never
	Err   error     // why they did not when they were asked last; nil when they did
}

// States say how it goes with each URL, in the order of the policy.
func (w *Witnesses) States() (states []State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, of := range w.workers {
		states = append(states, State{of.names, of.answeredAt, of.err})
	}
	return states
}
