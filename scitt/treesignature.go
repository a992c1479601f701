package scitt

import (
	"bytes"
	"crypto"
	"fmt"
	"time"

	"github.com/veraison/go-cose"
)

// TreeSignature is a Receipt before its proof: the COSE_Sign1 over the root
// of one tree, with an empty unprotected header. It serves every receipt of
// that tree.
type TreeSignature struct {
	signedTree
}

// SignTree signs the root of a tree as a Transparency Service: issuer is its
// URL, origin the name of the log.
func SignTree(key crypto.Signer, issuer, origin string, at time.Time, root []byte) (*TreeSignature, error) {
	alg, err := signingAlgorithm(key.Public(), "")
	if err != nil {
		return nil, err
	}
	kid, err := Thumbprint(key.Public())
	if err != nil {
		return nil, err
	}
	t := &TreeSignature{signedTree{
		Algorithm: alg.ID, KeyID: kid, Issuer: issuer, Subject: origin, IssuedAt: at.Unix(), vds: vdsRFC9162SHA256,
		protected: encode(map[int64]any{
			cose.HeaderLabelAlgorithm: int64(alg.ID),
			cose.HeaderLabelKeyID:     kid,
			labelVDS:                  vdsRFC9162SHA256,
			cose.HeaderLabelCWTClaims: map[int64]any{
				cose.CWTClaimIssuer: issuer, cose.CWTClaimSubject: origin, cose.CWTClaimIssuedAt: at.Unix()},
		}),
	}}
	t.signature, err = sign(key, alg, t.protected, root)
	return t, err
}

// ParseTreeSignature reads what Marshal writes.
func ParseTreeSignature(data []byte) (*TreeSignature, error) {
	m, err := parseSign1(data)
	if err != nil {
		return nil, fmt.Errorf("tree signature: %w", err)
	}
	t, _, err := parseSignedTree(m)
	if err != nil {
		return nil, fmt.Errorf("tree signature: %w", err)
	}
	if t.vds != vdsRFC9162SHA256 {
		return nil, fmt.Errorf("tree signature: %w", malformed("verifiable data structure %d and not RFC9162_SHA256 (1)", t.vds))
	}
	if !bytes.Equal(m.Unprotected, []byte{0xa0}) {
		return nil, fmt.Errorf("tree signature: %w", malformed("the unprotected header is not empty"))
	}
	return &TreeSignature{t}, nil
}

// Marshal encodes the signature as a tagged COSE_Sign1.
func (t *TreeSignature) Marshal() []byte {
	return marshalSign1(t.protected, nil, nil, t.signature)
}

// Receipt assembles the encoded Receipt of the entry that the proof is for.
func (t *TreeSignature) Receipt(p *InclusionProof) []byte { return t.receipt(p, "") }

// receipt also carries the cosigned checkpoint of the tree, unless it is "".
func (t *TreeSignature) receipt(p *InclusionProof, checkpoint string) []byte {
	encoded := p.marshal()
	b := make([]byte, 0, len(t.protected)+len(t.signature)+len(encoded)+len(checkpoint)+64)
	b = append(b, tagSign1, arrayOf4)
	b = appendBytes(b, t.protected)
	header := byte(0xa1) // {396: {-1: [proof]}}
	if checkpoint != "" {
		header++
	}
	b = appendHead(append(b, header), majorUint, uint64(labelVDP))
	b = append(b, 0xa1, 0x20, 0x81)
	b = appendBytes(b, encoded)
	if checkpoint != "" {
		b = append(appendHead(b, majorText, uint64(len(labelCheckpoint))), labelCheckpoint...)
		b = append(appendHead(b, majorText, uint64(len(checkpoint))), checkpoint...)
	}
	b = append(b, cborNil...)
	return appendBytes(b, t.signature)
}
