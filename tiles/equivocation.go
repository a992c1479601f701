package tiles

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/internal/jsonx"
	"github.com/conmotion/conmotion/scitt"
)

// formatEquivocation names the format of an [Equivocation].
const formatEquivocation = "conmotion-equivocation/1"

// maxEquivocation bounds a document in bytes: two checkpoints with many
// cosignatures and at most 126 hashes.
const maxEquivocation = 1 << 20

// ErrEquivocation is wrapped when something is not the proof that a log signed
// two checkpoints that cannot both be true.
var ErrEquivocation = errors.New("not a proof of equivocation")

func noProof(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrEquivocation, fmt.Errorf(format, args...))
}

// Equivocation proves that a log's key signed two checkpoints that cannot both
// be true. It needs nothing else: no files of the log, and no word of whoever
// made it.
//
// Checkpoints of one size with different roots speak for themselves. Of
// different sizes, Head and Tail are hashes in the newer tree: both together
// lead to the newer root, and Head alone to the root that the tree had at the
// older size, which is not the one that the older checkpoint signs.
type Equivocation struct {
	// Older and Newer are the signed notes; Newer's tree is not smaller.
	Older, Newer []byte
	// Head are the roots of the largest full subtrees that cover [0, older
	// size), and Tail those that cover [older size, newer size), from left to
	// right. Empty when the sizes are equal.
	Head, Tail [][]byte
	// VKey is the verifier key of the log as its author knows it. Whose key it
	// is, the reader must know from elsewhere.
	VKey string
}

type equivocationDocument struct {
	Format string   `json:"format"`
	Head   [][]byte `json:"head,omitempty"`
	Newer  string   `json:"newer"`
	Older  string   `json:"older"`
	Tail   [][]byte `json:"tail,omitempty"`
	VKey   string   `json:"vkey"`
}

// Marshal writes the document, JSON in JCS form (RFC 8785).
func (e *Equivocation) Marshal() ([]byte, error) {
	data, err := json.Marshal(equivocationDocument{formatEquivocation, e.Head, string(e.Newer), string(e.Older), e.Tail, e.VKey})
	if err != nil {
		return nil, fmt.Errorf("equivocation: %w", err)
	}
	if data, err = jsonx.Canonical(data); err != nil {
		return nil, noProof("%w", err)
	}
	return data, nil
}

// ParseEquivocation reads what Marshal writes and nothing else. It verifies
// nothing: see Verify. Errors wrap ErrEquivocation.
func ParseEquivocation(data []byte) (*Equivocation, error) {
	if len(data) > maxEquivocation {
		return nil, noProof("the document has more than %d bytes", maxEquivocation)
	}
	var d equivocationDocument
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, noProof("%w", err)
	}
	if d.Format != formatEquivocation {
		return nil, noProof("the format is %.80q, not %s", d.Format, formatEquivocation)
	}
	e := &Equivocation{Older: []byte(d.Older), Newer: []byte(d.Newer), Head: d.Head, Tail: d.Tail, VKey: d.VKey}
	again, err := e.Marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(data, again) {
		return nil, noProof("not the canonical form (RFC 8785) of this document")
	}
	for _, hash := range append(d.Head[:len(d.Head):len(d.Head)], d.Tail...) {
		if len(hash) != hashSize {
			return nil, noProof("a hash has %d bytes", len(hash))
		}
	}
	return e, nil
}

// IsEquivocation reports whether a JSON document claims to be one.
func IsEquivocation(data []byte) bool {
	var d struct {
		Format string `json:"format"`
	}
	return json.Unmarshal(data, &d) == nil && d.Format == formatEquivocation
}

// Verify checks the proof with the keys of a log, of which only the note key
// counts, and gives the two checkpoints. Without an error the holder of that
// key signed both, and they cannot both be true. Errors wrap ErrEquivocation.
func (e *Equivocation) Verify(cv scitt.CheckpointVerifiers) (older, newer *scitt.Checkpoint, err error) {
	v, err := note.NewVerifier(e.VKey)
	if err != nil {
		return nil, nil, noProof("its verifier key: %w", err)
	}
	if v.Name() != cv.Note.Name() || v.KeyHash() != cv.Note.KeyHash() {
		return nil, nil, noProof("it is about the key %s+%08x, and the log's is %s+%08x", v.Name(), v.KeyHash(), cv.Note.Name(), cv.Note.KeyHash())
	}
	cv.Tree, cv.PQ = nil, nil
	if older, err = cv.Open(e.Older); err != nil {
		return nil, nil, noProof("the older checkpoint: %w", err)
	}
	if newer, err = cv.Open(e.Newer); err != nil {
		return nil, nil, noProof("the newer checkpoint: %w", err)
	}
	return older, newer, e.contradiction(older, newer)
}

// contradiction is nil when the checkpoints contradict each other.
func (e *Equivocation) contradiction(older, newer *scitt.Checkpoint) error {
	switch {
	case older.Size > newer.Size:
		return noProof("the older checkpoint has %d entries and the newer %d", older.Size, newer.Size)
	case older.Size == newer.Size && len(e.Head)+len(e.Tail) > 0:
		return noProof("checkpoints of one size need no hashes")
	case older.Size == newer.Size && bytes.Equal(older.Root, newer.Root):
		return noProof("both checkpoints sign the same tree")
	case older.Size == newer.Size:
		return nil
	}
	f := &compact.RangeFactory{Hash: hasher.HashChildren}
	head, err := f.NewRange(0, older.Size, slices.Clone(e.Head)) // it writes into them
	if err != nil {
		return noProof("head: %w", err)
	}
	tail, err := f.NewRange(older.Size, newer.Size, e.Tail)
	if err != nil {
		return noProof("tail: %w", err)
	}
	before, err := head.GetRootHash(nil)
	if err != nil {
		return noProof("head: %w", err)
	}
	if older.Size == 0 {
		before = hasher.EmptyRoot()
	}
	if err := head.AppendRange(tail, nil); err != nil {
		return noProof("head and tail: %w", err)
	}
	after, err := head.GetRootHash(nil)
	switch {
	case err != nil:
		return noProof("head and tail: %w", err)
	case !bytes.Equal(after, newer.Root):
		return noProof("the hashes lead to the root %x, and the newer checkpoint signs %x", after, newer.Root)
	case bytes.Equal(before, older.Root):
		return noProof("the newer tree extends the older one: both checkpoints are true")
	}
	return nil
}

// Contradict makes the proof from two checkpoints of one size, for which no
// files are needed, and which its caller gives the key; nil when they do not
// contradict each other like that.
func Contradict(older, newer *scitt.Checkpoint) *Equivocation {
	e := &Equivocation{Older: older.Raw, Newer: newer.Raw}
	if older.Size != newer.Size || e.contradiction(older, newer) != nil {
		return nil
	}
	return e
}

// Equivocation makes the proof that this log does not extend another verified
// checkpoint of it; the caller gives it the key. The error wraps
// ErrEquivocation when it does extend it, or has fewer entries.
func (v *View) Equivocation(ctx context.Context, older *scitt.Checkpoint) (*Equivocation, error) {
	newer := v.Checkpoint
	e := &Equivocation{Older: older.Raw, Newer: newer.Raw}
	if older.Size < newer.Size {
		for _, r := range []struct {
			begin, end uint64
			hashes     *[][]byte
		}{{0, older.Size, &e.Head}, {older.Size, newer.Size, &e.Tail}} {
			for _, id := range compact.RangeNodes(r.begin, r.end, nil) {
				hash, err := v.node(ctx, id)
				if err != nil {
					return nil, err
				}
				*r.hashes = append(*r.hashes, bytes.Clone(hash))
			}
		}
	}
	if err := e.contradiction(older, newer); err != nil {
		return nil, err
	}
	return e, nil
}
