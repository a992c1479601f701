package conformance

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/conmotion/conmotion/scitt"
	"github.com/conmotion/conmotion/witness"
)

// Log is a made-up log. All of it follows from its seed, so that a later run goes
// on with it.
type Log struct {
	Origin string
	VKey   string
	signer note.Signer
	// histories are the leaves of two trees that have fork leaves in common.
	histories [2]*tree
}

const (
	// fork is the size from which on the two histories differ.
	fork = 20
	// Leaves is the size of both.
	Leaves = 160
)

// NewLog makes a log from a seed, which must be secret: its key follows from it.
func NewLog(origin string, seed []byte) (*Log, error) {
	derive := func(what string, n int) [sha256.Size]byte {
		return sha256.Sum256(fmt.Appendf(nil, "conmotion witness-check %s %d %x %s", what, n, seed, origin))
	}
	secret := derive("key", 0)
	key := ed25519.NewKeyFromSeed(secret[:])
	vkey, err := note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	l := &Log{Origin: origin, VKey: vkey, signer: noteSigner{v, key}}
	for h := range l.histories {
		l.histories[h] = &tree{}
		for i := range Leaves {
			what := "leaf"
			if h == 1 && i >= fork {
				what = "other leaf"
			}
			leaf := derive(what, i)
			if err := l.histories[h].append(leaf[:]); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// noteSigner is an Ed25519 key that signs notes.
type noteSigner struct {
	note.Verifier
	key ed25519.PrivateKey
}

// Sign implements [note.Signer].
func (s noteSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// tree is a Merkle tree in memory: its nodes in the order of package tlog.
type tree []tlog.Hash

// ReadHashes implements [tlog.HashReader].
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(*t)) {
			return nil, fmt.Errorf("no node %d", x)
		}
		hashes[i] = (*t)[x]
	}
	return hashes, nil
}

func (t *tree) append(leaf []byte) error {
	n := int64(0)
	for tlog.StoredHashIndex(0, n) < int64(len(*t)) {
		n++
	}
	more, err := tlog.StoredHashes(n, leaf, t)
	*t = append(*t, more...)
	return err
}

// root is the root over the first size leaves.
func (t *tree) root(size uint64) []byte {
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	h, err := tlog.TreeHash(int64(size), t)
	if err != nil {
		panic(err) // a size beyond Leaves: a mistake in a check
	}
	return h[:]
}

// consistency proves that the leaves [start, end) are in the tree of a size.
func (t *tree) consistency(start, end, size uint64) [][]byte {
	nodes, err := proof.SubtreeConsistency(start, end, size)
	if err != nil {
		panic(err) // a range that is not one: a mistake in a check
	}
	return t.rehash(nodes)
}

// growth proves consistency of two sizes.
func (t *tree) growth(old, size uint64) [][]byte {
	if old == 0 || old == size {
		return nil
	}
	nodes, err := proof.Consistency(old, size)
	if err != nil {
		panic(err) // as above
	}
	return t.rehash(nodes)
}

func (t *tree) rehash(nodes proof.Nodes) [][]byte {
	hashes := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h := (*t)[tlog.StoredHashIndex(int(id.Level), int64(id.Index))]
		hashes[i] = h[:]
	}
	hashes, err := nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		panic(err) // as above
	}
	return hashes
}

// subtree is the root over the leaves [start, end).
func (t *tree) subtree(start, end uint64) []byte {
	if end-start == 1 {
		h := (*t)[tlog.StoredHashIndex(0, int64(start))]
		return h[:]
	}
	split := uint64(1)
	for split*2 < end-start {
		split *= 2
	}
	return rfc6962.DefaultHasher.HashChildren(t.subtree(start, start+split), t.subtree(start+split, end))
}

func body(origin string, size uint64, root []byte, extension string) string {
	return fmt.Sprintf("%s\n%d\n%s\n%s", origin, size, base64.StdEncoding.EncodeToString(root), extension)
}

// sign makes a note of a body.
func (l *Log) sign(text string) []byte {
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		panic(err) // of a text that is not a note's: a mistake in a check
	}
	return signed
}

// checkpoint is the log's, in one of its histories.
func (l *Log) checkpoint(history int, size uint64) []byte {
	return l.sign(body(l.Origin, size, l.histories[history].root(size), ""))
}

// Growing asks for a cosignature of a larger size.
func (l *Log) Growing(history int, old, size uint64) *witness.AddCheckpoint {
	return &witness.AddCheckpoint{Old: old, Proof: l.histories[history].growth(old, size), Checkpoint: l.checkpoint(history, size)}
}

// rootLine is the third line of a checkpoint.
func rootLine(raw []byte) []byte { return bytes.SplitN(raw, []byte("\n"), 4)[2] }

// strange is a signature line that nobody can verify, of n bytes.
func strange(name string, hash uint32, n int) string {
	b := binary.BigEndian.AppendUint32(nil, hash)
	return fmt.Sprintf("— %s %s\n", name, base64.StdEncoding.EncodeToString(append(b, bytes.Repeat([]byte{1}, n)...)))
}

// stranger is a log with the same origin and another key.
func (l *Log) stranger() (*Log, error) { return NewLog(l.Origin, []byte(l.VKey)) }

// cosigned are the lines of an answer that are by the witness.
func cosigned(text, lines []byte, by []*scitt.CosignatureVerifier) (sigs []note.Signature, err error) {
	keys := make([]note.Verifier, len(by))
	for i, v := range by {
		keys[i] = v
	}
	raw := bytes.Join([][]byte{text, []byte("\n"), lines}, nil)
	_, sigs, err = scitt.OpenNote(raw, keys...)
	return sigs, err
}

// signatureOf is the signature in a line whose key id is the one of the line.
func signatureOf(sig note.Signature) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(sig.Base64)
	if err != nil || len(b) < 4 || binary.BigEndian.Uint32(b) != sig.Hash {
		return nil, fmt.Errorf("the signature line of %q is not one of the key %08x", sig.Name, sig.Hash)
	}
	return b[4:], nil
}
