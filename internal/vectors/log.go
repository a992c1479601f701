package vectors

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/conmotion/conmotion/scitt"
)

// Log is a log of the entries of all statements, in their order.
type Log struct {
	Issuer     string   `json:"issuer"`
	Origin     string   `json:"origin"`
	VKeys      []string `json:"vkeys"`   // note key and tree signature
	KeySet     string   `json:"key_set"` // /.well-known/scitt-keys
	Checkpoint string   `json:"checkpoint"`
	Root       string   `json:"root"`
	Receipts   []string `json:"receipts"` // of the entries, in their order
	// Transparent are the Transparent Statements.
	Transparent []string `json:"transparent_statements"`
}

func newLog(statements []*scitt.Statement) (*Log, error) {
	l := &Log{Issuer: "https://transparency.example", Origin: "transparency.example/vectors"}
	var tree hashes
	for i, s := range statements {
		more, err := tlog.StoredHashes(int64(i), s.Entry(), tree)
		if err != nil {
			return nil, fmt.Errorf("vectors: entry %d: %w", i, err)
		}
		tree = append(tree, more...)
	}
	size := int64(len(statements))
	root, err := tlog.TreeHash(size, tree)
	if err != nil {
		return nil, fmt.Errorf("vectors: the log: %w", err)
	}
	cp, err := l.sign(size, root[:])
	if err != nil {
		return nil, fmt.Errorf("vectors: the log: %w", err)
	}
	for i, s := range statements {
		path, err := tlog.ProveRecord(size, int64(i), tree)
		if err != nil {
			return nil, fmt.Errorf("vectors: entry %d: %w", i, err)
		}
		proof := &scitt.InclusionProof{Size: uint64(size), Index: uint64(i)}
		for _, h := range path {
			proof.Path = append(proof.Path, h[:])
		}
		receipt, err := cp.Receipt(proof)
		if err != nil {
			return nil, fmt.Errorf("vectors: the receipt of entry %d: %w", i, err)
		}
		l.Receipts = append(l.Receipts, hex.EncodeToString(receipt))
		l.Transparent = append(l.Transparent, hex.EncodeToString(scitt.AttachReceipts(s, receipt)))
	}
	return l, nil
}

// hashes are the stored hashes of a tree, as a [tlog.HashReader].
type hashes []tlog.Hash

// ReadHashes implements [tlog.HashReader].
func (h hashes) ReadHashes(indexes []int64) (out []tlog.Hash, err error) {
	for _, i := range indexes {
		out = append(out, h[i])
	}
	return out, nil
}

// sign makes the checkpoint.
func (l *Log) sign(size int64, root []byte) (*scitt.Checkpoint, error) {
	receiptKey, err := newKey("ES256", "receipt key")
	if err != nil {
		return nil, err
	}
	noteKey, err := newKey("EdDSA", "note key")
	if err != nil {
		return nil, err
	}
	noteSigner, vkey, err := scitt.NewNoteSigner(l.Origin, noteKey)
	if err != nil {
		return nil, err
	}
	treeKey, err := scitt.TreeVKey(l.Origin, receiptKey.Public())
	if err != nil {
		return nil, err
	}
	l.VKeys = []string{vkey, treeKey}
	key, err := scitt.NewKey(receiptKey.Public())
	if err != nil {
		return nil, err
	}
	set, err := scitt.KeySet{key}.Marshal()
	if err != nil {
		return nil, err
	}
	l.KeySet = hex.EncodeToString(set)
	tree, err := scitt.NewTreeSigner(receiptKey, l.Issuer, l.Origin, func() time.Time { return at }, nil)
	if err != nil {
		return nil, err
	}
	l.Root = hex.EncodeToString(root)
	text := fmt.Sprintf("%s\n%d\n%s\n", l.Origin, size, base64.StdEncoding.EncodeToString(root))
	raw, err := note.Sign(&note.Note{Text: text}, noteSigner, tree)
	if err != nil {
		return nil, err
	}
	l.Checkpoint = string(raw)
	verifiers, err := scitt.NewCheckpointVerifiers(l.VKeys)
	if err != nil {
		return nil, err
	}
	return verifiers.Open(raw)
}
