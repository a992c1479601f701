package vectors

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt"
)

// ledgerVector is a CCF ledger with a Receipt for each transaction, made from
// draft-ietf-scitt-receipts-ccf-profile, in hexadecimal.
type ledgerVector struct {
	Issuer       string   `json:"issuer"`
	KeySet       string   `json:"key_set"`
	Entries      []string `json:"entries"`
	Receipts     []string `json:"receipts"`
	Transparents []string `json:"transparent"`
}

// LedgerReceipt is a Receipt of a CCF ledger before it is encoded. What may be
// wrong in one can be set.
type LedgerReceipt struct {
	Protected map[any]any
	Leaf      []any // transaction hash, evidence, data hash
	Path      []any // [left, hash] each
	Root      []byte
}

// NewLedgerReceipt makes the Receipt of an entry in a ledger of these entries.
func NewLedgerReceipt(key crypto.Signer, issuer string, entries [][]byte, index int) (*LedgerReceipt, error) {
	alg, err := scitt.AlgorithmFor(key.Public())
	if err != nil {
		return nil, err
	}
	kid, err := scitt.Thumbprint(key.Public())
	if err != nil {
		return nil, err
	}
	transactions := make([]transaction, len(entries))
	for i, e := range entries {
		transactions[i] = transaction{sum([]byte(fmt.Sprint("transaction ", i))), fmt.Sprintf("ce:2.%d:%x", i, sum([]byte{byte(i)})), sum(e)}
	}
	t := transactions[index]
	return &LedgerReceipt{
		Protected: map[any]any{
			int64(1): int64(alg), int64(4): kid, int64(395): int64(2),
			int64(15): map[any]any{int64(1): issuer, int64(2): "scitt.ccf.signature.v1", int64(6): at.Unix()},
			"ccf.v1":  map[any]any{"txid": fmt.Sprintf("2.%d", len(entries))},
		},
		Leaf: []any{t.hash, t.evidence, t.data}, Path: siblings(transactions, index), Root: treeHash(transactions),
	}, nil
}

// Encode signs the root.
func (r *LedgerReceipt) Encode(key crypto.Signer) ([]byte, error) {
	protected, err := deterministic.Marshal(r.Protected)
	if err != nil {
		return nil, err
	}
	proof, err := deterministic.Marshal(map[any]any{int64(1): r.Leaf, int64(2): r.Path})
	if err != nil {
		return nil, err
	}
	alg, err := scitt.AlgorithmFor(key.Public())
	if err != nil {
		return nil, err
	}
	toBeSigned, err := deterministic.Marshal([]any{"Signature1", protected, []byte{}, r.Root})
	if err != nil {
		return nil, err
	}
	signer, err := cose.NewSigner(alg, key)
	if err != nil {
		return nil, err
	}
	signature, err := signer.Sign(rand.Reader, toBeSigned)
	if err != nil {
		return nil, err
	}
	return deterministic.Marshal(cbor.Tag{Number: 18, Content: []any{protected, map[any]any{int64(396): map[any]any{int64(-1): []any{proof}}}, nil, signature}})
}

var deterministic = func() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are fixed
	}
	return m
}()

type transaction struct {
	hash     []byte
	evidence string
	data     []byte
}

func sum(parts ...[]byte) []byte {
	s := sha256.Sum256(bytes.Join(parts, nil))
	return s[:]
}

// treeHash is the Merkle Tree Hash of section 2.1: without prefixes.
func treeHash(t []transaction) []byte {
	if len(t) == 1 {
		return sum(t[0].hash, sum([]byte(t[0].evidence)), t[0].data)
	}
	k := split(len(t))
	return sum(treeHash(t[:k]), treeHash(t[k:]))
}

// siblings is the path of section 3, the leaf's first.
func siblings(t []transaction, index int) []any {
	if len(t) == 1 {
		return nil
	}
	if k := split(len(t)); index < k {
		return append(siblings(t[:k], index), []any{false, treeHash(t[k:])})
	} else {
		return append(siblings(t[k:], index-k), []any{true, treeHash(t[:k])})
	}
}

// split is the largest power of two below n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

func newLedger(parsed []*scitt.Statement) (*ledgerVector, error) {
	l := &ledgerVector{Issuer: "ccf.example"}
	key, err := newKey("ES384", "ledger key")
	if err != nil {
		return nil, err
	}
	public, err := scitt.NewKey(key.Public())
	if err != nil {
		return nil, err
	}
	set, err := scitt.KeySet{public}.Marshal()
	if err != nil {
		return nil, err
	}
	l.KeySet = hex.EncodeToString(set)
	var entries [][]byte
	for _, s := range parsed {
		entries = append(entries, s.Entry())
	}
	for i, s := range parsed {
		r, err := NewLedgerReceipt(key, l.Issuer, entries, i)
		if err != nil {
			return nil, fmt.Errorf("vectors: ledger: %w", err)
		}
		receipt, err := r.Encode(key)
		if err != nil {
			return nil, fmt.Errorf("vectors: ledger: %w", err)
		}
		l.Entries = append(l.Entries, hex.EncodeToString(s.Entry()))
		l.Receipts = append(l.Receipts, hex.EncodeToString(receipt))
		l.Transparents = append(l.Transparents, hex.EncodeToString(scitt.AttachReceipts(s, receipt)))
	}
	return l, nil
}
