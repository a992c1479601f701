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

// logVector is a log of the entries of all statements, in their order.
type logVector struct {
	Issuer     string   `json:"issuer"`
	Origin     string   `json:"origin"`
	VKeys      []string `json:"vkeys"`   // note key and tree signature
	KeySet     string   `json:"key_set"` // /.well-known/scitt-keys
	Checkpoint string   `json:"checkpoint"`
	Root       string   `json:"root"`
	Receipts   []string `json:"receipts"` // of the entries, in their order
	// Transparent are the Transparent Statements.
	Transparent []string `json:"transparent_statements"`
	// Policy is a witness policy (C2SP tlog-policy), Cosigned the checkpoint with the
	// lines of two of its three witnesses, and CosignedTransparent the first Transparent
	// Statement, whose Receipt carries that.
	Policy              string `json:"witness_policy"`
	Cosigned            string `json:"cosigned_checkpoint"`
	CosignedTransparent string `json:"cosigned_transparent_statement"`
}

func newLog(statements []*scitt.Statement) (*logVector, error) {
	l := &logVector{Issuer: "https://transparency.example", Origin: "transparency.example/vectors"}
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
	cp, cosigned, err := l.sign(size, root[:])
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
		if i == 0 {
			if receipt, err = cosigned.Receipt(proof); err != nil {
				return nil, fmt.Errorf("vectors: the cosigned receipt: %w", err)
			}
			l.CosignedTransparent = hex.EncodeToString(scitt.AttachReceipts(s, receipt))
		}
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

// sign makes the checkpoint, and the cosigned one.
func (l *logVector) sign(size int64, root []byte) (cp, cosigned *scitt.Checkpoint, err error) {
	receiptKey, err := newKey("ES256", "receipt key")
	if err != nil {
		return nil, nil, err
	}
	noteKey, err := newKey("EdDSA", "note key")
	if err != nil {
		return nil, nil, err
	}
	noteSigner, vkey, err := scitt.NewNoteSigner(l.Origin, noteKey)
	if err != nil {
		return nil, nil, err
	}
	treeKey, err := scitt.TreeVKey(l.Origin, receiptKey.Public())
	if err != nil {
		return nil, nil, err
	}
	l.VKeys = []string{vkey, treeKey}
	key, err := scitt.NewKey(receiptKey.Public())
	if err != nil {
		return nil, nil, err
	}
	set, err := scitt.KeySet{key}.Marshal()
	if err != nil {
		return nil, nil, err
	}
	l.KeySet = hex.EncodeToString(set)
	tree, err := scitt.NewTreeSigner(receiptKey, l.Issuer, l.Origin, func() time.Time { return at }, nil)
	if err != nil {
		return nil, nil, err
	}
	l.Root = hex.EncodeToString(root)
	text := fmt.Sprintf("%s\n%d\n%s\n", l.Origin, size, base64.StdEncoding.EncodeToString(root))
	raw, err := note.Sign(&note.Note{Text: text}, noteSigner, tree)
	if err != nil {
		return nil, nil, err
	}
	l.Checkpoint = string(raw)
	verifiers, err := scitt.NewCheckpointVerifiers(l.VKeys)
	if err != nil {
		return nil, nil, err
	}
	if cp, err = verifiers.Open(raw); err != nil {
		return nil, nil, err
	}
	if raw, err = l.cosign(raw, text); err != nil {
		return nil, nil, err
	}
	cosigned, err = verifiers.Open(raw)
	return cp, cosigned, err
}

// cosign adds the lines of two witnesses of three, and makes the policy that has them.
func (l *logVector) cosign(raw []byte, text string) ([]byte, error) {
	for i := range 3 {
		name := fmt.Sprint("w", i+1)
		key, err := newKey("EdDSA", "witness "+name)
		if err != nil {
			return nil, err
		}
		w, err := scitt.NewCosigner(name+".example", key)
		if err != nil {
			return nil, err
		}
		l.Policy += fmt.Sprintf("witness %s %s\n", name, w)
		if i == 0 {
			continue
		}
		line, err := w.Cosign([]byte(text), at)
		if err != nil {
			return nil, err
		}
		raw = fmt.Appendf(raw, "— %s %s\n", line.Name, line.Base64)
	}
	l.Policy += "group g 2 w1 w2 w3\nquorum g\n"
	l.Cosigned = string(raw)
	return raw, nil
}
