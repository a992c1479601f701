package party

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/conmotion/conmotion/monitor"
	"github.com/conmotion/conmotion/scitt"
)

// Draft is content of which the issuer has to make a statement.
type Draft struct {
	Content []byte
	// Subject, ContentType and Type are set. With Hash the content is stored
	// as an artifact, else it is in the statement itself.
	Options scitt.SignOptions
	// Chain is the name of the chain that the statement continues; "" for
	// none.
	Chain string

	refused error // by the artifact storage
}

func (d Draft) key() contentKey { return newContentKey(d.Options.Type, sha256.Sum256(d.Content)) }

// Result is what became of a draft.
type Result string

// The results of drafts.
const (
	Unreached  Result = ""           // nothing was done about it
	Registered Result = "registered" // now
	Known      Result = "known"      // the log had it before: see Outcome.Ref
	Refused    Result = "refused"    // by the log's service, or by another's: see Outcome.Err
)

// Outcome is what became of a draft. Of a draft that is registered or known,
// Ref is the entry.
type Outcome struct {
	Result Result
	Ref    monitor.EntryRef
	Also   []monitor.EntryRef // the same content in the further logs that have it
	Err    error              // of Refused

	copies []held // of Registered: that of the log first
}

// Recorder registers many statements of one issuer, each content once: what
// the issuer has said in the log with the same typ is not said again. It serves
// one goroutine, but for Store.
type Recorder struct {
	// KeepGoing goes on behind a draft that is refused.
	KeepGoing bool

	w     *Writer
	run   int // statements that are sent at a time
	said  *said
	dir   saidDir
	also  []*alsoLog
	saved time.Time
}

// NewRecorder reads what the issuer has said in the log so far. Further logs
// get the same statements: see [Recorder.Record].
func NewRecorder(ctx context.Context, w *Writer, also []*Writer, progress func(done, size uint64)) (*Recorder, error) {
	r := &Recorder{w: w, run: MaxRun, dir: w.options.Home.said(w.log.Key(), w.Issuer), saved: time.Now()}
	var err error
	if r.said, err = w.readSaid(ctx, r.dir, progress); err != nil {
		return nil, err
	}
	for i, a := range also {
		for _, other := range append([]*Writer{w}, also[:i]...) {
			if a.log.Key() == other.log.Key() {
				return nil, fmt.Errorf("%s and %s are the same log", other.Service, a.Service)
			}
		}
		next, err := w.newAlso(ctx, a, progress)
		if err != nil {
			return nil, err
		}
		r.also = append(r.also, next)
	}
	return r, nil
}

// readSaid reads what the writer's issuer has said in its log.
func (w *Writer) readSaid(ctx context.Context, dir saidDir, progress func(done, size uint64)) (*said, error) {
	s := newSaid(w.Issuer, w.Key.Public())
	if err := dir.load(ctx, s, w.log.View); err != nil {
		return nil, err
	}
	if err := s.read(ctx, w.log.View, progress); err != nil {
		return nil, err
	}
	return s, dir.save(s, w.log.View)
}

// catchUp reads what is new in the log.
func (w *Writer) catchUp(ctx context.Context, s *said) error {
	if err := w.log.Refresh(ctx, w.options); err != nil {
		return err
	}
	return s.read(ctx, w.log.View, nil)
}

// uploads is how many artifacts are stored at a time.
const uploads = 32

// Store stores the contents of the drafts that are to be hash envelopes, as
// far as the log has no statement about them, and notes where they are, or that
// the storage does not take them. It may run while Record is busy with other
// drafts. A crash leaves artifacts of which no statement speaks; the next run
// finds them stored.
func (r *Recorder) Store(ctx context.Context, drafts []Draft) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(uploads)
	for i := range drafts {
		d := &drafts[i]
		if !d.Options.Hash {
			continue
		}
		if _, ok := r.said.find(d.key()); ok {
			continue
		}
		g.Go(func() error {
			err := r.store(ctx, d)
			if p, ok := errors.AsType[*scitt.Problem](err); ok && (p.Status == http.StatusBadRequest || p.Status == http.StatusRequestEntityTooLarge) {
				d.refused, err = err, nil // it is about this content
			}
			return err
		})
	}
	return g.Wait()
}

func (r *Recorder) store(ctx context.Context, d *Draft) (err error) {
	if d.Options.Location, err = r.w.Store(ctx, d.Content); err != nil {
		return err
	}
	for _, a := range r.also {
		if !a.artifacts {
			continue
		}
		if _, err := a.w.Store(ctx, d.Content); err != nil {
			return fmt.Errorf("%s: %w", a.w.Service, err)
		}
	}
	return nil
}

// Record registers drafts in their order. It stops at the first that is
// refused unless KeepGoing is set, and at an error, which is about no draft:
// then the same drafts again go on where this ended. There is an outcome for
// each draft.
//
// Statements are signed one behind the other in their chains, as many as are
// sent at a time, and kept in Home until their Receipts are there. A crash
// leaves them there; the next Record sends those bytes again first, so that
// nothing is said twice. When another writer of the chain came first, what is
// left is signed again, without what the other one has recorded meanwhile.
//
// Then the same statements go to the further logs. The chain is that of the
// Writer's log: a further log that wants it whole must have got all of it.
func (r *Recorder) Record(ctx context.Context, drafts []Draft) ([]Outcome, error) {
	done, err := r.w.options.Home.turn(ctx, r.w.log.Key(), r.w.Issuer)
	if err != nil {
		return make([]Outcome, len(drafts)), err
	}
	defer done()
	outcomes := make([]Outcome, len(drafts))
	if err := r.begin(ctx); err != nil {
		return outcomes, err
	}
	err = r.record(ctx, drafts, outcomes)
	for _, a := range r.also {
		// Of what may be in the log or not, nothing is forgotten.
		if alsoErr := a.forward(ctx, r, drafts, outcomes, err == nil); alsoErr != nil {
			err = errors.Join(err, fmt.Errorf("not everything that is in the log at %s is in the one at %s yet; run it again: %w", r.w.Service, a.w.Service, alsoErr))
		}
	}
	if err == nil && time.Since(r.saved) > saveEvery {
		err = r.save(ctx)
	}
	return outcomes, err
}

// saveEvery bounds what a command that is ended by force has to read again.
const saveEvery = 20 * time.Second

// Close remembers what is in the logs.
func (r *Recorder) Close(ctx context.Context) error {
	for _, a := range r.also {
		if err := a.w.catchUp(ctx, a.said); err != nil {
			return err
		}
		if err := a.dir.save(a.said, a.w.log.View); err != nil {
			return err
		}
	}
	return r.save(ctx)
}

func (r *Recorder) save(ctx context.Context) error {
	r.saved = time.Now()
	if err := r.w.catchUp(ctx, r.said); err != nil {
		return err
	}
	return r.dir.save(r.said, r.w.log.View)
}

// begin finishes what earlier runs left, and reads what others did.
func (r *Recorder) begin(ctx context.Context) error {
	left, err := r.w.pending.left()
	if err != nil {
		return err
	}
	if len(left) > 0 {
		resumed, err := r.w.Resume(ctx)
		if err != nil {
			return err
		}
		r.w.options.notice("notice: finished what an earlier run had begun: %d statements", len(resumed))
	}
	return r.w.catchUp(ctx, r.said)
}

// record is Record in the Writer's log.
func (r *Recorder) record(ctx context.Context, drafts []Draft, outcomes []Outcome) error {
	attempts := 0
	for {
		run, err := r.sign(ctx, drafts, outcomes)
		if err != nil || len(run.places) == 0 {
			return err
		}
		n, err := r.send(ctx, run, outcomes)
		if n > 0 {
			attempts = 0
		}
		switch {
		case err == nil:
			r.run = min(2*r.run, MaxRun)
			continue
		case !refused(err):
			return err
		}
		at := run.places[n]
		moved, waitErr := r.moved(ctx, r.chain(drafts[at]), err)
		if waitErr != nil {
			return waitErr
		}
		if moved {
			if attempts++; attempts == maxAttempts {
				return monitor.ErrContended
			}
			continue
		}
		outcomes[at] = Outcome{Result: Refused, Err: err}
		if !r.KeepGoing {
			return nil
		}
		// All that came behind it is signed anew: so much less the next time.
		r.run = max(1, r.run/2)
	}
}

// maxAttempts is how often in a row another writer may be faster.
const maxAttempts = 16

// chain is the name of the chain that a draft's statement continues; "" for
// none.
func (r *Recorder) chain(d Draft) string {
	if d.Chain != "" || !r.w.required {
		return d.Chain
	}
	name, _, _ := strings.Cut(d.Options.Subject, "/")
	return name
}

// moved says whether a refusal means that another writer of the chain came
// first. A service knows the head before the published log shows it.
func (r *Recorder) moved(ctx context.Context, chain string, refusal error) (bool, error) {
	if chain == "" {
		return false, nil
	}
	before := r.said.head(chain)
	until := time.Now().Add(publishWait)
	poll := time.NewTicker(publishPoll)
	defer poll.Stop()
	for {
		if err := r.w.catchUp(ctx, r.said); err != nil {
			return false, err
		}
		if head := r.said.head(chain); head != nil && (before == nil || *head != *before) {
			return true, nil
		}
		p, _ := errors.AsType[*scitt.Problem](refusal)
		if p == nil || !strings.Contains(p.Detail, "chain: ") || time.Now().After(until) {
			return false, nil // it is refused for another reason
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// How long, and how often, the log is asked for the record that came first.
const (
	publishWait = 10 * time.Second
	publishPoll = 50 * time.Millisecond
)
