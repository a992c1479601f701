package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"time"

	"github.com/conmotion/conmotion/internal/firsts"
	"github.com/conmotion/conmotion/policy"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/storage/artifact/reader"
	"github.com/conmotion/conmotion/tiles"
)

// Checks that are not those of a Registration Policy. A slash keeps them apart
// from the ids of its rules.
const (
	CheckCheckpoint  = "log/checkpoint"  // the checkpoint's signatures
	CheckConsistency = "log/consistency" // the log only grows
	CheckRoot        = "log/root"        // the entries lead to the root
	CheckTile        = "log/tile"        // a tile is what the entries lead to
	CheckBundle      = "log/bundle"      // a bundle holds what the checkpoint commits to
	CheckStatement   = "log/statement"   // an entry is a Signed Statement
	CheckEncoding    = "log/encoding"    // and in the encoding that entries have
	CheckDuplicate   = "log/duplicate"   // and its content is not in the log already
	CheckKeys        = "log/keys"        // keys change as the log may announce it, and are those that are trusted
	CheckPolicy      = "log/policy"      // a policy is in force
	// CheckConfiguration is that the transparency configuration shows the log's
	// issuer and the policy in force.
	CheckConfiguration = "log/configuration"
)

// Violation is something that is wrong with the log.
type Violation struct {
	Index   *uint64 `json:"index,omitempty"`    // of the entry; nil when it is about files
	EntryID string  `json:"entry_id,omitempty"` // hexadecimal; "" where the bytes have none
	Check   string  `json:"check"`              // one of the Check constants here or in package policy, or the id of a rule
	Message string  `json:"message"`
	// Checkpoints are, for CheckConsistency, the earlier and the later
	// checkpoint as they were published: signed evidence.
	Checkpoints []string `json:"checkpoints,omitempty"`
	// Proof is, for CheckConsistency, a [tiles.Equivocation] as a document,
	// where the log forked and did not only shrink.
	Proof json.RawMessage `json:"proof,omitempty"`
}

// Options say what to audit, and whom to tell. The zero value tells
// nobody and counts.
type Options struct {
	// VKeys are the trusted verifier keys of the log. Its keys statements must
	// announce each of them.
	VKeys []string
	// Artifacts may be nil: then what depends on the content of hash envelopes
	// is not judged.
	Artifacts *reader.Reader
	// Policy is for reading policies, such as policy.WithSchema; Schema is then
	// the SHA-256 of that schema's file, in hexadecimal.
	Policy []policy.Option
	Schema string
	// Since is the first index that is judged. Entries before it are taken as
	// admitted; policies, keys, chains and duplicates are still followed
	// through them, and nothing is told about them.
	Since uint64
	// List is how many violations are told and kept in the State; all are counted.
	List int
	// Report is told each violation in the order of the log, shortly before the
	// State that holds it is saved.
	Report func(Violation)
	// Save is given the State from time to time and at the end of a pass. It
	// must not keep it.
	Save func(*State) error
	// Progress is told how many entries are done.
	Progress func(done, size uint64)
}

// maxMessage is the longest message in bytes.
const maxMessage = 4 << 10

// saveEvery is the time between two savings of the state in a pass.
const saveEvery = 10 * time.Second

// workers is how many bundles are in work at each parallel stage.
func workers() int { return 2 * runtime.GOMAXPROCS(0) }

// Auditor audits one log. It is not safe for concurrent use.
type Auditor struct {
	log   *tiles.Log
	o     Options
	state *State
	// heads are the last entries of chains that were admitted, and refused
	// those behind them that were not.
	heads, refused heads
	once           firsts.Saver
	replay         *replay // nil until the first pass, and after one that was interrupted
	// pending violations are in the state and not yet told.
	pending  []Violation
	nextSave time.Time
	// stopped are violations that end the audit. They are about the files as
	// they are now and not about entries that are done, so they are not in the
	// state: the next audit looks again.
	stopped []Violation
	// shown is what is wrong with the transparency configuration as it is now; nil
	// when nothing is.
	shown *Violation
	// missing are tiles that were not there in this pass. Nothing is known of them,
	// so they are no violations; the audit is not complete, and looks again.
	missing []string
	reach   string // why an artifact was out of reach in this pass, the first
}

// New makes the auditor of a log that goes on from a state; nil means the
// beginning.
func New(log *tiles.Log, state *State, o Options) (*Auditor, error) {
	origin := log.Verifiers.Note.Name()
	if state == nil {
		state = &State{Version: stateVersion, Origin: origin, Since: o.Since, Counts: map[string]uint64{}}
	}
	if state.Origin != origin {
		return nil, fmt.Errorf("the state is of the log %q and not of %q", state.Origin, origin)
	}
	if o.Report == nil {
		o.Report = func(Violation) {}
	}
	if o.Save == nil {
		o.Save = func(*State) error { return nil }
	}
	if o.Progress == nil {
		o.Progress = func(uint64, uint64) {}
	}
	admitted, err := headsOf(state.Heads)
	if err != nil {
		return nil, err
	}
	refused, err := headsOf(state.Refused)
	if err != nil {
		return nil, err
	}
	ids, err := firsts.Load(state.Once, state.Next)
	if err != nil {
		return nil, fmt.Errorf("the state of the audit: %w", err)
	}
	return &Auditor{log: log, o: o, state: state, heads: admitted, refused: refused, once: firsts.NewSaver(state.Once, ids)}, nil
}

// Run makes one pass: from where the audit is up to the log's newest
// checkpoint. Violations are no errors; the error says what kept it from
// looking, and may be the context's. The state is saved either way, and Run
// can be called again.
func (a *Auditor) Run(ctx context.Context) error { return a.run(ctx, nil) }

// RunAt is Run up to a checkpoint of the log that was verified, whatever its newest one
// is. What the log shows of itself in its transparency configuration is left out.
func (a *Auditor) RunAt(ctx context.Context, cp *scitt.Checkpoint) error { return a.run(ctx, cp) }

func (a *Auditor) run(ctx context.Context, cp *scitt.Checkpoint) error {
	a.stopped, a.missing, a.reach = nil, nil, ""
	a.nextSave = time.Now().Add(saveEvery)
	var err error
	if cp != nil {
		err = a.passTo(ctx, cp)
	} else {
		err = a.pass(ctx)
	}
	if n := len(a.missing); err == nil && n > 0 {
		err = fmt.Errorf("tiles that are not there, and not checked: %d, the first %s: %w", n, a.missing[0], fs.ErrNotExist)
	}
	if err != nil {
		a.replay = nil // it is ahead of the state, or has not seen all tiles
	} else if a.state.Closed && cp == nil {
		err = a.configuration(ctx)
	}
	return errors.Join(err, a.save())
}

// Follow makes a pass at each interval until the context ends, or until the
// log is found to be such that it cannot be followed. The error of the first
// pass ends it; later ones go to failed.
func (a *Auditor) Follow(ctx context.Context, interval time.Duration, failed func(error)) error {
	err := a.Run(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for len(a.stopped) == 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch err := a.Run(ctx); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failed(err)
		}
	}
	return nil
}

func (a *Auditor) pass(ctx context.Context) error {
	cp, err := a.log.Checkpoint(ctx)
	if errors.Is(err, scitt.ErrCheckpoint) && a.newKeys(ctx) {
		return fmt.Errorf("the log announces other keys than those that are trusted here: open it again, so that they are followed, and audit it with those: %w", err)
	}
	if errors.Is(err, scitt.ErrCheckpoint) {
		a.stop(Violation{Check: CheckCheckpoint, Message: err.Error()})
		return nil
	}
	if err != nil {
		return err
	}
	return a.passTo(ctx, cp)
}

func (a *Auditor) passTo(ctx context.Context, cp *scitt.Checkpoint) error {
	old, err := a.state.checkpoint(a.log.Verifiers)
	if errors.Is(err, scitt.ErrCheckpoint) {
		if before := a.before(ctx, cp); before != nil {
			old, err = before, nil
		}
	}
	if err != nil {
		return err
	}
	if old != nil && a.state.closed(old, cp) {
		if len(a.state.Unread) == 0 {
			return nil
		}
		view, err := a.log.At(ctx, cp)
		if err != nil {
			return err
		}
		return a.again(ctx, view)
	}
	if old != nil {
		if proof := tiles.Contradict(old, cp); proof != nil {
			a.stop(a.forked(proof, fmt.Errorf("%w: two checkpoints of size %d have different roots", scitt.ErrProof, cp.Size)))
			return nil
		}
	}
	if old != nil && old.Size > cp.Size {
		return a.behind(ctx, old, cp)
	}
	view, err := a.log.At(ctx, cp)
	if err == nil && old != nil {
		err = view.Consistency(ctx, old)
	}
	if doubt, derr := a.log.Verifiers.Open([]byte(a.state.Doubt)); err == nil && derr == nil {
		switch err = view.Consistency(ctx, doubt); {
		case errors.Is(err, scitt.ErrProof):
			return a.inconsistent(ctx, view, doubt, err)
		case err == nil:
			a.state.Doubt = ""
		}
	}
	switch {
	case errors.Is(err, scitt.ErrProof):
		return a.inconsistent(ctx, view, old, err)
	case err != nil && (!damaged(err) || old != nil && errors.Is(err, fs.ErrNotExist)):
		return err
	case err != nil && old != nil:
		// Whether the log extends what was audited cannot be told.
		a.stop(Violation{Check: CheckTile, Message: err.Error()})
		return nil
	}
	// Without a view the replay finds out which tile is wrong.
	a.begin(cp)
	if a.replay == nil {
		if a.replay, err = newReplay(ctx, a, view); errors.Is(err, tiles.ErrCorrupt) {
			a.stop(Violation{Check: CheckTile, Message: err.Error()})
			return nil
		} else if err != nil {
			return err
		}
	}
	again := a.again(ctx, view)
	return errors.Join(a.replay.run(ctx, cp, view), again)
}

// before is the state's checkpoint where a note key signed it that the log had before and still
// announces; nil for any other.
func (a *Auditor) before(ctx context.Context, cp *scitt.Checkpoint) *scitt.Checkpoint {
	view, err := a.log.At(ctx, cp)
	if err != nil {
		return nil
	}
	c, err := a.shows(ctx)
	if err != nil {
		return nil
	}
	old, _ := view.OpenBefore(ctx, c.Keys, []byte(a.state.Checkpoint)) // whoever asks has an error already
	return old
}

// shows is what the log says about itself.
func (a *Auditor) shows(ctx context.Context) (*scitt.Configuration, error) {
	data, err := a.log.Source.Get(ctx, tiles.ConfigurationPath)
	if err != nil {
		return nil, err
	}
	return scitt.ParseConfiguration(data)
}

// newKeys reports whether the log lists keys statements that are not audited
// yet. What it lists is not verified: that its keys changed is no accusation.
func (a *Auditor) newKeys(ctx context.Context) bool {
	c, err := a.shows(ctx)
	return err == nil && len(c.Keys) > max(1, len(a.state.Keys))
}

// inconsistent ends the audit because a view of the log does not extend another
// checkpoint of it. A wrong tile looks like a fork until the proof is to be made.
func (a *Auditor) inconsistent(ctx context.Context, view *tiles.View, other *scitt.Checkpoint, err error) error {
	proof, perr := view.Equivocation(ctx, other)
	switch {
	case perr == nil:
		a.stop(a.forked(proof, err))
	case errors.Is(perr, tiles.ErrEquivocation):
		a.stop(Violation{Check: CheckTile, Message: fmt.Sprintf("whether the log extends what was audited cannot be told: %v: %v", err, perr)})
	default:
		return perr
	}
	return nil
}

// behind is about a log that shows fewer entries than were audited. Whether they are
// an older state of it shows in the files of the larger tree. When they are, or it
// cannot be told, nothing is wrong with the log, and the audit waits.
func (a *Auditor) behind(ctx context.Context, old, cp *scitt.Checkpoint) error {
	view, err := a.log.At(ctx, old)
	if err == nil {
		err = view.Consistency(ctx, cp)
	}
	behind := fmt.Errorf("%w: it has %d, and %d were audited or begun", tiles.ErrBehind, cp.Size, old.Size)
	switch {
	case err == nil:
		return fmt.Errorf("%w; both are one history, and the audit goes on when it has more", behind)
	case errors.Is(err, scitt.ErrProof):
		return a.inconsistent(ctx, view, cp, err)
	case damaged(err):
		a.state.Doubt = string(cp.Raw)
		return fmt.Errorf("%w; whether both are one history cannot be checked: %w", behind, err)
	}
	return err
}

func (a *Auditor) forked(proof *tiles.Equivocation, err error) Violation {
	proof.VKey = scitt.NoteVKey(a.o.VKeys)
	v := Violation{Check: CheckConsistency, Message: err.Error(), Checkpoints: []string{string(proof.Older), string(proof.Newer)}}
	if v.Proof, err = proof.Marshal(); err != nil {
		v.Message += ": " + err.Error()
	}
	return v
}

// begin notes the checkpoint that is audited from now on.
func (a *Auditor) begin(cp *scitt.Checkpoint) {
	raw := string(cp.Raw)
	if a.state.Checkpoint == raw {
		return // an audit that was interrupted goes on
	}
	a.state.Checkpoint, a.state.Size, a.state.Closed = raw, cp.Size, false
	if cp.Tree == nil && len(a.log.Verifiers.Tree) > 0 {
		a.found(Violation{Check: CheckCheckpoint, Message: fmt.Sprintf("the checkpoint of size %d has no tree signature by a known receipt key, so that no Receipt can be made from it", cp.Size)})
	}
}

// damaged says that files are missing or wrong, as opposed to out of reach.
func damaged(err error) bool {
	return errors.Is(err, tiles.ErrCorrupt) || errors.Is(err, fs.ErrNotExist)
}
