package scitt

import (
	"bytes"
	"crypto/sha256"
	"fmt"
)

// The encoding of an inclusion proof of a CCF ledger
// (draft-ietf-scitt-receipts-ccf-profile): a map with these labels.
const (
	ccfLeaf = int64(1)
	ccfPath = int64(2)
	// maxEvidence is the longest internal evidence in bytes.
	maxEvidence = 1024
)

// LedgerProof proves that a transaction is in the ledger of a service that is
// built on the Confidential Consortium Framework. It does not say where: the
// order of the hashes is that of the transaction's index, in bits.
type LedgerProof struct {
	// Transaction is the SHA-256 of the whole transaction in the ledger's own
	// format, 32 bytes.
	Transaction []byte
	// Evidence is what the ledger reveals once the transaction is committed. A
	// CCF service puts the transaction's id into it.
	Evidence string
	// Data is the SHA-256 of the Signed Statement with an empty unprotected
	// header, 32 bytes.
	Data []byte
	Path []LedgerNode // the leaf's sibling first
}

// LedgerNode is a sibling on the way from the leaf to the root.
type LedgerNode struct {
	Left bool   // it is on the left side
	Hash []byte // 32 bytes
}

// Root is the root of the ledger's tree that the proof leads to from an entry.
// Errors wrap ErrProof.
//
// draft-ietf-scitt-receipts-ccf-profile section 3.2: the leaf is the hash of
// "internal-transaction-hash || HASH(internal-evidence) || data-hash", and nodes
// have no prefix.
func (p *LedgerProof) Root(entry []byte) ([]byte, error) {
	if data := sha256.Sum256(entry); !bytes.Equal(data[:], p.Data) {
		return nil, fmt.Errorf("%w: the ledger's transaction is of a statement with SHA-256 %x, and this one has %x", ErrProof, p.Data, data)
	}
	evidence := sha256.Sum256([]byte(p.Evidence))
	h := hashOf(p.Transaction, evidence[:], p.Data)
	for _, n := range p.Path {
		if n.Left {
			h = hashOf(n.Hash, h)
		} else {
			h = hashOf(h, n.Hash)
		}
	}
	return h, nil
}

func hashOf(parts ...[]byte) []byte {
	sum := sha256.Sum256(bytes.Join(parts, nil))
	return sum[:]
}

// parseLedgerProof reads the form of a proof: "{1: [bstr .size 32, tstr .size
// (1..1024), bstr .size 32], 2: [+ [bool, bstr .size 32]]}".
func parseLedgerProof(data []byte) (p LedgerProof, err error) {
	form := malformed("the inclusion proof is not that of a CCF ledger: {1: [transaction hash, evidence, data hash], 2: path}")
	h, err := parseHeader("inclusion proof", data)
	leaf, ok := h[ccfLeaf].([]any)
	path, ok2 := h[ccfPath].([]any)
	if err != nil || !ok || !ok2 || len(h) != 2 || len(leaf) != 3 || len(path) == 0 {
		return p, form
	}
	var ok3 bool
	p.Transaction, ok = isHash(leaf[0])
	p.Evidence, ok2 = leaf[1].(string)
	p.Data, ok3 = isHash(leaf[2])
	if !ok || !ok2 || !ok3 || p.Evidence == "" || len(p.Evidence) > maxEvidence {
		return p, form
	}
	for _, item := range path {
		pair, ok := item.([]any)
		if !ok || len(pair) != 2 {
			return p, form
		}
		var n LedgerNode
		n.Left, ok = pair[0].(bool)
		n.Hash, ok2 = isHash(pair[1])
		if !ok || !ok2 {
			return p, form
		}
		p.Path = append(p.Path, n)
	}
	return p, nil
}

func isHash(v any) ([]byte, bool) {
	b, ok := v.([]byte)
	return b, ok && len(b) == sha256.Size
}
