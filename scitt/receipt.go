package scitt

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"fmt"
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/veraison/go-cose"

	"github.com/conmotion/conmotion/scitt/internal/pubkey"
)

// TreeHasher hashes the Merkle tree of RFC 9162 section 2.1.1: SHA-256(0x00
// || entry) for a leaf, SHA-256(0x01 || left || right) for a node.
type TreeHasher struct{ *rfc6962.Hasher }

// HashChildren hashes a node, as the embedded Hasher does, with one
// allocation in place of three: a receipt takes twenty of these.
func (TreeHasher) HashChildren(left, right []byte) []byte {
	var b [1 + 2*sha256.Size]byte
	b[0] = rfc6962.RFC6962NodeHashPrefix
	copy(b[1:], left)
	copy(b[1+sha256.Size:], right)
	sum := sha256.Sum256(b[:])
	return sum[:]
}

var treeHasher = TreeHasher{rfc6962.DefaultHasher}

// LeafHash is the Merkle tree hash of an entry: SHA-256(0x00 || entry) (RFC
// 9162 section 2.1.1).
func LeafHash(entry []byte) []byte { return treeHasher.HashLeaf(entry) }

// InclusionProof proves that a leaf is in a tree (RFC 9162 section 2.1.3).
type InclusionProof struct {
	Size  uint64   // of the tree, in leaves
	Index uint64   // of the leaf, from 0
	Path  [][]byte // 32-byte hashes, the leaf's sibling first
}

// Root is the root of the tree that the proof leads to from a leaf hash.
// Errors wrap ErrProof: the index is not below the size, or the path is too
// long or too short, or holds something that is no hash.
func (p *InclusionProof) Root(leafHash []byte) ([]byte, error) {
	for _, h := range p.Path { // HashChildren would pad or cut any other length
		if len(h) != sha256.Size {
			return nil, fmt.Errorf("%w: a hash of the path has %d bytes, not %d", ErrProof, len(h), sha256.Size)
		}
	}
	root, err := proof.RootFromInclusionProof(treeHasher, p.Index, p.Size, leafHash, p.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return root, nil
}

// marshal encodes the proof for the Receipt.
//
// RFC 9942 section 5.2.1: "inclusion-proof = bstr .cbor [ tree-size: uint,
// leaf-index: uint, inclusion-path: [ + bstr ] ]".
func (p *InclusionProof) marshal() []byte {
	b := make([]byte, 0, 24+34*len(p.Path))
	b = append(b, 0x83)
	b = appendHead(b, 0, p.Size)
	b = appendHead(b, 0, p.Index)
	b = appendHead(b, 4, uint64(len(p.Path)))
	for _, h := range p.Path {
		b = appendBytes(b, h)
	}
	return b
}

func parseInclusionProof(data []byte) (p InclusionProof, err error) {
	var raw struct {
		_                 struct{} `cbor:",toarray"`
		Size, Index, Path cbor.RawMessage
	}
	var path []cbor.RawMessage
	for _, item := range []struct {
		major byte
		raw   *cbor.RawMessage
		to    any
	}{
		{majorArray, (*cbor.RawMessage)(&data), &raw},
		{majorUint, &raw.Size, &p.Size}, {majorUint, &raw.Index, &p.Index}, {majorArray, &raw.Path, &path},
	} {
		if !isMajor(*item.raw, item.major) {
			return p, malformed("the inclusion proof is not [tree size, leaf index, path]")
		}
		if err := decMode.Unmarshal(*item.raw, item.to); err != nil {
			return p, malformed("the inclusion proof is not [tree size, leaf index, path]: %w", err)
		}
	}
	if p.Size > math.MaxInt64 || p.Index >= p.Size {
		return p, malformed("the inclusion proof is for leaf %d of a tree of %d leaves", p.Index, p.Size)
	}
	// RFC 9942 section 5.2.1 asks for at least one hash, and RFC 9162 section
	// 2.1.3.1 gives a tree of one leaf an empty path: other logs have Receipts
	// for it.
	if len(path) == 0 && p.Size > 1 {
		return p, malformed("the inclusion path is empty, for a tree of %d leaves", p.Size)
	}
	for _, r := range path {
		h, err := parseBytes("inclusion path's hash", r)
		if err != nil {
			return p, err
		}
		if len(h) != sha256.Size {
			return p, malformed("a hash of the inclusion path has %d bytes, not %d", len(h), sha256.Size)
		}
		p.Path = append(p.Path, h)
	}
	return p, nil
}

// signedTree is what Receipt and TreeSignature share: a signature on a root.
type signedTree struct {
	Algorithm cose.Algorithm
	KeyID     []byte   // kid
	Issuer    string   // CWT claim iss: the Transparency Service
	Subject   string   // CWT claim sub; a service of this project puts the log's origin here
	IssuedAt  int64    // CWT claim iat in seconds since 1970; 0 when absent
	Validity  Validity // CWT claims exp and nbf

	vds       int64
	protected []byte
	signature []byte
}

// VerifyRoot checks the signature over the root of a tree. Errors wrap
// ErrSignature or ErrAlgorithm.
func (t *signedTree) VerifyRoot(key crypto.PublicKey, root []byte) error {
	return verify(t.Algorithm, key, t.protected, root, t.signature, nil)
}

// IssuedTime is when it was signed, as it says itself: see [Statement.IssuedTime].
func (t *signedTree) IssuedTime() time.Time { return timeOf(t.IssuedAt) }

// PostQuantum reports whether the signature is one of ML-DSA.
func (t *signedTree) PostQuantum() bool { return t.Algorithm == pubkey.MLDSA44 }

func parseSignedTree(m *sign1) (t signedTree, unprotected map[any]any, err error) {
	if t.protected, err = parseBytes("protected header", m.Protected); err != nil {
		return t, nil, err
	}
	h, err := parseHeader("protected", t.protected)
	if err != nil {
		return t, nil, err
	}
	if unprotected, err = parseHeader("unprotected", m.Unprotected); err == nil {
		err = checkBuckets(h, unprotected)
	}
	if err != nil {
		return t, nil, err
	}
	return t, unprotected, t.read(m, h)
}

func (t *signedTree) read(m *sign1, h map[any]any) (err error) {
	if err := checkCritical(h, understoodReceipt); err != nil {
		return err
	}
	if t.Algorithm, err = algorithmOf(h); err != nil {
		return err
	}
	// RFC 9942 section 4: "vds MUST be present in the protected header".
	switch vds := h[labelVDS].(type) {
	case nil:
		return malformed("the protected header has no verifiable data structure (395); labels of old drafts (-111) and the unprotected header do not count")
	case int64:
		if t.vds = vds; vds != vdsRFC9162SHA256 && vds != vdsCCFLedgerSHA256 {
			return malformed("verifiable data structure %d; RFC9162_SHA256 (1) and CCF_LEDGER_SHA256 (2) are known", vds)
		}
	default:
		return malformed("the verifiable data structure (395) is not an integer")
	}
	if !isNil(m.Payload) {
		return malformed("the payload is attached; the payload of a receipt is the root that its proof leads to, and is detached")
	}
	if t.KeyID, err = byteString(h, cose.HeaderLabelKeyID, "kid (4)"); err != nil {
		return err
	}
	claims, err := claimsOf(h)
	if err != nil {
		return err
	}
	if t.Issuer, err = text(claims, cose.CWTClaimIssuer, "CWT claim iss"); err != nil {
		return err
	}
	if t.Subject, err = text(claims, cose.CWTClaimSubject, "CWT claim sub"); err != nil {
		return err
	}
	if t.IssuedAt, _, err = numericDate(claims, cose.CWTClaimIssuedAt, math.Trunc); err != nil {
		return err
	}
	if t.Validity, err = validityOf(claims); err != nil {
		return err
	}
	t.signature, err = parseBytes("signature", m.Signature)
	return err
}

// Receipt is a signed proof that an entry is in a log (RFC 9942). Its form
// has been checked, and nothing else: see [Receipt.Verify]. It has at least one
// proof, all of one kind.
type Receipt struct {
	signedTree
	Proofs []InclusionProof // of a log with the tree of RFC 9162
	Ledger []LedgerProof    // of a CCF ledger
	// Checkpoint is the C2SP tlog-checkpoint of the tree that the Receipt carries, with
	// the cosignatures of witnesses; nil when it carries none. Nothing of it is
	// checked, and whoever handed the Receipt on can have changed it.
	Checkpoint []byte
}

// Place returns where the entry is: its index in a tree of so many leaves. A CCF
// ledger does not tell it, and then ok is false.
func (r *Receipt) Place() (index, size uint64, ok bool) {
	if len(r.Proofs) == 0 {
		return 0, 0, false
	}
	return r.Proofs[0].Index, r.Proofs[0].Size, true
}

// ParseReceipt reads a Receipt with inclusion proofs. Errors wrap
// ErrMalformed or ErrAlgorithm.
func ParseReceipt(data []byte) (*Receipt, error) {
	m, err := parseSign1(data)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	t, unprotected, err := parseSignedTree(m)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	r := &Receipt{signedTree: t}
	if err := r.parseProofs(unprotected); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	checkpoint, err := text(unprotected, labelCheckpoint, "the checkpoint")
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if checkpoint != "" {
		r.Checkpoint = []byte(checkpoint)
	}
	return r, nil
}

func (r *Receipt) parseProofs(unprotected map[any]any) error {
	vdp, ok := unprotected[labelVDP].(map[any]any)
	if !ok {
		return malformed("the unprotected header has no verifiable data structure proofs (396); labels of old drafts (-222) do not count")
	}
	encoded, ok := vdp[proofInclusion].([]any)
	if !ok || len(encoded) == 0 {
		return malformed("the proofs (396) hold no inclusion proof (-1) as an array with at least one byte string")
	}
	for _, e := range encoded {
		b, ok := e.([]byte)
		if !ok {
			return malformed("an inclusion proof is not a byte string")
		}
		if r.vds == vdsCCFLedgerSHA256 {
			p, err := parseLedgerProof(b)
			if err != nil {
				return err
			}
			r.Ledger = append(r.Ledger, p)
			continue
		}
		p, err := parseInclusionProof(b)
		if err != nil {
			return err
		}
		r.Proofs = append(r.Proofs, p)
	}
	return nil
}

// Verify checks the Receipt for an entry: every proof leads from it to one
// root, and the signature is on that root. The entry's bytes are a parameter
// because they are not standardised; for a log of this project they are
// [Statement.Entry]. Errors wrap ErrProof, ErrSignature or ErrAlgorithm.
func (r *Receipt) Verify(key crypto.PublicKey, entry []byte) error {
	root, err := r.Root(entry)
	if err != nil {
		return err
	}
	return r.VerifyRoot(key, root)
}

// Root is the root that the proofs lead to from an entry. Errors wrap ErrProof.
func (r *Receipt) Root(entry []byte) ([]byte, error) {
	var root []byte
	same := func(got []byte, err error) error {
		if err == nil && root != nil && !bytes.Equal(got, root) {
			err = fmt.Errorf("%w: the inclusion proofs lead to different roots", ErrProof)
		}
		root = got
		return err
	}
	for i := range r.Ledger {
		if err := same(r.Ledger[i].Root(entry)); err != nil {
			return nil, err
		}
	}
	leaf := LeafHash(entry)
	for i := range r.Proofs {
		if err := same(r.Proofs[i].Root(leaf)); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// SameSignature reports whether all that is signed in two Receipts but the root,
// and the signature, are the same: then what verifies for one root and key in
// one of them does in the other. The Receipts of one checkpoint are so.
func (r *Receipt) SameSignature(other *Receipt) bool {
	return bytes.Equal(r.protected, other.protected) && bytes.Equal(r.signature, other.signature)
}

// AttachReceipts makes a Transparent Statement: the statement's entry with
// the encoded Receipts in its unprotected header.
//
// RFC 9943 section 7.2: "The Client (which is not necessarily the Issuer)
// that registers a Signed Statement and receives a Receipt can produce a
// Transparent Statement by adding the Receipt to the unprotected header of
// the Signed Statement."
func AttachReceipts(s *Statement, receipts ...[]byte) []byte {
	if len(receipts) == 0 { // an array of none would be refused
		return s.entry
	}
	return marshalSign1(s.protected, map[any]any{labelReceipts: receipts}, s.Payload, s.signature)
}
