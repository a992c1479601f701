package cosigner

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// State is what a witness remembers of a log: the latest checkpoint that it
// cosigned. The zero State is of a log of which it cosigned none.
type State struct {
	Size uint64
	Root []byte // 32 bytes, nil before the first checkpoint
	At   int64  // time of the last cosignature, seconds since the epoch

	Text     []byte // body of the checkpoint
	LogLines []byte // signature lines by the log that were verified
	Lines    []byte // the witness's own
}

// Note is the cosigned checkpoint; nil before the first.
func (s *State) Note() []byte {
	if s.Text == nil {
		return nil
	}
	return bytes.Join([][]byte{s.Text, []byte("\n"), s.LogLines, s.Lines}, nil)
}

// Signed is the checkpoint with the log's signatures and no others; nil before the first.
func (s *State) Signed() []byte {
	if s.Text == nil {
		return nil
	}
	return bytes.Join([][]byte{s.Text, []byte("\n"), s.LogLines}, nil)
}

// Store keeps the State of each log.
type Store interface {
	// Load returns the State of a log, the zero State when there is none.
	Load(ctx context.Context, origin string) (State, error)
	// Swap replaces a log's State, if its size and root are still those of old, and
	// else the error is ErrChanged. When it returns nil the new State survives a
	// crash of the machine. After another error either may be stored, and the
	// caller loads again. Swaps run at once; two of one log do not.
	Swap(ctx context.Context, origin string, old, next State) error
	// Halt remembers that this witness may sign nothing any more, and why.
	Halt(ctx context.Context, why string) error
	// Halted returns why, "" when it may sign.
	Halted() string
}

// ErrChanged says that a State is not the one that was to be replaced.
var ErrChanged = errors.New("another process has changed the state of the log")

// judge decides on a checkpoint that a known log signed: nil when it may be
// cosigned after s. It is the whole of what makes cosignatures consistent.
func (s *State) judge(r *witness.AddCheckpoint, next *scitt.Checkpoint) *Refusal {
	switch {
	// C2SP tlog-witness: "The old size MUST be equal to or lower than the checkpoint
	// size. Otherwise, the witness MUST respond with a "400 Bad Request"".
	case r.Old > next.Size:
		return refuse(http.StatusBadRequest, "the old size %d is larger than the checkpoint, of size %d", r.Old, next.Size)
	// "The witness MUST check that the old size matches the size of the latest
	// checkpoint it cosigned for the checkpoint's origin (or zero if it never
	// cosigned a checkpoint for that origin)."
	case r.Old != s.Size:
		c := refuse(http.StatusConflict, "the old size is not that of the latest cosigned checkpoint")
		c.Size = s.Size
		return c
	// "A checkpoint of size zero MUST have the root hash of the empty tree".
	case next.Size == 0 && !bytes.Equal(next.Root, rfc6962.DefaultHasher.EmptyRoot()):
		return refuse(http.StatusUnprocessableEntity, "a checkpoint of size zero with a root that is not that of the empty tree")
	// "If the old size matches the checkpoint size, the witness MUST check that the
	// root hashes are also identical."
	case r.Old == next.Size && s.Root != nil && !bytes.Equal(next.Root, s.Root):
		return refuse(http.StatusUnprocessableEntity, "another root at size %d than the one that was cosigned", s.Size)
	// "If the old size is zero, the consistency proof MUST be empty".
	case r.Old == 0 && len(r.Proof) > 0:
		return refuse(http.StatusUnprocessableEntity, "a proof of consistency with the empty tree, which needs none")
	case r.Old == 0:
		return nil
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, r.Old, next.Size, r.Proof, s.Root, next.Root); err != nil {
		return refuse(http.StatusUnprocessableEntity, "the checkpoint is not consistent with the one of size %d that was cosigned: %w", s.Size, err)
	}
	return nil
}

// errDamaged says that a State is not one that its witness cosigned.
var errDamaged = errors.New("it is damaged, and not a checkpoint with a valid cosignature of this witness. Nothing of this log is cosigned; make new keys, under a new name (docs/witness.md)")

// cosigned refuses a State that is not what this witness cosigned of a log: in a database
// a disk may flip a bit, and what follows from it would be another history.
func (w *Witness) cosigned(origin string, s *State) error {
	if s.Text == nil && s.Root == nil && s.Size == 0 {
		return nil
	}
	cp, _, err := scitt.OpenNote(s.Note())
	if err != nil || cp.Origin != origin || cp.Size != s.Size || !bytes.Equal(cp.Root, s.Root) || !w.ours(s.Note()) {
		return errDamaged
	}
	return nil
}

// State is what is remembered of a log; the zero State when nothing is.
func (w *Witness) State(ctx context.Context, origin string) (State, error) {
	state, err := w.store.Load(ctx, origin)
	if err == nil {
		err = w.cosigned(origin, &state)
	}
	if err != nil {
		w.logger.Error("what was cosigned of a log cannot be read", "log", origin, "err", err)
		err = busy(http.StatusServiceUnavailable, time.Second, "what was cosigned of the log cannot be read")
	}
	return state, err
}

// clockSlack is how far the clock may go back before nothing is signed.
const clockSlack = time.Minute

// signAt returns the time of the next cosignature. A cosignature says that at its
// time no larger tree was known, so a later tree must not have an earlier time: a
// clock that went back a little counts as standing still.
func (s *State) signAt(now time.Time) (time.Time, *Refusal) {
	last := time.Unix(s.At, 0)
	switch {
	case now.Unix() >= s.At:
		return now, nil
	case now.Add(clockSlack).Before(last):
		return now, busy(http.StatusServiceUnavailable, last.Sub(now), "the clock of this witness is at %s, before its last cosignature of this log at %s", now.UTC().Format(time.RFC3339), last.UTC().Format(time.RFC3339))
	}
	return last, nil
}
