package verify

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/conmotion/conmotion/monitor/party"
	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/tiles"
	"github.com/conmotion/conmotion/witness/audit"
)

// Accuser verifies documents that say that a log did something wrong. That one of them
// shows nothing is in its result; errors are about what kept from looking.
type Accuser struct {
	// Options are how the log is opened. Its VKeys count as the log's keys.
	Options party.Options
	// Location is where the log is, whose keys count then; "" for nowhere. Without it, and
	// without VKeys, the keys that a document names count, and Notice is told.
	Location string
	// Progress, when not nil, is told how much of the log is audited.
	Progress func(done, size uint64)
}

// Equivocation is what a proof comes to that a log signed two histories.
type Equivocation struct {
	Proven bool        `json:"equivocation_proven"`
	Error  string      `json:"error,omitempty"` // why it is not
	Origin string      `json:"origin,omitempty"`
	VKey   string      `json:"vkey"`
	Given  bool        `json:"vkey_given"` // the key is the user's own, and not the proof's
	Older  *signedTree `json:"older,omitempty"`
	Newer  *signedTree `json:"newer,omitempty"`

	Wrong error `json:"-"` // is Error
}

type signedTree struct {
	Size uint64 `json:"size"`
	Root string `json:"root"` // hexadecimal
	Note string `json:"note"`
}

// Equivocation verifies a document of the format conmotion-equivocation/1.
func (a *Accuser) Equivocation(ctx context.Context, data []byte) (*Equivocation, error) {
	r := &Equivocation{}
	err := a.equivocation(ctx, r, data)
	if errors.Is(err, tiles.ErrEquivocation) {
		r.Wrong, r.Error, err = err, err.Error(), nil
	}
	return r, err
}

func (a *Accuser) equivocation(ctx context.Context, r *Equivocation, data []byte) error {
	e, err := tiles.ParseEquivocation(bytes.TrimSpace(data))
	if err != nil {
		return err
	}
	r.VKey = e.VKey
	k, err := a.keys(ctx, []string{e.VKey}, tiles.ErrEquivocation)
	if err != nil {
		return err
	}
	r.VKey, r.Given = scitt.NoteVKey(k.vkeys), k.given
	older, newer, err := e.Verify(k.CheckpointVerifiers)
	if err != nil {
		return err
	}
	tree := func(cp *scitt.Checkpoint) *signedTree {
		return &signedTree{cp.Size, hex.EncodeToString(cp.Root), string(cp.Raw)}
	}
	r.Proven, r.Origin, r.Older, r.Newer = true, older.Origin, tree(older), tree(newer)
	return nil
}

// Evidence is what evidence comes to that a log holds an entry which its policy does not
// admit. Without Error it is proven, or the entries in Gaps are needed to tell.
type Evidence struct {
	Proven  bool        `json:"violation_proven"`
	Error   string      `json:"error,omitempty"` // why it is not
	Origin  string      `json:"origin,omitempty"`
	Size    uint64      `json:"size,omitempty"` // of the tree that the log signed
	Index   uint64      `json:"index"`          // of the entry
	EntryID string      `json:"entry_id,omitempty"`
	Check   string      `json:"check"`
	Message string      `json:"message,omitempty"`
	Gaps    []audit.Gap `json:"gaps,omitempty"` // entries that are left out, and could change it
	Audited bool        `json:"log_audited"`    // the log was read in place of them
	VKeys   []string    `json:"vkeys"`
	Given   bool        `json:"vkeys_given"` // the keys are the user's own, and not the file's

	Wrong error `json:"-"` // is Error
}

// Evidence verifies a document of the format conmotion-evidence/1. Where it leaves entries
// out, the log at Location is audited up to the same checkpoint.
func (a *Accuser) Evidence(ctx context.Context, data []byte) (*Evidence, error) {
	r := &Evidence{VKeys: []string{}}
	err := a.evidence(ctx, r, data)
	if errors.Is(err, audit.ErrEvidence) {
		r.Wrong, r.Error, err = err, err.Error(), nil
	}
	return r, err
}

func (a *Accuser) evidence(ctx context.Context, r *Evidence, data []byte) error {
	e, err := audit.ParseEvidence(bytes.TrimSpace(data))
	if err != nil {
		return err
	}
	r.Index, r.Check, r.VKeys = e.Accused().Index, e.Check, append(r.VKeys, e.VKeys...)
	k, err := a.keys(ctx, e.VKeys, audit.ErrEvidence)
	if err != nil {
		return err
	}
	r.VKeys, r.Given = k.vkeys, k.given
	judged, err := e.Verify(ctx, k.CheckpointVerifiers, audit.Options{})
	if err != nil {
		return err
	}
	r.Origin, r.Size, r.EntryID, r.Message = judged.Checkpoint.Origin, judged.Checkpoint.Size, judged.EntryID, judged.Message
	if r.Proven = len(judged.Gaps) == 0; r.Proven {
		return nil
	}
	if k.log == nil {
		r.Gaps = judged.Gaps
		return nil
	}
	r.Audited = true
	r.Proven, err = e.InLog(ctx, k.log.Files, judged.Checkpoint, audit.Options{VKeys: k.vkeys, Progress: a.Progress})
	if err != nil {
		return fmt.Errorf("the log cannot be audited up to the checkpoint of the evidence: %w", err)
	}
	if !r.Proven {
		return fmt.Errorf("%w: an audit of the log does not find it", audit.ErrEvidence)
	}
	return nil
}

// accusedKeys are the keys of the log that a document is held to.
type accusedKeys struct {
	scitt.CheckpointVerifiers
	vkeys []string
	given bool       // they are the user's own
	log   *party.Log // at Location
}

// keys gives the keys that the user names, by themselves or by a log, or else those that
// the document names. The error wraps none when these are none.
func (a *Accuser) keys(ctx context.Context, named []string, none error) (k accusedKeys, err error) {
	k.vkeys, k.given = a.Options.VKeys, len(a.Options.VKeys) > 0
	switch {
	case a.Location != "":
		o := a.Options
		o.Examine = true
		if k.log, err = party.Open(ctx, a.Location, o); err == nil {
			k.vkeys, k.CheckpointVerifiers = k.log.VKeys, k.log.Files.Verifiers
		}
	case k.given:
		if k.CheckpointVerifiers, err = scitt.NewCheckpointVerifiers(k.vkeys); err != nil {
			err = fmt.Errorf("--vkey: %w", err)
		}
	default:
		k.vkeys = named
		if k.CheckpointVerifiers, err = scitt.NewCheckpointVerifiers(named); err != nil {
			err = fmt.Errorf("%w: the keys that the file names: %w", none, err)
		} else if a.Options.Notice != nil {
			a.Options.Notice("notice: the key is the one that the proof names. Compare it with the key of the log that you mean, or give that one with --vkey.")
		}
	}
	return k, err
}
