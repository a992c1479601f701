package scitt

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// OpenNote verifies a checkpoint with any keys: its log's, those of witnesses, or
// none. The signatures are those that verify, one for each key. Lines of other
// keys are ignored, and one of these keys that does not verify is an error (C2SP
// signed-note: "If a signature from a known key fails to verify, clients SHOULD
// reject the whole note"). Errors wrap ErrCheckpoint.
func OpenNote(raw []byte, keys ...note.Verifier) (*Checkpoint, []note.Signature, error) {
	return StartNote(raw, keys...)()
}

// StartNote is [OpenNote] for a caller that has other work while the signatures are verified. The function that it
// returns waits for them and returns the result.
func StartNote(raw []byte, keys ...note.Verifier) func() (*Checkpoint, []note.Signature, error) {
	opened := startNote(raw, keys...)
	return func() (*Checkpoint, []note.Signature, error) {
		c, n, err := opened()
		if err != nil {
			return nil, nil, err
		}
		return c, n.Sigs, nil
	}
}

func startNote(raw []byte, keys ...note.Verifier) func() (*Checkpoint, *note.Note, error) {
	asked := make([]note.Verifier, len(keys))
	invalid := make([]error, len(keys))
	var g sync.WaitGroup
	for i, key := range keys {
		asked[i] = &beside{key, &g, &invalid[i]}
	}
	n, err := note.Open(raw, note.VerifierList(asked...))
	return func() (*Checkpoint, *note.Note, error) {
		g.Wait()
		err := cmp.Or(errors.Join(invalid...), err)
		if unverified, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
			n, err = unverified.Note, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
		}
		cp, err := parseBody([]byte(n.Text))
		if err != nil {
			return nil, nil, err
		}
		return &Checkpoint{Origin: cp.Origin, Size: cp.Size, Root: cp.Hash, Raw: raw}, n, nil
	}
}

// beside is a key whose signatures are verified on a goroutine of their own, since
// [note.Open] verifies those of a note one after the other.
type beside struct {
	note.Verifier
	g       *sync.WaitGroup
	invalid *error
}

// Verify starts the verification and is true. The outcome is in invalid when g has ended.
func (b *beside) Verify(text, signature []byte) bool {
	b.g.Go(func() {
		if !b.Verifier.Verify(text, signature) {
			*b.invalid = &note.InvalidSignatureError{Name: b.Name(), Hash: b.KeyHash()}
		}
	})
	return true
}

// MergeNotes adds to a note the signature lines of another one of the same text. Of
// a key with a line in both, which its name and id tell, that of more takes the
// place. No signature is verified. Errors wrap ErrCheckpoint.
func MergeNotes(raw, more []byte) ([]byte, error) {
	_, n, err := startNote(raw)()
	if err != nil {
		return nil, err
	}
	_, m, err := startNote(more)()
	if err != nil {
		return nil, err
	}
	if n.Text != m.Text {
		return nil, fmt.Errorf("%w: two notes of different texts have no signatures in common", ErrCheckpoint)
	}
	sigs := n.UnverifiedSigs
	for _, s := range m.UnverifiedSigs {
		i := slices.IndexFunc(sigs, func(o note.Signature) bool { return o.Name == s.Name && o.Hash == s.Hash })
		if i < 0 {
			sigs = append(sigs, s)
		} else {
			sigs[i] = s
		}
	}
	return SignedNote(n.Text, sigs), nil
}

// SignedNote writes a note with these signature lines, of which there must be one.
func SignedNote(text string, sigs []note.Signature) []byte {
	return []byte(text + "\n" + signatureLines(sigs))
}

// ClaimedOrigin returns the first line of a checkpoint, which names its log. Its signature is not verified: it says which
// keys to verify it with, and no more.
func ClaimedOrigin(checkpoint []byte) string {
	origin, _, _ := bytes.Cut(checkpoint, []byte("\n"))
	return string(origin)
}

// Body is the text of the checkpoint's note, which is what is signed.
func (c *Checkpoint) Body() string {
	body, _, _ := bytes.Cut(c.Raw, []byte("\n\n"))
	return string(body) + "\n"
}

// signatureLines writes the signature lines of a note.
func signatureLines(sigs []note.Signature) string {
	var b strings.Builder
	for _, s := range sigs {
		fmt.Fprintf(&b, "— %s %s\n", s.Name, s.Base64)
	}
	return b.String()
}

// signatureBytes is the signature of a note line without its key id.
func signatureBytes(sig note.Signature) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(sig.Base64)
	if err != nil || len(b) < 4 {
		return nil, fmt.Errorf("%w: signature line of %q", ErrCheckpoint, sig.Name)
	}
	return b[4:], nil
}

// parseBody reads the text of a checkpoint's note. The library takes more than
// the specification allows.
func parseBody(body []byte) (*log.Checkpoint, error) {
	var cp log.Checkpoint
	extension, err := cp.Unmarshal(body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	case len(cp.Hash) != sha256.Size:
		return nil, fmt.Errorf("%w: the root has %d bytes", ErrCheckpoint, len(cp.Hash))
	// C2SP tlog-checkpoint: the tree size is "the ASCII decimal representation of
	// the number of leaves in the tree, with no leading zeroes", and the root hash
	// "the base64 encoding of the root", which RFC 4648 section 4 has one of.
	case !bytes.HasPrefix(body, cp.Marshal()):
		return nil, fmt.Errorf("%w: the size has leading zeros, or the root is not in the one base64 encoding that it has", ErrCheckpoint)
	// C2SP tlog-checkpoint: "Extension lines, if any, MUST be non-empty."
	case bytes.HasPrefix(extension, []byte("\n")) || bytes.Contains(extension, []byte("\n\n")):
		return nil, fmt.Errorf("%w: an extension line is empty", ErrCheckpoint)
	}
	return &cp, nil
}
