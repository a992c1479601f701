package vectors

import (
	"crypto"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"filippo.io/mldsa"
	"golang.org/x/mod/sumdb/note"

	"github.com/conmotion/conmotion/scitt"
)

// postQuantumVector is the log of logVector where it also signs with ML-DSA-44.
type postQuantumVector struct {
	NoteKey    string   `json:"note_key"` // private keys, PKCS#8
	ReceiptKey string   `json:"receipt_key"`
	VKeys      []string `json:"vkeys"` // those of the log, then ML-DSA-44: note key and tree signature
	KeySet     string   `json:"key_set"`
	Checkpoint string   `json:"checkpoint"`
	// Transparent is the Transparent Statement of the first entry, with both Receipts.
	Transparent string `json:"transparent_statement"`
}

func postQuantum(l *logVector, first *scitt.Statement) (*postQuantumVector, error) {
	out := &postQuantumVector{}
	var keys [2]crypto.Signer
	for i, to := range []*string{&out.NoteKey, &out.ReceiptKey} {
		key, err := newKey("ML-DSA-44", []string{"post-quantum note key", "post-quantum receipt key"}[i])
		if err != nil {
			return nil, err
		}
		data, err := scitt.MarshalPrivateKey(key.(repeatablePQ).PrivateKey)
		if err != nil {
			return nil, err
		}
		keys[i], *to = key, string(data)
	}
	cosigner, err := scitt.NewCosigner(l.Origin, keys[0])
	if err != nil {
		return nil, err
	}
	treeVKey, err := scitt.TreeVKey(l.Origin, keys[1].Public())
	if err != nil {
		return nil, err
	}
	out.VKeys = append(append([]string{}, l.VKeys...), cosigner.String(), treeVKey)
	set, err := scitt.ParseKeySet(unhex(l.KeySet))
	if err != nil {
		return nil, err
	}
	pq, err := scitt.NewKey(keys[1].Public())
	if err != nil {
		return nil, err
	}
	encoded, err := append(set, pq).Marshal()
	if err != nil {
		return nil, err
	}
	out.KeySet = hex.EncodeToString(encoded)
	cp, err := out.sign(l, cosigner, keys[1])
	if err != nil {
		return nil, err
	}
	receipt, err := scitt.ParseReceipt(unhex(l.Receipts[0]))
	if err != nil {
		return nil, err
	}
	receipts, err := cp.Receipts(&receipt.Proofs[0])
	if err != nil {
		return nil, err
	}
	out.Transparent = hex.EncodeToString(scitt.AttachReceipts(first, receipts...))
	return out, nil
}

// sign adds the two lines to the log's checkpoint.
func (p *postQuantumVector) sign(l *logVector, cosigner *scitt.Cosigner, key crypto.Signer) (*scitt.Checkpoint, error) {
	plain, _, err := scitt.OpenNote([]byte(l.Checkpoint))
	if err != nil {
		return nil, err
	}
	line, err := cosigner.Cosign([]byte(plain.Body()), at)
	if err != nil {
		return nil, err
	}
	tree, err := scitt.NewTreeSigner(key, l.Issuer, l.Origin, func() time.Time { return at }, nil)
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: plain.Body()}, tree)
	if err != nil {
		return nil, err
	}
	raw := plain.Raw
	for _, more := range [][]byte{scitt.SignedNote(plain.Body(), []note.Signature{line}), signed} {
		if raw, err = scitt.MergeNotes(raw, more); err != nil {
			return nil, err
		}
	}
	p.Checkpoint = string(raw)
	verifiers, err := scitt.NewCheckpointVerifiers(p.VKeys)
	if err != nil {
		return nil, err
	}
	return verifiers.Open(raw)
}

// unhex reads what this package wrote.
func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(fmt.Sprint("vectors: ", err))
	}
	return b
}

// repeatablePQ signs the same in the same way (FIPS 204 section 3.4).
type repeatablePQ struct{ *mldsa.PrivateKey }

// Sign implements [crypto.Signer].
func (d repeatablePQ) Sign(_ io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	return d.SignDeterministic(message, o)
}
